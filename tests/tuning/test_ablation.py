"""What `--grid FILE` asks for, and the table that comes of it; a real one is in another file."""

import io
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from rich.console import Console
from synthetic import sweep_result

from kd.backbones import build_backbone
from kd.config import TrainConfig
from kd.errors import UserError
from kd.training.checkpoint import save_weights
from kd.typed import read_flags
from search_spaces import load_rows
from tuning.python.search import run_search
from tuning.records.anew import anew
from tuning.records.keywords import from_keywords
from tuning.records.request import Flags, sweeps
from tuning.records.result import SweepResult
from tuning.records.settings import SweepSettings
from tuning.replaying.recorded import Recorded
from tuning.reports import ablation
from tuning.reports.files import tables
from tuning.reports.page import render
from tuning.reports.summary import print_cells, print_summary
from tuning.reports.wording import numbered
from tuning.search import main
from tuning.study.journal import read_trials
from tuning.study.searcher import StudySearcher

ROWS = {"without L_kl": {"beta": 0}, "<b>α = 1</b>": {"alpha": 1}, "no joint": {"gamma": 0, "T": 2}}
FILE = {"method": "lsskd", "rows": ROWS}


def asked(**keywords: Any) -> SweepSettings:
    """The sweep of an ablation of FILE, or of what `keywords` say."""
    keywords = {"grid": "grid", "preset": "laptop", **keywords}
    files = keywords.pop("files", {"grid": FILE})
    (settings,) = sweeps(from_keywords(Flags, keywords, "method"), gpus=0, files=files)
    return settings


def test_it_is_a_sweep_over_the_default_and_the_rows_to_their_end() -> None:
    settings = asked()
    assert settings.base.method == "lsskd"
    assert settings.trials == settings.planned == 1 + len(ROWS)
    assert (settings.scheduler, settings.sampler) == ("none", "grid")
    assert settings.seeds_per_trial == 3
    assert asked(seeds_per_trial=1).seeds_per_trial == 1
    assert replace(asked(method="lsskd"), name=settings.name) == settings


def test_a_row_that_the_file_of_a_teacher_does_not_allow_is_named(tmp_path: Path) -> None:
    file = tmp_path / "teacher.safetensors"
    about = {"backbone": "resnet8", "num_classes": 10, "in_channels": 1}
    save_weights(build_backbone("resnet8", 10, 1), file, about)
    rows = {"deeper": {"hint_stage": 3}, "early": {"hint_stage": 1}}
    teacher = {"backbone": "resnet18", "dataset": "digits", "teacher": str(file)}
    settings = asked(files={"grid": {"method": "fitnet", "rows": rows}}, **teacher)
    with pytest.raises(
        UserError, match=r"^grid, row 'early': kd\.hint_stage is 1, and the student"
    ):
        settings.check_images()


def test_a_search_has_one_seed_as_before() -> None:
    (settings,) = sweeps(Flags(method=("ce",), preset="laptop"), gpus=0)
    assert settings.seeds_per_trial == 1
    assert "--seeds-per-trial" not in anew(settings)


def test_it_goes_on_without_its_file(tmp_path: Path) -> None:
    settings = asked(storage=tmp_path, name="rows")
    settings.save()
    (kept,) = sweeps(from_keywords(Flags, {"resume": "rows", "storage": tmp_path}), gpus=0)
    assert kept == settings
    assert list(kept.space().rows) == list(ROWS)
    for flag in ("trials", "hours", "epochs_total"):
        with pytest.raises(UserError, match=r"An ablation .* leave --.* away"):
            sweeps(from_keywords(Flags, {"resume": "rows", "storage": tmp_path, flag: 30}), gpus=0)


ANYWAY = {"sampler": "grid", "warm_start": "none", "scheduler": "none", "check_rungs": 0}


def test_what_it_does_anyway_may_be_said(tmp_path: Path) -> None:
    settings = asked(name="rows", **ANYWAY)
    assert replace(settings, warm_start="auto") == asked(name="rows")
    assert "--warm-start none" in anew(settings)


@pytest.mark.parametrize(
    ("name", "usual"),
    [("sampler", "tpe"), ("warm_start", "auto"), ("scheduler", "asha"), ("reduction_factor", 2)],
)
def test_no_flag_is_overridden_in_silence_though_it_is_at_its_default(
    name: str, usual: Any
) -> None:
    flag = name.replace("_", "-")
    with pytest.raises(UserError, match=rf"An ablation .*; leave --{flag} away"):
        asked(**{name: usual})
    with pytest.raises(UserError, match=rf"An ablation .*; leave --{flag} away"):
        read_flags(Flags, [f"--{name}={usual}", "--grid", "rows.yaml"])


