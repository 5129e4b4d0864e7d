"""A lucky trial leads a search; what is handed out afterwards, by every way, is what was proved."""

import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import tuning.sweeps.confirmation as confirmation
from kd.config import TrainConfig
from kd.data import Dataset, Images
from tuning import best_config, confirm
from tuning import export as exporting
from tuning.exporters import FORMATS
from tuning.exporters.weights import SUFFIXES
from tuning.records.result import load_result
from tuning.study.journal import open_study, read_trials
from tuning.tracking.store import Store

GOOD, BOLD, POOR, POORER = 0.05, 0.25, 0.0005, 0.0006
"""Learning rates of the trials; after two epochs of one of the first two the accuracy is several
times that of the others. The paper's is 0.1, so the nearest of a list is its default."""
WITHOUT_PSKD = ("torchdistill", "mdistiller", "timm")
"""The formats of projects that have no such method."""
CELL = ("pskd", "resnet8", "digits")


@dataclass
class Planted:
    """A sweep whose leader owes its score to luck alone, confirmed."""

    storage: Path
    name: str
    good: float
    lucky: int
    said: str
    again: str
    opened: int

    @property
    def folder(self) -> Path:
        return self.storage / self.name


def command(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def planted(storage: Path, name: str, good: float) -> Planted:
    """Search over rates of which one is `good`; plant luck; confirm twice."""
    space, rates = storage / "space.yaml", [POOR, good, POORER]
    space.write_text(f"optimizer.lr: {{choices: {rates}}}\nalpha: {{choices: [0.8, 0.7, 0.6]}}\n")
    words = ["--preset", "laptop", "--local", "--epochs", "2", "--scheduler", "none"]
    words += ["--trials", "8", "--storage", str(storage), "--name", name, "--search-optimizer"]
    fixed = ["--set", "optimizer.weight_decay=0.0003", "--space", str(space)]
    command("tuning.search", "pskd", *words, *fixed)
    lucky = plant(storage / name / "study.log")

    opened = 0
    real = confirmation.open_dataset

    def counting(*asked: object) -> Dataset:
        dataset = real(*asked)  # type: ignore[arg-type]

        def load_test() -> Images:
            nonlocal opened
            opened += 1
            return dataset.load_test()

        return replace(dataset, load_test=load_test)

    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confirmation, "open_dataset", counting)
        for _ in range(2):
            out = StringIO()
            with redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit) as end:
                confirm.main([name, "--storage", str(storage)])
            said.append(out.getvalue())
            assert end.value.code == 0, said
    return Planted(storage, name, good, lucky, *said, opened)


def plant(journal: Path) -> int:
    """Let the worst completed trial beside the default have had a score of 99 %."""
    with open_study(journal, "search", create=False) as study:
        trials = [t for t in read_trials(study) if t.state == "completed" and t.number]
        rates = {t.number: t.config["optimizer"]["lr"] for t in trials}
        lucky = min(rates, key=lambda number: (rates[number], number))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line.get("trial_id") == lucky and "intermediate_value" in line and line["step"] == 2:
            line["intermediate_value"] = 99.0
        if line.get("trial_id") == lucky and line.get("values"):
            line["values"] = [99.0]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lucky


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The default is poor, some trials are good, and a poor one leads."""
    return planted(tmp_path_factory.mktemp("better"), "better", BOLD)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The default is good, every other trial is poor, and one of them leads."""
    return planted(tmp_path_factory.mktemp("nothing"), "nothing", GOOD)


def exported(sweep: Planted, *words: str) -> str:
    out = StringIO()
    with redirect_stdout(out), redirect_stderr(StringIO()), pytest.raises(SystemExit) as end:
        exporting.main([*words, "--storage", str(sweep.storage)])
    assert not end.value.code
    return out.getvalue()


