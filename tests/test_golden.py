"""Every number in a file of golden numbers that has a check is met or excepted."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.golden.checks import load_checks  # noqa: E402
from tests.golden.numbers import BOUND, CHECKS, HERE, Numbers, exceptions, files  # noqa: E402

load_checks()


@pytest.mark.parametrize(
    "path", [path for path in files(HERE) if path.stem in CHECKS], ids=lambda path: path.stem
)
def test_golden(path):
    numbers = Numbers.load(path)
    CHECKS[path.stem](numbers)
    assert {key: error for key, error in numbers.errors.items() if error > BOUND} == {}
    assert numbers.left(exceptions()) == []
    assert numbers.errors or any(e.file == path.stem for e in exceptions())


def test_every_exception_is_of_a_key_that_is_there():
    loaded = {path.stem: Numbers.load(path) for path in files(HERE)}
    for exempt in exceptions():
        for pattern in exempt.keys:
            one = type(exempt)(exempt.file, (pattern,), "", "", "")
            assert any(len(n.left([one])) < len(n.arrays) for n in loaded.values()), pattern


def test_the_command_says_what_is_wrong(tmp_path):
    """A number that was changed, and files that are damaged, tell nothing, or nothing checks."""
    arrays = dict(np.load(HERE / "kd.npz"))
    arrays["ce"] = arrays["ce"] * (1 + 1e-7)
    np.savez(tmp_path / "kd.npz", **arrays)
    np.savez(tmp_path / "unheard_of.npz", a=np.zeros(3))
    (tmp_path / "cskd.npz").write_bytes((HERE / "cskd.npz").read_bytes()[:1000])
    np.savez(tmp_path / "dkd.npz")
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert wrong == [
        "WRONG  cskd: BadZipFile: File is not a zip file",
        "WRONG  dkd: no number in it was met",
        "WRONG  kd  ce: 1.0e-07",
        "WRONG  unheard_of: no check",
    ]


def test_the_command_says_what_it_is_for(capfd):
    words = [sys.executable, "-m", "tests.golden", "--help"]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0
    assert "[DIR]" in capfd.readouterr().out