def test_lists_may_be_as_long_as_with_set() -> None:
    base = TrainConfig.paper("ce", "resnet8", "digits")
    rows = {
        "two": {"optimizer.milestones": [0.5, 0.75]},
        "four": {"milestones": [0.3, 0.5, 0.7, 0.9]},
        "none": {"milestones": []},
    }
    space = load_rows(base, rows)
    assert base.optimizer.milestones == (0.625, 0.75, 0.875)
    found = [space.apply(base, values) for values in space.listed(base)]
    assert [list(one.optimizer.milestones) for one in found] == [
        row.popitem()[1] for row in rows.values()
    ]
    assert space.apply(base, space.default_values(base)) == base
    assert not space.clipped(base)
    assert "optimizer.milestones.2 = –" in space.describe()[0]
    with pytest.raises(UserError, match=r"row .a.: optimizer\.milestones .* must be a list"):
        load_rows(base, {"a": {"milestones": 0.5}})


def test_shorter_and_longer_lists_are_trained_and_shown(tmp_path: Path) -> None:
    rows = {"two": {"milestones": [0.5, 0.75]}, "four": {"milestones": [0.3, 0.5, 0.7, 0.9]}}
    keywords = {"grid": "grid", "preset": "laptop", "name": "rows", "storage": tmp_path}
    flags = from_keywords(Flags, keywords, "method")
    (settings,) = sweeps(flags, gpus=0, files={"grid": {"method": "ce", "rows": rows}})
    study = optuna.create_study(direction="maximize")
    searcher = StudySearcher(study, settings.space(), settings.base, 3, sampler=settings.sampler)
    for score in (50.0, 60.0, 70.0):
        record = searcher.suggest()
        assert record
        searcher.end(record.number, {"epoch": 9, "val_acc": score})
    result = sweep_result(tmp_path / "rows", trials=3, stopping=False)
    sweep = replace(result.sweep, settings=settings, searched=settings.space().domains)
    result = replace(result, sweep=sweep, trials=read_trials(study))
    lengths = [len(trial.config["optimizer"]["milestones"]) for trial in result.trials]
    assert lengths == [3, 2, 4]
    assert "optimizer.milestones.3" in render(result)
    result.sweep.folder.mkdir()
    for trial in result.trials:
        trial.curve = dict.fromkeys(range(1, 10), trial.score or 0.0)
    for file, content in zip(("trials", "curves"), tables(result), strict=True):
        (result.sweep.folder / f"{file}.parquet").write_bytes(content)
    configs = [TrainConfig.from_dict(trial.config) for trial in result.trials]
    alone = Recorded([result.sweep.folder])
    settings.save()
    for recorded in (alone, Recorded([result.sweep.folder])):
        assert len({*map(recorded.nearest, configs)}) == 3


def test_labels_are_kept_without_blanks_around_them() -> None:
    settings = asked(name="rows")
    blank = replace(settings, rows={f" {label} ": row for label, row in ROWS.items()})
    assert list(blank.space().rows) == list(ROWS)


def test_the_command_of_another_one_like_it_can_be_typed(tmp_path: Path) -> None:
    path = tmp_path / "rows.yaml"
    path.write_text(yaml.safe_dump(FILE), encoding="utf-8")
    flags = {"grid": path, "preset": "laptop", "set": {"history": "dense"}, "name": "rows"}
    (settings,) = sweeps(from_keywords(Flags, flags), gpus=0)
    words = shlex.split(anew(settings))[3:]
    (again,) = sweeps(read_flags(Flags, [*words, "--preset", "laptop"]), gpus=0)
    assert replace(again, name="rows", fixed=settings.fixed) == settings
    assert "--grid FILE" in anew(asked())