def test_the_search_preferred_luck_and_confirming_does_not(better: Planted) -> None:
    result = load_result(better.storage, better.name)
    assert result.leader
    assert result.best
    assert result.leader.number == better.lucky != result.best.number
    assert result.best.config["optimizer"]["lr"] == better.good
    assert f"Trial {result.best.number} is better than the paper's default" in better.said
    assert f"trial {better.lucky}, dropped" in better.said
    assert f"trial {better.lucky}, seed 1 completed" in better.said


def test_the_test_set_is_opened_once(better: Planted, nothing: Planted) -> None:
    for sweep in (better, nothing):
        assert sweep.opened == 1
        assert "It was confirmed before" in sweep.again
        assert "Starting Ray" not in sweep.again
        # What the trainings cost is told by the command that ran them.
        cost = "Search and confirmation: "
        assert sum(line.startswith(cost) for line in sweep.said.splitlines()) == 1
        assert cost not in sweep.again
        assert sweep.again.splitlines()[-1] == sweep.said.splitlines()[-1]
        assert "The test set was opened once." in sweep.again
    found = json.loads((better.folder / "confirm.json").read_text())
    assert set(found["test"]) == {"0", str(found["winner"])}
    assert set(json.loads((nothing.folder / "confirm.json").read_text())["test"]) == {"0"}


@pytest.mark.parametrize("which", ["better", "nothing"])
def test_every_way_out_hands_out_what_was_proved(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sweep: Planted = request.getfixturevalue(which)
    result = load_result(sweep.storage, sweep.name)
    found = result.findings
    assert found
    proved = replace(
        TrainConfig.from_dict(result.trials[found.handed_out].config), seed=found.seeds[0]
    )
    assert proved.optimizer.lr == sweep.good
    assert (found.handed_out == 0) == (which == "nothing")

    for name in ("best_config.yaml", "best_config.json"):
        assert TrainConfig.load(sweep.folder / name) == proved
    assert best_config(*CELL, storage=sweep.storage) == proved
    words = [CELL[0], "--backbone", CELL[1], "--dataset", CELL[2]]
    rate = f"{proved.optimizer.lr:g}"
    for target in FORMATS:
        for chosen in (["--sweep", sweep.name], words):
            if target in WITHOUT_PSKD:
                continue
            text = exported(sweep, *chosen, "--to", target)
            assert rate in text, target
            assert not any(f"{poor:g}" in text for poor in (POOR, POORER)), target
    table = tmp_path / "bests.parquet"
    exported(sweep, "--to", "parquet", "-o", str(table))
    (row,) = pq.read_table(table).to_pylist()
    assert row["trial"] == found.handed_out
    assert row["optimizer.lr"] == sweep.good
    assert "(n = " in row["confirmed"]
    for target in SUFFIXES:
        file = tmp_path / f"student.{target}"
        exported(sweep, "--sweep", sweep.name, "--to", target, "-o", str(file))
        card = file.with_name(f"{file.name}.md").read_text()
        assert f"lr: {rate}" in card
        assert "not confirmed" not in card
        assert "test accuracy of this very network" in card
        assert f"| {'trial ' + str(found.handed_out) if found.handed_out else 'paper'}" in card
    client = Store.at(sweep.storage, None).connect()
    champion = client.get_model_version_by_alias(".".join(CELL), "champion")
    assert champion.tags["kd.trial"] == str(found.handed_out)
    assert json.loads(champion.tags["kd.config"]) == proved.to_dict()
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name != "Default"]
    runs = client.search_runs([experiment], "tags.`kd.confirmed` LIKE '%'")
    told = {run.data.tags["kd.trial_id"]: run.data.tags["kd.confirmed"] for run in runs}
    assert "(n = " in told[f"{sweep.name}/{found.handed_out}"]
    shown = command("tuning.best", *words, "--storage", str(sweep.storage))
    assert f"lr: {rate}" in shown
    assert "(n = " in shown.splitlines()[0]
    page = (sweep.folder / "report.html").read_text()
    head = page[: page.index("Best so far")]
    name = f"trial {found.handed_out}" if found.handed_out else "the paper&#39;s default"
    assert f"<dt>confirmed, {name}</dt>" in head
    assert "99.00" not in head.split("</header>")[1].split("<figure")[0]


