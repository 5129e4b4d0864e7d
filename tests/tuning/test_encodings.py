"""What is printed reaches a terminal of any encoding; what another program reads is UTF-8."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from kd.config import TrainConfig

SHORT = "method: ce\nbackbone: resnet8\ndataset: digits\nepochs: 1\nsplit: {train_size: 50}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished sweeps in `runs`, and a configuration whose file has an accent in its name."""
    folder = tmp_path_factory.mktemp("encodings")
    with tarfile.open(Path(__file__).parents[1] / "old" / "runs.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    (folder / "größe.yaml").write_text(SHORT)
    far = "method: ce\nbackbone: resnet8\ndataset: parquet:データ\nepochs: 1\n"
    far += "augment: {crop_padding: 1, flip: 0.5, cutout: 0}\n"
    (folder / "far.yaml").write_text(far, encoding="utf-8")
    return folder


def command(folder: Path, encoding: str, *words: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        check=False,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONIOENCODING": encoding,
            "COLUMNS": "150",
        },
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode("latin-1")
    return done


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("tuning.search --help", "usage: python -m tuning.search"),
        # Trials of several workers are not tried out, which takes seconds.
        ("tuning.search lsskd --local --dry-run --workers-per-trial 2", "lsskd"),
        ("kd.train größe.yaml --output trained-größe", "val accuracy"),
        ("tuning.best", "confirmed"),
        ("tuning.confirm finished", " +/- | ± "),
        ("tuning.report finished", "finished"),
    ],
)
def test_every_command_speaks(encoding, words, shown, folder):
    done = command(folder, encoding, *words.split())
    assert done.returncode == 0
    said = done.stdout.decode(encoding)
    assert any(words in said for words in shown.split("|"))
    if encoding == "latin-1" and "größe" in words:
        assert "trained-größe" in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("words", ["tuning.search löskd", "kd.train größer.yaml"])
def test_a_refusal_is_one_sentence(encoding, words, folder):
    done = command(folder, encoding, *words.split())
    assert done.returncode == 2
    assert len(done.stderr.decode(encoding).splitlines()) == 1


@pytest.mark.parametrize("columns", ["40", "150"])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_flag_that_cannot_be_read_is_the_same_sentence(encoding, columns, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    done = command(folder, encoding, "tuning.search", "lsskd", "--epochs", "x")
    assert done.stderr.startswith(b"error: --epochs is 'x'; give a whole number.")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
@pytest.mark.parametrize("target", ["yaml", "json", "toml", "python", "env", "flags"])
def test_what_is_exported_is_utf8_whatever_the_terminal_is(encoding, target, folder):
    done = command(folder, encoding, "tuning.export", "--config", "far.yaml", "--to", target)
    assert done.returncode == 0
    kept = ["tuning.export", "--config", "far.yaml", "--to", target, "-o", f"out.{target}"]
    assert command(folder, "utf-8", *kept).returncode == 0
    assert done.stdout == (folder / f"out.{target}").read_bytes()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_best_configuration_that_is_sent_to_a_file_can_be_trained(encoding, folder):
    words = ("tuning.best", "lsskd", "--backbone", "resnet8", "--dataset", "digits")
    done = command(folder, encoding, *words)
    assert done.returncode == 0
    TrainConfig.from_dict(yaml.safe_load(done.stdout))
    assert "±" in done.stdout.decode("utf-8").splitlines()[0] or done.stdout.isascii()


def test_a_name_that_is_no_text_is_refused_and_not_written_wrongly(folder):
    text = (
        (folder / "far.yaml")
        .read_text(encoding="utf-8")
        .replace("parquet:データ", '"parquet:\\udcff"')
    )
    (folder / "wild.yaml").write_text(text, encoding="utf-8")
    for more in ([], ["-o", "wild.py"]):
        words = ("tuning.export", "--config", "wild.yaml", "--to", "env", *more)
        done = command(folder, "utf-8", *words)
        assert done.returncode == 2
        assert done.stdout == b""
        assert b"env cannot express dataset" in done.stderr
    assert not (folder / "wild.py").exists()