def test_a_real_file_says_its_method(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "rows.yaml"
    path.write_text(yaml.safe_dump(FILE), encoding="utf-8")
    words = ["--grid", str(path), "--preset", "laptop", "--dry-run", "--local"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--workers-per-trial", "2", "--storage", str(tmp_path / "runs")])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "4 trials of at most 9 epochs on 3 seeds" in said
    assert "at most 108 epochs in all" in said
    assert "no joint: kd.gamma = 0.0, kd.temperature = 2.0" in said


def test_from_python_the_rows_may_be_a_mapping(tmp_path: Path, capsys: Any) -> None:
    words = {"preset": "laptop", "workers_per_trial": 2, "local": True, "storage": tmp_path}
    assert run_search(grid=FILE, dry_run=True, **words) is None
    assert "4 trials of at most 9 epochs on 3 seeds" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"grid, row 'a': kd\.beta is -1\.0; it must be at least 0"):
        run_search(grid={"method": "lsskd", "rows": {"a": {"beta": -1}}}, **words)
    for name in ("grid", "space"):
        with pytest.raises(UserError, match=f"^{name} is 5; give a mapping, or the path of a YAML"):
            run_search(**{name: 5}, **words)
    with pytest.raises(UserError, match="An ablation tries the rows of its file"):
        run_search(grid=FILE, space={"alpha": [0.1, 0.5, 0.9]}, **words)


def test_a_search_of_them_is_the_same_when_it_goes_on() -> None:
    settings = asked(name="rows")
    whole, broken = (optuna.create_study(direction="maximize") for _ in range(2))

    def train(study: optuna.Study, count: int) -> None:
        searcher = StudySearcher(
            study, settings.space(), settings.base, settings.trials, sampler=settings.sampler
        )
        for _ in range(count):
            record = searcher.suggest()
            assert record
            searcher.end(record.number, {"epoch": 9, "val_acc": 50.0})
        if len(searcher.records) == settings.trials:
            assert searcher.suggest() is None

    train(whole, 4)
    train(broken, 2)
    train(broken, 2)
    found = [read_trials(study) for study in (whole, broken)]
    assert [t.config for t in found[0]] == [t.config for t in found[1]]
    assert [t.label for t in found[1]] == ["", *ROWS]
    assert [t.source for t in found[1]] == [""] * 4
    assert numbered(found[1][1]) == "trial 1 (without L_kl)"


# -- what is shown --------------------------------------------------------------------------------


def result_of(folder: Path, *, seeds: int = 3) -> SweepResult:
    """An ablation whose default and first row completed; of the others one diverged."""
    result = sweep_result(folder, trials=3, stopping=False)
    settings = replace(asked(name=folder.name, storage=folder.parent), seeds_per_trial=seeds)
    sweep = replace(result.sweep, settings=settings, searched=settings.space().domains)
    trials = []
    for trial, label in zip(result.trials, ["", *ROWS], strict=False):
        trials.append(replace(trial, label=label, seeds=seeds, curve={9: 80.0 + trial.number}))
        trials[-1].metrics = {"val_acc": 80.0, **({"val_acc_sd": 0.5} if seeds > 1 else {})}
    trials[2].state, trials[2].reason = "stopped", "the loss was not finite in epoch 9"
    return replace(result, sweep=sweep, trials=trials)


def shown(result: SweepResult) -> str:
    out = io.StringIO()
    print_summary(result, Console(file=out, width=100))
    return out.getvalue()


def test_the_table_is_the_papers_in_the_order_of_the_file(tmp_path: Path) -> None:
    result = result_of(tmp_path / "rows")
    assert ablation.rows(result) == [
        ("the paper's default", "0", "80.00 ± 0.50 % (n = 3)", ""),
        ("without L_kl", "1", "81.00 ± 0.50 % (n = 3)", "+1.00"),
        ("<b>α = 1</b>", "2", "diverged", ""),
        ("no joint", "3", "not begun", ""),
    ]
    alone = result_of(tmp_path / "alone", seeds=1)
    assert ablation.rows(alone)[1] == ("without L_kl", "1", "81.00 % (n = 1)", "+1.00")
    assert "±" not in ablation.note(alone)


def test_a_default_that_did_not_complete_has_nothing_beside_it(tmp_path: Path) -> None:
    result = result_of(tmp_path / "rows")
    result.trials[0].state = "failed"
    assert ablation.rows(result)[0] == ("the paper's default", "0", "failed", "")
    assert ablation.rows(result)[1] == ("without L_kl", "1", "81.00 ± 0.50 % (n = 3)", "")
    result.trials[1].state = "running"
    assert ablation.rows(result)[1] == ("without L_kl", "1", "unfinished", "")
    assert "unfinished" in shown(result)


def test_it_is_printed_and_on_the_page_and_in_the_table_of_trials(tmp_path: Path) -> None:
    result = result_of(tmp_path / "rows")
    for said in (shown(result), cells(result)):
        assert "81.00 ± 0.50 % (n = 3)" in said
        assert "<b>α = 1</b>" in said
        assert "python -m tuning.confirm rows" in said
    page = render(result)
    assert "<h2>Ablation</h2>" in page
    assert "&lt;b&gt;α = 1&lt;/b&gt;" in page
    assert "<b>α" not in page
    import pyarrow as pa
    import pyarrow.parquet as pq

    trials, _ = tables(result)
    assert pq.read_table(pa.BufferReader(trials))["label"].to_pylist() == ["", *list(ROWS)[:2]]


def cells(result: SweepResult) -> str:
    out = io.StringIO()
    print_cells([result, result], Console(file=out, width=100))
    return out.getvalue()


def test_another_sweep_has_none(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    assert ablation.rows(result) == []
    assert "<h2>Ablation</h2>" not in render(result)
    assert "standard deviation over the same" not in shown(result)
