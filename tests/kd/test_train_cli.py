"""`python -m kd.train`: a run from a file, its folder, going on, and bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from full_disk import no_file_above

import kd
from kd.config import OptimizerConfig, SplitConfig, TeacherConfig, TrainConfig
from kd.errors import UserError
from kd.train import Flags, train
from kd.training import compiling
from kd.training.checkpoint import load, load_weights
from kd.training.epoch import Steps

CONFIG = TrainConfig.paper(
    "pskd",
    "resnet8",
    "digits",
    epochs=3,
    batch_size=25,
    split=SplitConfig(val_fraction=0.6, train_size=100),
)
LINES = len(CONFIG.to_yaml().splitlines())


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
    assert f"{lines[-1]['val_acc']:.2f} %" in said
    assert TrainConfig.load(folder / "config.yaml") == CONFIG
    student, description = load_weights(folder / "student.safetensors")
    assert description["backbone"] == "resnet8"
    assert not student.training


@pytest.mark.parametrize(("compile", "tried"), [("always", 1), ("auto", 0), ("never", 0)])
def test_steps_are_compiled_where_that_is_asked_for(
    compile, tried, file, tmp_path, monkeypatch, capsys
):
    """On a CPU `auto` compiles nothing; what cannot be compiled is said once, and goes on."""
    attempts = []

    def fails(model, batch):
        attempts.append(len(batch.labels))
        raise AssertionError("a fault of the compiler")

    monkeypatch.setattr(compiling, "_compiled", lambda: fails)
    monkeypatch.setattr("kd.train.check_compiler", lambda *_, **__: None)
    train(Flags(config=file, output=tmp_path / "run", compile=compile))
    assert attempts == [25] * tried
    said = capsys.readouterr().out
    assert said.count("Steps are not compiled, as that failed (a fault of the comp") == tried
    assert "val accuracy" in said


def interrupt(flags, line):
    """Train until `line` is printed, as if Ctrl-C were pressed then."""

    def write(text):
        if line in text:
            raise KeyboardInterrupt
        return len(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "write", write)
        with pytest.raises(KeyboardInterrupt):
            train(flags)


def test_the_same_command_goes_on_where_an_interrupted_run_stopped(file, tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(Flags(config=file, output=whole))
    interrupt(Flags(config=file, output=broken), "epoch 2/3")
    capsys.readouterr()
    assert load(broken / "checkpoint.pt")["epoch"] == 2
    train(Flags(config=file, output=broken))
    assert "going on after epoch 2 of 3" in capsys.readouterr().out
    one, other = (load(folder / "checkpoint.pt") for folder in (whole, broken))
    for part in ("method", "memories"):
        assert all(one[part][name].equal(other[part][name]) for name in one[part])


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_interrupted_run_says_what_it_goes_on_from(epoch, file, tmp_path, capsys, monkeypatch):
    """Ctrl-C in the middle of an epoch, whose work is lost with what was not worth keeping."""
    begun, take = [], Steps.run

    def run(steps, number, most=None):
        begun.append(number + 1)
        if number + 1 == epoch and len(begun) == epoch:
            raise KeyboardInterrupt
        return take(steps, number, most)

    monkeypatch.setattr(Steps, "run", run)
    flags = Flags(config=file, output=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(flags)
    said = capsys.readouterr().out
    path = tmp_path / "run" / "checkpoint.pt"
    if epoch == 1:
        assert said.endswith("\nStopped; the same command begins again.\n")
        assert not path.exists()
    else:
        kept = load(path)["epoch"]
        assert 1 <= kept < epoch
        assert said.endswith(f"\nStopped; the same command goes on after epoch {kept} of 3.\n")
    train(flags)
    assert begun == [*range(1, epoch + 1), *range(kept + 1 if epoch > 1 else 1, 4)]


def test_a_killed_run_goes_on_and_ends_as_the_unbroken_one(file, tmp_path):
    file.write_text(CONFIG.to_yaml().replace("epochs: 3", "epochs: 40"))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(Flags(config=file, output=whole))
    process = subprocess.Popen(
        [sys.executable, "-m", "kd.train", str(file), "--output", str(broken)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        if "epoch 20/40" in line:
            process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 1 <= load(broken / "checkpoint.pt")["epoch"] < 40
    train(Flags(config=file, output=broken))
    one, other = (load_weights(f / "student.safetensors")[0].state_dict() for f in (whole, broken))
    assert all(one[name].equal(other[name]) for name in one)
    lines = (broken / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 41))


# -- with a teacher ------------------------------------------------------------------------------

DRKD = TrainConfig.paper("drkd", "resnet8", "digits", epochs=2, batch_size=25, split=CONFIG.split)


@pytest.fixture
def drkd(tmp_path):
    path = tmp_path / "drkd.yaml"
    path.write_text(DRKD.to_yaml())
    return path


def test_a_teacher_is_trained_first_where_the_method_needs_one(drkd, tmp_path, capsys):
    train(Flags(config=drkd, output=tmp_path / "run"))
    said = capsys.readouterr().out
    assert "teacher epoch 2/2" in said
    assert "drkd epoch 2/2" in said
    assert not (tmp_path / "run" / "teacher.pt").exists()


def test_an_interrupted_teacher_goes_on_too(drkd, tmp_path, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(Flags(config=drkd, output=whole))
    interrupt(Flags(config=drkd, output=broken), "teacher epoch 1/2")
    assert load(broken / "teacher.pt")["epoch"] == 1
    capsys.readouterr()
    train(Flags(config=drkd, output=broken))
    said = capsys.readouterr().out
    assert "teacher: going on after epoch 1 of 2" in said
    assert "teacher epoch 1/2" not in said
    names = {path.name for path in broken.iterdir()}
    assert names == {path.name for path in whole.iterdir()}
    assert "teacher.pt" not in names
    for name in ("teacher.safetensors", "student.safetensors"):
        one, other = (load_weights(folder / name)[0].state_dict() for folder in (whole, broken))
        assert all(one[key].equal(other[key]) for key in one)


def test_a_teacher_that_diverges_is_one_sentence(tmp_path):
    path = tmp_path / "wild.yaml"
    path.write_text(replace(DRKD, optimizer=OptimizerConfig(lr=1e12)).to_yaml())
    with pytest.raises(UserError, match=r"^Training \(teacher\) ended: the loss was not finite"):
        train(Flags(config=path, output=tmp_path / "run"))


def test_a_folder_may_be_moved_or_spelled_differently(drkd, tmp_path, capsys, monkeypatch):
    interrupt(Flags(config=drkd, output=tmp_path / "run"), "drkd epoch 1/2")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    train(Flags(config=drkd, output=tmp_path / "moved"))
    assert "drkd: going on after epoch 1 of 2" in capsys.readouterr().out
    train(Flags(config=drkd, output=tmp_path / "moved" / ".." / "moved"))
    assert "drkd: going on after epoch 2 of 2" in capsys.readouterr().out


# -- bad input -----------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def empty(path):
    path.write_bytes(b"")


def fill(path):
    path.write_text("no checkpoint")


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, empty, fill, replace_by_a_folder])
def test_a_damaged_checkpoint_is_one_sentence(damage, file, tmp_path):
    folder = tmp_path / "run"
    interrupt(Flags(config=file, output=folder), "epoch 1/3")
    damage(folder / "checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read; delete it to start again"):
        train(Flags(config=file, output=folder))


def test_a_state_of_something_else_is_one_sentence(file, tmp_path):
    (tmp_path / "run").mkdir()
    torch.save({"epoch": 2}, tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(UserError, match="cannot be read; delete it to start again"):
        train(Flags(config=file, output=tmp_path / "run"))


def test_a_damaged_teacher_is_one_sentence(drkd, tmp_path):
    interrupt(Flags(config=drkd, output=tmp_path / "run"), "drkd epoch 1/2")
    cut(tmp_path / "run" / "teacher.safetensors")
    with pytest.raises(UserError, match=r"teacher\.safetensors cannot be read; delete it to start"):
        train(Flags(config=drkd, output=tmp_path / "run"))


@pytest.mark.parametrize("room", [0, 30_000])
def test_a_disk_without_room_is_one_sentence_and_the_run_goes_on_later(room, file, tmp_path):
    folder = tmp_path / "run"
    interrupt(Flags(config=file, output=folder), "epoch 1/3")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with (
        no_file_above(room),
        pytest.raises(UserError, match=r"run cannot be written|yaml cannot be written"),
    ):
        train(Flags(config=file, output=folder))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    train(Flags(config=file, output=folder))


def test_a_short_file_trains_with_the_papers_recipe(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("method: dtskd\nbackbone: resnet8\ndataset: digits\nsplit: {train_size: 100}")
    train(Flags(config=path, output=tmp_path / "run", epochs=1))
    trained = TrainConfig.load(tmp_path / "run" / "config.yaml")
    split = SplitConfig(train_size=100)
    assert trained == TrainConfig.paper("dtskd", "resnet8", "digits", epochs=1, split=split)


LAUGHS = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 10)}]\n" for i in range(9)
)
"""A thousand million values, by aliases of aliases."""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CONFIG.to_yaml().replace("alpha:", "alhpa:"), "did you mean 'alpha'"),
        (CONFIG.to_yaml().replace("alpha: 0.8", "alpha: much"), "kd.alpha is 'much'"),
        (CONFIG.to_yaml().replace("digits", "parquet:nowhere"), "nowhere"),
        ("epochs: [", "is not valid YAML"),
        (CONFIG.to_yaml().replace("epochs: 3", "epochs: 2020-13-45"), "is not valid YAML"),
        (CONFIG.to_yaml().replace("epochs: 3", "epochs:"), "epochs is empty"),
        (CONFIG.to_yaml().replace("epochs: 3", "epochs: " + "9" * 400), "… (400 characters)"),
        (CONFIG.to_yaml().replace("padding: 1", "padding: 1000000000"), "it must be at least 0"),
        (CONFIG.to_yaml().replace("cutout: 0", "cutout: 1000000000"), "and at most 1024"),
        (CONFIG.to_yaml() + "epochs: 5\n", f"says epochs twice (line {LINES + 1}); keep one"),
        (CONFIG.to_yaml().replace("kd:\n", "kd:\n  alpha: 0.5\n"), "says alpha twice (line 11)"),
        (CONFIG.to_yaml() + LAUGHS, "holds more than 10000 values, its aliases written out"),
        (CONFIG.to_yaml() + "a: &a [*a]\n", "holds more than 10000 values"),
        (CONFIG.to_yaml() + "#" * 10_000_000, "it is larger than 256 KiB"),
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


def refusal(tmp_path, *words):
    """The sentence of a kd.train that is refused with 2 and leaves nothing behind."""
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-m", "kd.train", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(kd.__file__).parents[1])},
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert len(done.stderr) < 500
    assert sorted(tmp_path.rglob("*")) == before
    return done.stderr


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--threads", "0", "--threads is 0; it must be from 1 to 1024"),
        ("--threads", "-1", "--threads is -1"),
        ("--threads", "1000000", "--threads is 1000000"),
        ("--epochs", "9" * 400, "… (400 characters); it must be at least 1 and at most 1000000"),
        ("--device", "cuda:99", "There is no device 'cuda:99' here"),
        ("--output", "config.yaml", "config.yaml is a file; give another --output"),
        ("--output", "config.yaml/below", "config.yaml is a file; give another --output"),
        ("--output", "x" * 300, "File name too long; give another --output"),
    ],
)
def test_a_wrong_flag_is_one_sentence(flag, value, sentence, file, tmp_path):
    assert sentence in refusal(tmp_path, file.name, flag, value)


def test_memories_that_fit_nowhere_are_refused_before_anything_is_written(file, tmp_path):
    """In a machine that is played: its limits say that nothing is free."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kd.training.memory.free_memory", lambda: 900)
        patch.setattr("kd.training.memory.scratch", lambda: (tmp_path, 500))
        with pytest.raises(UserError, match=r"fit nowhere: .*; set history=compressed, and TMPDIR"):
            train(Flags(config=file, output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_memories_in_files_are_said_in_one_line(file, tmp_path, capsys):
    train(Flags(config=file, output=tmp_path / "whole"))
    assert "Soft-label" not in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kd.training.memory.free_memory", lambda: 0.0)
        patch.setattr("kd.training.memory.scratch", lambda: (tmp_path, 2**30))
        train(Flags(config=file, output=tmp_path / "mapped"))
    said = capsys.readouterr().out
    assert f"Soft-label memories: dense, 3.9 KiB, in files in {tmp_path}.\n" in said
    one, other = (load(tmp_path / n / "checkpoint.pt")["method"] for n in ("whole", "mapped"))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "student.safetensors"])
