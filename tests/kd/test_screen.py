"""What is shown may be lost: the work goes on, and its exit code is its own."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from kd.config import TrainConfig

CODE = """
import sys
from kd.screen import losable
def work():
    for line in range(2000):
        print("line", line, "– of many, longer than any buffer holds")
        print("as much on the other", file=sys.stderr)
with losable():
    work()
    open(sys.argv[1], "w").write("done")
sys.exit(7)
"""


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def closed_terminal() -> int:
    reader, writer = pty.openpty()
    os.close(reader)
    return writer


@pytest.mark.parametrize("lost", [closed_pipe, full_disk, closed_terminal])
def test_a_display_that_is_lost_ends_nothing(lost, tmp_path: Path) -> None:
    where = lost()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "mark")],
        stdout=where,
        stderr=where,
        check=False,
    )
    os.close(where)
    assert (tmp_path / "mark").read_text() == "done"
    assert done.returncode == 7


def test_only_the_lost_one_falls_silent(tmp_path: Path) -> None:
    where = closed_pipe()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "mark")],
        stdout=where,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(where)
    assert done.stderr.splitlines() == ["as much on the other"] * 2000
    assert done.returncode == 7


def test_a_letter_that_the_terminal_lacks_ends_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "mark")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.stdout.startswith("line 0 ? of many")
    assert done.returncode == 7


def test_a_training_goes_on_without_its_reader(tmp_path: Path) -> None:
    config = TrainConfig.paper("ce", "resnet8", "digits", epochs=2, batch_size=256)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    where = full_disk()
    command = ["-m", "kd.train", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, *command], stdout=where, check=False)
    os.close(where)
    assert done.returncode == 0
    assert (tmp_path / "run" / "student.safetensors").exists()


CLI = """
import sys
from dataclasses import dataclass
from errno import EACCES
from kd.cli import put, run

@dataclass(frozen=True)
class Flags:
    words: tuple[str, ...] = ()

def command(flags):
    if flags.words:
        raise PermissionError(EACCES, "Permission denied", flags.words[0])
    put("the work")

run(Flags, command)
"""


@pytest.mark.parametrize(
    ("redirect", "code", "sentence"),
    [
        (">/dev/full", 2, "error: The output cannot be written: No space left on device"),
        (">&-", 2, "error: The output cannot be written: it is closed"),
        ("| head -c 0", 0, ""),
        ("2>&- >/dev/null", 0, ""),
    ],
)
def test_output_that_is_the_work_itself_is_not_lost_in_silence(redirect, code, sentence) -> None:
    shell = f'set -o pipefail; {sys.executable} -c "$0" {redirect}'
    done = subprocess.run(["bash", "-c", shell, CLI], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr


def test_closed_streams_end_nothing(tmp_path: Path) -> None:
    shell = f'{sys.executable} -c "$0" {tmp_path / "mark"} >&- 2>&- <&-'
    done = subprocess.run(["bash", "-c", shell, CODE], check=False)
    assert (tmp_path / "mark").read_text() == "done"
    assert done.returncode == 7


def test_a_path_that_may_not_be_used_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLI, "--words", "kept"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: kept cannot be used: Permission denied; see that you")
