"""Bad input to every command: one sentence, exit code 2, nothing started, nothing left behind."""

import re
from collections.abc import Iterator

import pytest
from bad_inputs import Asker, table


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with Asker(tmp_path_factory.mktemp("typed")) as asker:
        yield asker


@pytest.mark.parametrize(("line", "sentence"), table(), ids=[line for line, _ in table()])
def test_a_line_that_cannot_be(line: str, sentence: str, asker: Asker) -> None:
    code, _, err, left = asker.ask(line)
    assert "Traceback" not in err
    # Whoever would start a Ray, or hang, ends with another code.
    assert code == 2
    said = ".*".join(map(re.escape, f"error: {sentence}\n".split("…")))
    assert re.fullmatch(said, err), err
    assert len(err.splitlines()) == 1
    assert len(err) < 700
    assert not left


def test_there_are_hundreds_over_all_commands() -> None:
    lines = [line for line, _ in table()]
    assert len(set(lines)) == len(lines) >= 250
    assert {line.split()[0] for line in lines} == {
        *("search", "confirm", "compare", "best", "export", "report", "replay", "ui", "train"),
        "backbones",
    }