def test_any_trial_can_be_taken(
    better: Planted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lucky = str(better.lucky)
    text = exported(better, "--sweep", better.name, "--trial", lucky)
    (tmp_path / "lucky.yaml").write_text(text)
    assert TrainConfig.load(tmp_path / "lucky.yaml").optimizer.lr < better.good
    words = ["--sweep", better.name, "--trial", lucky, "--storage", str(better.storage)]
    with pytest.raises(SystemExit) as end:
        exporting.main([*words, "--to", "onnx", "--output", str(tmp_path / "lucky.onnx")])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "Weights were kept of trial" in said
    assert f"python -m kd.train {better.folder} --trial {lucky}" in said
    said = command(
        "kd.train", str(better.folder), "--trial", lucky, "--output", str(tmp_path / "run")
    )
    assert "after epoch 2" in said
    ran = TrainConfig.load(tmp_path / "run" / "config.yaml")
    assert ran == TrainConfig.load(tmp_path / "lucky.yaml")
    said = command("kd.train", str(better.folder), "--output", str(tmp_path / "best"))
    found = json.loads((better.folder / "confirm.json").read_text())
    own = found["val_acc"][str(found["winner"])][0]
    assert f"val accuracy {own:.2f} %" in said, "the student that is handed out, trained again"


def test_what_a_kill_kept_from_being_handed_out_is_when_it_is_asked_again(better: Planted) -> None:
    """Found, but the folder and the registry still have the winner of the search."""
    kept = better.folder / "best_config.yaml"
    proved = kept.read_bytes()
    kept.write_bytes((better.folder / "configs" / f"{better.lucky}.yaml").read_bytes())
    with pytest.raises(SystemExit) as end:
        exporting.main(["--sweep", better.name, "--storage", str(better.storage)])
    assert end.value.code == 2, "no proof is told of what was not proved"
    kept.with_suffix(".json").unlink()
    client = Store.at(better.storage, None).connect()
    champion = client.get_model_version_by_alias(".".join(CELL), "champion")
    client.delete_model_version(champion.name, champion.version)
    out = StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as end:
        confirm.main([better.name, "--storage", str(better.storage)])
    assert not end.value.code
    assert kept.read_bytes() == proved
    kept.write_text("{{{")
    with redirect_stdout(out), pytest.raises(SystemExit) as end:
        confirm.main([better.name, "--storage", str(better.storage)])
    assert kept.read_bytes() == proved
    assert TrainConfig.load(kept.with_suffix(".json")) == TrainConfig.load(kept)
    assert best_config(*CELL, storage=better.storage).optimizer.lr == better.good
    assert "The test set was opened once." in out.getvalue()


def test_what_a_kill_kept_from_mlflow_is_written_when_it_is_asked_again(better: Planted) -> None:
    """A second opening was found; the runs of its seeds, and its version, are not all there."""
    client = Store.at(better.storage, None).connect()
    experiment = client.get_experiment_by_name(".".join(CELL))
    assert experiment is not None
    ids = [experiment.experiment_id]

    def seeds() -> dict[str, tuple[str, float]]:
        runs = client.search_runs(ids, "tags.`kd.confirms` != 'none'")
        return {
            run.data.tags["kd.seed_id"]: (run.info.status, run.data.metrics.get("val_acc", -1.0))
            for run in runs
        }

    whole, runs = seeds(), client.search_runs(ids, "tags.`kd.confirms` != 'none'")
    assert {status for status, _ in whole.values()} == {"FINISHED"}
    client.delete_run(runs[0].info.run_id)
    client.update_run(runs[1].info.run_id, status="RUNNING")
    champion = client.get_model_version_by_alias(".".join(CELL), "champion")
    assert champion.tags["kd.told"] == "1"
    for tag, value in (("kd.told", "0"), ("kd.confirmed", "val 1 %")):
        client.set_model_version_tag(champion.name, champion.version, tag, value)
    with redirect_stdout(StringIO()), pytest.raises(SystemExit) as end:
        confirm.main([better.name, "--storage", str(better.storage)])
    assert not end.value.code
    assert seeds() == whole
    now = client.get_model_version_by_alias(".".join(CELL), "champion")
    assert {**now.tags} == {**champion.tags}


def test_a_resumed_search_leaves_what_is_proved(better: Planted) -> None:
    before = {
        name: (better.folder / name).read_bytes()
        for name in ("best_config.yaml", "student.safetensors", "confirm.json")
    }
    said = command(
        "tuning.search", "--resume", better.name, "--trials", "9", "--storage", str(better.storage)
    )
    assert "is better than the paper's default" in said
    assert {name: (better.folder / name).read_bytes() for name in before} == before
    assert best_config(*CELL, storage=better.storage).optimizer.lr == better.good


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seeds", "20"], "leave the flags away to read what was found"),
        (["--top", "1"], "its test set was opened"),
        (["--trial", "1", "--trial", "2", "--trial", "3", "--trial", "4"], "--again NOTE"),
        (["--again", " "], "give it a note"),
        (["--again", "x" * 301], "of at most 300 letters"),
        (["--top", "1", "--trial", "2"], "give one of them"),
    ],
)
def test_what_was_confirmed_is_not_asked_otherwise(
    nothing: Planted, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (nothing.folder / "confirm.json").read_bytes()
    with pytest.raises(SystemExit) as end:
        confirm.main([nothing.name, "--storage", str(nothing.storage), *words])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
    assert (nothing.folder / "confirm.json").read_bytes() == before


def test_the_test_set_is_opened_again_with_a_note_and_on_fresh_seeds(nothing: Planted) -> None:
    before = json.loads((nothing.folder / "confirm.json").read_text())
    begun = nothing.folder / "confirm-2.opening.json"
    begun.write_text(json.dumps({"when": "2030-01-01T00:00:00+00:00", "note": "a referee asks"}))
    done = subprocess.run(
        [sys.executable, "-m", "tuning.confirm", nothing.name, "--storage", str(nothing.storage),
         "--again", "a reviewer asks", "--top", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "type --again 'a referee asks' to end that first" in done.stderr
    begun.unlink()
    said = command(
        "tuning.confirm", nothing.name, "--storage", str(nothing.storage),
        "--again", "a reviewer asks", "--top", "1", "--refit",
    )  # fmt: skip
    after = json.loads((nothing.folder / "confirm.json").read_text())
    assert min(after["seeds"]) == before["seeds"][0] + before["most"], "none was trained before"
    assert json.loads((nothing.folder / "confirm-1.json").read_text()) == before
    assert [o["note"] for o in after["openings"]] == ["", "a reviewer asks"]
    assert "The test set was opened 2 times (a reviewer asks)." in said
    same = command(
        "tuning.confirm", nothing.name, "--storage", str(nothing.storage), "--again",
        "a  reviewer asks", "--top", "1",
    )  # fmt: skip
    assert "The test set was opened 2 times" in same, "typed again it is the same opening"
    kept = TrainConfig.load(nothing.folder / "best_config.yaml")
    assert kept.seed == after["seeds"][0]
    assert kept.split.train_on_val
    assert f"{after['refit']['test_acc']:.2f} % on test (one run)" in said
    card = nothing.storage / "last.onnx"
    exported(nothing, "--sweep", nothing.name, "--to", "onnx", "-o", str(card))
    text = card.with_name("last.onnx.md").read_text()
    assert f"and {after['refit']['test_acc']:.2f} % test accuracy of this very network" in text
    assert "trained on the val images too" in text
    run = nothing.storage / "run"
    said = command("kd.train", str(nothing.folder), "--output", str(run))
    assert "778 val images" in said
    assert "928 training images" in said
    assert "trained on the val images too" in said