def test_a_folder_where_a_file_goes_is_one_sentence(name, file, tmp_path):
    (tmp_path / "run" / name).mkdir(parents=True)
    said = refusal(tmp_path, file.name, "--output", "run")
    assert f"run/{name} is a folder, where a file goes; give another --output" in said


def test_a_configuration_that_is_no_file_is_one_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert "pipe.yaml cannot be read: it is a pipe or a device" in refusal(tmp_path, "pipe.yaml")
    assert "folder.yaml is no YAML or JSON file, and no" in refusal(tmp_path, "folder.yaml")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a folder to be read only needs root")
def test_a_folder_that_may_only_be_read_is_one_sentence(file, tmp_path):
    (tmp_path / "run").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path / "run")]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        for output in ("run", "run/below"):
            said = refusal(tmp_path, file.name, "--output", output)
            assert "nothing may be written into" in said
            assert said.endswith("give another --output.\n")
    finally:
        subprocess.run(["umount", str(tmp_path / "run")], check=True)


def test_a_border_wider_than_the_images_is_refused_before_anything_is_written(file, tmp_path):
    file.write_text(CONFIG.to_yaml().replace("padding: 1", "padding: 9"))
    with pytest.raises(UserError, match=r"crop_padding is 9, but .* 8×8 pixels; give at most 8"):
        train(Flags(config=file, output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_checkpoint_of_a_run_can_teach(file, tmp_path, capsys):
    """As its student does: the same weights, known by their images and by how val was cut."""
    folder = tmp_path / "run"
    train(Flags(config=file, output=folder))
    (student, about), (again, said) = (
        load_weights(folder / name) for name in ("student.safetensors", "checkpoint.pt")
    )
    for name, tensor in student.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert said == {name: about[name] for name in said}
    taught = TrainConfig.paper("kd", "resnet8", "digits", epochs=1, split=CONFIG.split)
    weights = replace(taught.teacher, weights=str(folder / "checkpoint.pt"))
    taught = replace(taught, teacher=weights)
    (tmp_path / "kd.yaml").write_text(taught.to_yaml())
    capsys.readouterr()
    train(Flags(config=tmp_path / "kd.yaml", output=tmp_path / "taught"))
    assert "does not say which images" not in capsys.readouterr().out
    other = replace(taught, split=replace(CONFIG.split, seed=1))
    (tmp_path / "kd.yaml").write_text(other.to_yaml())
    with pytest.raises(UserError, match="was trained on val images of this split"):
        train(Flags(config=tmp_path / "kd.yaml", output=tmp_path / "refused"))


def test_a_teacher_that_is_not_what_it_is_said_to_be_is_refused(file, tmp_path):
    train(Flags(config=file, output=tmp_path / "run"))
    weights = str(tmp_path / "run" / "student.safetensors")
    taught = TrainConfig.paper("kd", "resnet8", "digits", epochs=1, split=CONFIG.split)
    named = replace(taught, teacher=replace(taught.teacher, weights=weights, backbone="resnet32"))
    (tmp_path / "kd.yaml").write_text(named.to_yaml())
    other = r"is resnet8, and teacher\.backbone says resnet32; leave that away"
    with pytest.raises(UserError, match=other):
        train(Flags(config=tmp_path / "kd.yaml", output=tmp_path / "taught"))
    # Of one that is trained for it alone, the file's name is all that is known beforehand.
    line = TeacherConfig(method="kd", backbone="resnet8", teacher=named.teacher)
    (tmp_path / "kd.yaml").write_text(replace(taught, teacher=line).to_yaml())
    with pytest.raises(UserError, match=other):
        train(Flags(config=tmp_path / "kd.yaml", output=tmp_path / "taught"))
    assert not (tmp_path / "taught").exists()


def test_a_teacher_that_nothing_learns_from_is_refused(file, tmp_path):
    (tmp_path / "ce.yaml").write_text("method: ce\nbackbone: resnet8\ndataset: digits\n"
                                      "teacher: {backbone: resnet20}\n")  # fmt: skip
    with pytest.raises(UserError, match="gives a teacher, and ce learns from none"):
        train(Flags(config=tmp_path / "ce.yaml", output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b""])
def test_a_damaged_checkpoint_teaches_nobody(content, tmp_path):
    (tmp_path / "t.pt").write_bytes(content)
    with pytest.raises(UserError, match="holds no whole network of this project"):
        load_weights(tmp_path / "t.pt")
