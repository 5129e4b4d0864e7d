"""A sweep whose teacher learnt from another: each is trained once, whatever ends the sweep."""

import os
import signal
from pathlib import Path

from real_sweeps import finish, start, wait_for

from tuning.records.taught import taught

FLAGS = ("--teacher", "resnet8", "--assistant", "resnet8", "--epochs", "2", "--trials", "1")


def test_a_sweep_that_was_killed_between_them_trains_none_twice(tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    process = start(tmp_path, "kd", *FLAGS, "--name", "chain", start_new_session=True)
    wait_for((folder / "teacher-before-1.safetensors").exists)
    os.kill(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    assert "First the teacher: resnet8." in said
    assert "The assistant's val accuracy" not in said
    first = (folder / "teacher-before-1.safetensors").read_bytes()
    # A kill may come before what is said beside it.
    (folder / "teacher-before-1.json").unlink(missing_ok=True)
    said = finish(start(tmp_path, "--resume", "chain"))
    assert "First the teacher" not in said
    assert "Then the assistant: resnet8, by kd from the one before it." in said
    assert "The assistant's val accuracy is" in said
    assert (folder / "teacher-before-1.safetensors").read_bytes() == first
    assert (folder / "teacher.safetensors").read_bytes() != first
    assert [(known.sweep, known.epochs) for known in taught(folder)] == [("chain", 2)] * 2
    assert "Its teachers took 4 epochs more" in (folder / "report.html").read_text()
    assert len([*(tmp_path / "teachers").glob("*.safetensors")]) == 2
    said = finish(start(tmp_path, "dkd", *FLAGS, "--name", "later"))
    assert said.count("is the one that chain trained") == 2
    assert "Then the assistant" not in said
    assert sum(known.epochs for known in taught(tmp_path / "later")) == 4
