"""`python -m kd.train`: a run from a file, its folder, going on, and bad input."""

import json
import subprocess
import sys

import pytest

from kd.checkpoint import load, load_weights
from kd.config import SplitConfig, TrainConfig
from kd.train import Flags, train

CONFIG = TrainConfig.paper(
    "pskd",
    "resnet8",
    "digits",
    epochs=3,
    batch_size=25,
    split=SplitConfig(val_fraction=0.6, train_size=100),
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.to_yaml())
    return path


def test_a_run_writes_its_folder_and_says_what_came_of_it(file, tmp_path, capsys):
    folder = tmp_path / "run"
    train(Flags(config=file, output=folder))
    said = capsys.readouterr().out
    assert "100 training images" in said
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert f"{lines[-1]['val_acc']:.2f}%" in said
    assert TrainConfig.load(folder / "config.yaml") == CONFIG
    student, description = load_weights(folder / "student.safetensors")
    assert description["backbone"] == "resnet8"
    assert not student.training


def test_the_same_command_goes_on_where_an_interrupted_run_stopped(file, tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(Flags(config=file, output=whole))

    def write(text):
        if "epoch 2/3" in text:
            raise KeyboardInterrupt
        return len(text)

    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "write", write)
        with pytest.raises(KeyboardInterrupt):
            train(Flags(config=file, output=broken))
    assert load(broken / "checkpoint.pt")["epoch"] == 2
    train(Flags(config=file, output=broken))
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    one, other = (load(folder / "checkpoint.pt")["method"] for folder in (whole, broken))
    assert all(one[name].equal(other[name]) for name in one)


def test_a_teacher_is_trained_first_where_the_method_needs_one(tmp_path, capsys):
    path = tmp_path / "drkd.yaml"
    path.write_text(
        TrainConfig.paper(
            "drkd", "resnet8", "digits", epochs=2, batch_size=25, split=CONFIG.split
        ).to_yaml()
    )
    train(Flags(config=path, output=tmp_path / "run"))
    said = capsys.readouterr().out
    assert "teacher epoch 2/2" in said
    assert "drkd epoch 2/2" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CONFIG.to_yaml().replace("alpha:", "alhpa:"), "did you mean 'alpha'"),
        (CONFIG.to_yaml().replace("alpha: 0.8", "alpha: much"), "kd.alpha is 'much'"),
        (CONFIG.to_yaml().replace("digits", "parquet:nowhere"), "nowhere"),
        ("epochs: [", "is not valid YAML"),
    ],
)
def test_bad_input_is_one_sentence_without_importing_torch(text, sentence, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    code = f"""
import sys
from kd.cli import run
from kd.train import Flags, train
try:
    run(Flags, train, [{str(path)!r}])
except SystemExit as end:
    sys.exit(end.code + 10 * ("torch" in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_a_folder_of_another_run_is_not_overwritten(file, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG.to_yaml().replace("seed: 0", "seed: 7", 1))
    done = subprocess.run(
        [sys.executable, "-m", "kd.train", str(file), "--output", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "another configuration" in done.stderr
