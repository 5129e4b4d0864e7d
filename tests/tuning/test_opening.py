"""The test set is opened once, and that is noted whatever ends the process meanwhile."""

import os
from pathlib import Path

import pytest

from tuning.sweeps.opening import begin_opening, end_opening


def test_an_opening_that_was_interrupted_is_the_same_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = begin_opening(tmp_path, "confirm", "looked at\nbefore")
    assert first.note == "looked at before"
    assert capsys.readouterr().out == ""
    # The process ends here, and the same command goes on.
    assert begin_opening(tmp_path, "confirm", "another note") == first
    assert f"opened for them before ({first.when})" in capsys.readouterr().out
    end_opening(tmp_path, "confirm")
    end_opening(tmp_path, "confirm")
    begin_opening(tmp_path, "confirm-2", "")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"when": 3}', b"\xff"])
def test_a_damaged_note_still_says_that_and_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: bytes
) -> None:
    path = tmp_path / "confirm.opening.json"
    path.write_bytes(damaged)
    os.utime(path, (1.6e9, 1.6e9))
    opening = begin_opening(tmp_path, "confirm", "")
    assert opening == begin_opening(tmp_path, "confirm", "")
    assert opening.when == "2020-09-13T12:26:40+00:00"
    assert f"opened for them before ({opening.when})" in capsys.readouterr().out
