"""The command line of a search: help without heavy imports, and one sentence for bad input."""

import json
import subprocess
import sys
import urllib.request

import pytest

from kd.config import TrainConfig
from tuning.search import main


def refused(capsys, tmp_path, *flags):
    """The sentence that the command prints; it must exit with 2 and leave nothing behind."""
    storage = tmp_path / "runs"
    with pytest.raises(SystemExit) as end:
        main([*flags, "--storage", str(storage)])
    assert end.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1, said
    assert not list(storage.glob("*")) if storage.exists() else True
    return said


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["lskd"], "did you mean 'lsskd'"),
        ([], "Which method"),
        (["lsskd", "--backbone", "resnet9"], "did you mean 'resnet"),
        (["lsskd", "--dataset", "digit"], "did you mean 'digits'"),
        (["lsskd", "--dataset", "parquet:nowhere"], "nowhere"),
        (["lsskd", "--trials", "0"], "--trials is 0"),
        (["lsskd", "--epochs", "-1"], "--epochs is -1"),
        (["lsskd", "--set", "alpha"], "--set alpha=0.8"),
        (["lsskd", "--set", "alhpa=0.5"], "did you mean"),
        (["lsskd", "--set", "alpha=7"], "at most 1"),
        (["lsskd", "--set", "alpha_schedule=cubic"], "alpha_schedule"),
        (["lsskd", "--space", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["lsskd", "--grace-period", "99"], "grace period is 99"),
        (["lsskd", "--reduction-factor", "1"], "reduction factor is 1"),
        (["lsskd", "--cpus-per-trial", "0"], "--cpus-per-trial is 0"),
        (["lsskd", "--workers-per-trial", "0"], "--workers-per-trial is 0"),
        (["lsskd", "--seeds-per-trial", "0"], "--seeds-per-trial is 0"),
        (["kd", "--teacher", "resnet21"], "did you mean 'resnet"),
        (["kd", "--teacher", "nowhere.safetensors"], "no teacher file"),
        (["--resume", "yesterday"], "There is no sweep"),
        (["lsskd", "--resume", "yesterday"], "keeps its own method"),
        (["lsskd", "--seed", "-1"], "seed is -1"),
        (["--resume", "yesterday", "--seed", "7"], "keeps its own seed"),
        (["--resume", "yesterday", "--preset", "paper"], "keeps its own preset"),
        (["lsskd", "--name", "../out"], "--name is '../out'"),
        (["lsskd", "--name", "a b"], "use letters"),
        (["lsskd", "--gpus-per-trial", "nan"], "--gpus-per-trial is nan"),
        (["lsskd", "--gpus-per-trial", "all"], "--gpus-per-trial"),
        (["lsskd", "--checkpoints", "bucket"], "give s3://BUCKET/FOLDER"),
        (["lsskd", "--checkpoints", "s3://key:secret@bucket"], "holds a key"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(flags, sentence, capsys, tmp_path):
    assert sentence in refused(capsys, tmp_path, *flags)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("alpha: {low: 0.9, high: 0.2}", "0.9"),
        ("alpha: {low: 0.1, hihg: 0.5}", "did you mean 'high'"),
        ("alhpa: [0.1, 0.5]", "did you mean"),
        ("alpha: [0.1, 0.5]", "write {low: 0.1, high: 0.5} or {choices: [0.1, 0.5]}"),
        ("alpha: {low: 0.1, high: 7}", "at most 1"),
        ("beta: {low: 0, high: 1, log: true}", "above 0"),
        ("alpha: much", "{low: 1, high: 8}"),
    ],
)
def test_a_range_that_makes_no_sense_names_its_file(text, sentence, capsys, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    said = refused(capsys, tmp_path, "lsskd", "--space", str(path))
    assert sentence in said
    assert "space.yaml" in said


def test_a_damaged_data_folder_is_refused(capsys, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / f"{part}.parquet").write_bytes(b"PAR1 but nothing more")
    assert "parquet" in refused(capsys, tmp_path, "lsskd", "--dataset", f"parquet:{folder}")


@pytest.mark.parametrize("flags", [["--gpus-per-trial", "0.25"], ["--cpus-per-trial", "9999"]])
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_more_than_this_machine_has_is_refused_before_ray(
    flags, dry, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    words = ["ce", "--preset", "laptop", "--local", "--storage", str(tmp_path / "new")]
    with pytest.raises(SystemExit) as end:
        main([*words, *flags, *dry])
    assert end.value.code == 2
    told = capsys.readouterr()
    assert f"{flags[0]} is {flags[1]}, but" in told.err
    assert "Starting Ray" not in told.out
    assert not (tmp_path / "new").exists()


def test_a_storage_that_cannot_be_written_is_refused(capsys, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SystemExit) as end:
        main(["lsskd", "--storage", str(blocked)])
    assert end.value.code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_no_network_and_no_data_is_one_sentence(capsys, tmp_path, monkeypatch):
    # Whatever network there is, nothing answers at the proxy of port 9.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # urllib keeps the proxies of its first call; neither ours nor earlier ones may stay.
    monkeypatch.setattr(urllib.request, "_opener", None)
    said = refused(capsys, tmp_path, "ce", "--dataset", "cifar100", "--data-root", str(tmp_path))
    assert "cifar100" in said
    assert "--dataset" in said


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_and_bad_input_import_neither_torch_nor_ray(tmp_path):
    code = f"""
import sys
from tuning.search import main
QUICK = "--workers-per-trial", "2", "--storage", {str(tmp_path)!r}
for flags in (["--help"], ["lskd"], ["lsskd", "--set", "alpha=7"], ["lsskd", "--dry-run", *QUICK]):
    try:
        main(flags)
    except SystemExit:
        pass
heavy = {{"torch", "ray", "mlflow", "optuna", "torchvision", "sklearn", "matplotlib"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    assert "--backbone" in run_python(code)


def test_the_flags_of_the_command_are_the_published_ones():
    code = """
import dataclasses, json
from tuning.records.allocation import Allocation
from tuning.records.options import Options
from tuning.records.request import Flags
parts = Flags, Options, Allocation
print(json.dumps([f.name for part in parts for f in dataclasses.fields(part)]))
"""
    published = [
        "method",
        "backbone",
        "dataset",
        "resize",
        "convert_images",
        "skip_bad_images",
        "val",
        "val_per_class",
        "fraction",
        "preset",
        "trials",
        "epochs",
        "set",
        "space",
        "grid",
        "search_optimizer",
        "objective",
        "sampler",
        "warm_start",
        "epochs_total",
        "hours",
        "gpu_hours",
        "cost",
        "price_per_hour",
        "scheduler",
        "check_rungs",
        "grace_period",
        "reduction_factor",
        "cpus_per_trial",
        "gpus_per_trial",
        "workers_per_trial",
        "seeds_per_trial",
        "mps",
        "compile",
        "teacher",
        "teacher_weight",
        "assistant",
        "teacher_saw_val",
        "seed",
        "storage",
        "checkpoints",
        "tracking_uri",
        "data_root",
        "name",
        "resume",
        "live_html",
        "confirm",
        "dry_run",
        "cluster",
        "address",
        "local",
        "attach",
        "stop",
        "version",
        "slurm",
        "slurm_print",
        "nodes",
        "gpus_per_node",
        "cpus_per_node",
        "time",
        "partition",
        "account",
        "sbatch",
    ]
    groups = ["options", "allocation"]
    assert sorted(json.loads(run_python(code))) == sorted([*published, *groups])


UNTRIED = ["--workers-per-trial", "2"]
"""Trials of several workers are not tried out in a dry run, which takes seconds."""


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(capsys, tmp_path):
    storage = tmp_path / "runs"
    with pytest.raises(SystemExit) as end:
        main(["kd", "--preset", "laptop", "--dry-run", "--storage", str(storage), *UNTRIED])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "16 trials of at most 9 epochs" in said
    assert "earlier sweeps" not in said, "there are none"
    assert "a teacher first: resnet20" in said
    assert "alpha" in said
    assert not storage.exists()


def test_a_dry_run_says_what_the_memories_of_a_trial_take(capsys):
    words = ["--preset", "paper", "--dataset", "digits", "--dry-run", "--local", *UNTRIED]
    for method, also, said in (
        ("ce", [], None),
        ("lsskd", [], "soft-label memories of each trial: dense, 2.9 MiB"),
        ("lsskd", ["--set", "history=compressed"], "each trial: compressed, 1.4 MiB"),
        ("crd", ["--teacher", "resnet20"], "embeddings of each trial: 1.1 MiB"),
    ):
        with pytest.raises(SystemExit) as end:
            main([method, *words, *also])
        assert end.value.code == 0
        out = capsys.readouterr().out
        assert said in out if said else "memories" not in out


def test_the_paper_preset_is_the_papers_setting():
    from tuning.records.presets import setting

    chosen = setting("paper", "lsskd")
    assert chosen.base == TrainConfig.paper("lsskd", "resnet18", "cifar100")
    assert chosen.base.epochs == 240
