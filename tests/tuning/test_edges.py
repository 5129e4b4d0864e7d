"""Statistics at their edges: 0 and 100 %, one val image, equal scores, equal seeds."""

import io
import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from synthetic import sweep_result

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.exporters.model_card import model_card
from tuning.records.findings import Findings
from tuning.records.result import SweepResult
from tuning.reports.comparison import table
from tuning.reports.confirmed import on_test, verdict
from tuning.reports.files import write_report
from tuning.reports.importance import importance
from tuning.reports.sentences import caveats, headline
from tuning.reports.summary import print_summary

DESCRIPTION = {
    "image_size": (8, 8),
    "num_classes": 10,
    "in_channels": 1,
    "class_names": ["0"],
    "mean": [0.5],
    "std": [0.2],
    "val_acc": 100.0,
    "epochs": 9,
}


def scored(folder: Path, scores: list[float], val_size: int = 599) -> SweepResult:
    """A sweep of completed trials, the paper's default first, with these val accuracies."""
    folder.mkdir()
    result = sweep_result(folder, trials=len(scores))
    for trial, score in zip(result.trials, scores, strict=True):
        trial.state, trial.reason = "completed", ""
        trial.curve = dict.fromkeys(range(1, 10), score)
        trial.metrics = {"val_acc": score}
    return SweepResult(replace(result.sweep, val_size=val_size), result.trials)


@pytest.mark.parametrize(
    ("scores", "val_size"),
    [
        ([90.0, 100.0], 599),
        ([0.0, 100.0], 1),
        ([100.0] * 12, 599),
        ([0.0] * 12, 599),
        ([0.0, 0.0], 0),
        ([99.99999999999999, 100.00000000000001], 599),
        ([50.0] * 11 + [50.0 + 1e-13], 599),
    ],
)
def test_every_edge_has_its_report(
    tmp_path: Path, scores: list[float], val_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    result = scored(tmp_path / "s", scores, val_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        write_report(result)
    console = Console(file=io.StringIO(), width=200)
    print_summary(result, console)
    assert isinstance(console.file, io.StringIO)
    assert result.best is not None
    config = TrainConfig.from_dict(result.best.config)
    card = model_card(Path("student.onnx"), "onnx", config, DESCRIPTION, result=result)
    page = (result.sweep.folder / "report.html").read_text()
    for said in (page, console.file.getvalue(), card):
        assert "nan" not in said
        assert "± 0.00" not in said


def test_one_run_is_said_to_be_one(tmp_path: Path) -> None:
    result = scored(tmp_path / "s", [90.0, 100.0])
    assert headline(result).endswith(
        "+10.00 points on the paper's default; one run, not confirmed."
    )
    assert "val set of 599 images, which flatters it" in caveats(result)[0]
    one = scored(tmp_path / "t", [0.0, 100.0], val_size=1)
    assert "val set of 1 image," in caveats(one)[0]


def test_a_score_of_zero_is_a_score_in_a_table(tmp_path: Path) -> None:
    result = scored(tmp_path / "s", [0.0, 100.0])
    assert table([result], "markdown").splitlines()[2:] == [
        "| lsskd, paper's default | 0.00 (n = 1) |",
        "| lsskd, tuned | **100.00** (n = 1) |",
    ]
    assert r"$\mathbf{100.00}$ ($n=1$)" in table([result], "latex")


def test_equal_scores_have_no_importance_to_tell(tmp_path: Path) -> None:
    assert importance(scored(tmp_path / "s", [100.0] * 12)) is None


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        (
            [80.0, 81.0],
            "trial 1 is +0.00 points of val accuracy over 2 seeds, p = 1: not",
        ),
        (
            [80.1, 81.1],
            "trial 1 is +0.10 points of val accuracy over 2 seeds, p = 0.22: ",
        ),
        ([70.1, 71.3], "trial 1 is -9.80 points of val accuracy over 2 seeds, p = 1: "),
    ],
)
def test_what_is_not_distinguishable_is_said_to_be(candidate: list[float], sentence: str) -> None:
    findings = found([80.0, 81.0], candidate)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        said = verdict(findings)
    assert said.startswith("Nothing is better than the paper's default, which is handed out: ")
    assert sentence in said
    assert said.endswith("not distinguishable." if "+0.10" in said else "not better.")
    assert findings.handed_out == 0


def test_one_seed_each_decides_nothing() -> None:
    findings = found([80.0], [99.0])
    assert "+19.00 points of val accuracy over 1 seed, and one seed each decides" in verdict(
        findings
    )
    assert "19.00 points on the default over 1 seed, one seed each, which" in on_test(findings)[0]
    assert findings.handed_out == 0


def found(default: list[float], candidate: list[float]) -> Findings:
    """What confirming found before a race decided it: the better mean was the winner."""
    seeds = tuple(range(1, len(default) + 1))
    return Findings(
        sweep="s",
        winner=1,
        seeds=seeds,
        config={},
        val_acc={0: default, 1: candidate},
        test={0: [{"test_acc": a} for a in default], 1: [{"test_acc": a} for a in candidate]},
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seeds": [], "val_acc": {0: [], 1: []}, "test": {0: [], 1: []}}, "has not a score for"),
        ({"test": {0: [{}, {}], 1: [{}, {}]}}, "trial 0 has scores that are none"),
        ({"val_acc": {0: [80.0, math.nan], 1: [80.0, 81.0]}}, "trial 0 has scores that are none"),
        ({"val_acc": {0: [80.0, 810.0], 1: [80.0, 81.0]}}, "trial 0 has scores that are none"),
    ],
)
def test_damaged_findings_are_one_sentence(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    scores = {number: [{"test_acc": 80.0}, {"test_acc": 81.0}] for number in (0, 1)}
    whole = {"sweep": "s", "winner": 1, "seeds": [1, 2], "config": {}, "test": scores}
    whole |= {"val_acc": {0: [80.0, 81.0], 1: [80.0, 81.0]}}
    (tmp_path / "confirm.json").write_text(json.dumps(whole))
    assert Findings.load(tmp_path)
    (tmp_path / "confirm.json").write_text(json.dumps(whole | change).replace("NaN", ".nan"))
    with pytest.raises(UserError, match=rf"confirm\.json is damaged \({sentence}|{sentence}"):
        Findings.load(tmp_path)


def test_findings_that_are_a_folder_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "confirm.json").mkdir()
    with pytest.raises(UserError, match="is damaged"):
        Findings.load(tmp_path)
