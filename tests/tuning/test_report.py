"""What a sweep leaves to be read: sentences, pictures, Parquet, the HTML report, comparisons."""

import dataclasses
import errno
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console
from synthetic import START, sweep_result

from kd.config import SplitConfig
from kd.errors import UserError
from search_spaces import Range
from tuning.records.findings import Findings, Opening
from tuning.records.keeper import Keeper
from tuning.records.progress import curve_limits, over_epochs, over_minutes
from tuning.records.result import SweepResult, load_result, value_at
from tuning.records.settings import ON_SLURM, SHOWN_STORAGE, STUDY
from tuning.records.taught import BEGINNING, Taught
from tuning.report import main
from tuning.reports.axis import Axis
from tuning.reports.comparison import check_comparable, course, table
from tuning.reports.comparison import render as render_comparison
from tuning.reports.confirmed import print_findings
from tuning.reports.figures import best_so_far, curves, pair_of, slice_of
from tuning.reports.files import tables, write_report
from tuning.reports.live_table import LiveTable
from tuning.reports.page import render
from tuning.reports.picture import draw, figure_of
from tuning.reports.sentences import headline, more_seeds, next_steps
from tuning.reports.spending import cost
from tuning.reports.summary import print_summary
from tuning.reports.wording import duration, text
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study
from tuning.study.trials import NOT_FINITE, TrialRecord
from tuning.sweeps.candidates import Asked, check_asked, planned
from tuning.sweeps.opening import begin_opening, end_opening


def failed(result: SweepResult) -> SweepResult:
    for trial in result.trials:
        trial.state, trial.reason = "failed", "out of memory <b>&"
        trial.curve = {1: 20.0} if trial.number % 2 else {}
    return result


def empty(result: SweepResult) -> SweepResult:
    return dataclasses.replace(result, trials=[])


def diverged_first(result: SweepResult) -> SweepResult:
    assert result.default
    result.default.state, result.default.curve = "failed", {1: 0.0}
    return result


def unfinished(result: SweepResult) -> SweepResult:
    for trial in result.trials[-3:]:
        trial.state, trial.ended = "running", None
    return result


CASES = {
    "usual": lambda folder: sweep_result(folder),
    "one trial": lambda folder: sweep_result(folder, trials=1),
    "one epoch": lambda folder: sweep_result(folder, trials=12, epochs=1),
    "many": lambda folder: sweep_result(folder, trials=40, epochs=40),
    "all failed": lambda folder: failed(sweep_result(folder)),
    "none": lambda folder: empty(sweep_result(folder)),
    "the default diverged": lambda folder: diverged_first(sweep_result(folder)),
    "interrupted": lambda folder: unfinished(sweep_result(folder)),
}


@pytest.fixture(params=CASES)
def result(request: pytest.FixtureRequest, tmp_path: Path) -> SweepResult:
    (tmp_path / "a-sweep").mkdir()
    case: SweepResult = CASES[request.param](tmp_path / "a-sweep")
    return case


def said(result: SweepResult, *, interrupted: bool = False) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    print_summary(result, console, interrupted=interrupted)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# -- numbers ----------------------------------------------------------------------------------


def hand_made(folder: Path) -> SweepResult:
    """Scores 80, 85, 83 after 60, 120 and 180 s; a fourth trial stopped at epoch 3 of 9."""
    result = sweep_result(folder, trials=4)
    for trial, score in zip(result.trials, (80.0, 85.0, 83.0, 50.0), strict=True):
        trial.state = "completed"
        trial.curve = dict.fromkeys(range(1, 10), score)
        trial.started, trial.ended = START, START + 60 * (trial.number + 1)
    result.trials[3].state, result.trials[3].curve = "stopped", {1: 40.0, 2: 45.0, 3: 50.0}
    return result


def test_numbers_of_a_sweep(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    assert result.best is result.trials[1]
    assert result.gain == 5.0
    assert result.epochs_spent == 30
    assert result.epochs_saved == 6
    assert result.seconds == 240
    assert result.trial_seconds == 60 + 120 + 180 + 240
    minutes, epochs = over_minutes(result), over_epochs(result)
    assert minutes
    assert epochs
    assert minutes.steps == [(1.0, 80.0), (2.0, 85.0)]
    assert epochs.steps == [(9.0, 80.0), (18.0, 85.0)]


def test_a_pause_is_no_time_of_the_sweep(tmp_path: Path) -> None:
    """Two trials side by side, interrupted after a minute, and resumed an hour later."""
    result = sweep_result(tmp_path / "s", trials=2)
    later = START + 3660
    for trial, more in zip(result.trials, (60, 120), strict=True):
        trial.state, trial.curve = "completed", {9: 80.0 + trial.number}
        trial.started, trial.ended = START, later + more
        trial.spans = ((START, START + 60), (later, later + more))
        trial.gpus = 0.5
    assert result.seconds == 60 + 120
    assert result.trial_seconds == 120 + 180
    assert result.gpu_seconds == 150
    minutes = over_minutes(result)
    assert minutes
    assert minutes.steps == [(2.0, 80.0), (3.0, 81.0)]
    assert minutes.end == 3.0
    assert "18 epochs trained in 3 min 00 s" in said(result)
    rows = pq.read_table(io.BytesIO(tables(result)[0])).to_pylist()
    assert [row["seconds"] for row in rows] == [120, 180]


def test_values_are_found_and_written_as_people_read_them() -> None:
    config = {"kd": {"lambda_b": [3.0, 1.0]}, "optimizer": {"lr": 0.012345}}
    assert value_at(config, "kd.lambda_b.0") == 3.0
    assert value_at(config, "kd.lambda_b.2") is None
    assert value_at(config, "kd.tau.x") is None
    assert text(value_at(config, "optimizer.lr")) == "0.0123"
    assert text(3) == "3"
    assert [duration(s) for s in (59.4, 245, 12_000)] == ["59 s", "4 min 05 s", "3 h 20 min"]


# -- the summary ------------------------------------------------------------------------------


def test_summary_compares_with_the_default(tmp_path: Path) -> None:
    out = said(hand_made(tmp_path / "s"))
    assert "Best of 4 trials: 85.00 % val accuracy, +5.00 points on the paper's default; " in out
    assert "; one run, not confirmed." in out
    assert "One run each, and the best was chosen on this same val set of 599 images" in out
    assert "times" not in out, "no multiple of an error that one seed knows nothing of"
    assert "stopping 1 trial early saved 6 epochs (17 %)" in out
    assert f"python -m kd.train {tmp_path / 's' / 'best_config.yaml'}\n" in out
    assert "--resume" not in out


def test_confirming_is_what_comes_next_until_it_is_done(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    assert "python -m tuning.confirm s" in said(result)
    confirmed = dataclasses.replace(result, findings=findings_of(result, 1))
    out = said(confirmed)
    assert "python -m tuning.confirm s" not in out
    assert "Trial 1 is better than the paper's default: +6.00 points of val accuracy" in out
    assert "confirmed (trial 1)" in out
    assert "86.50 ± 1.87 % (n = 6)" in out
    assert "not confirmed" not in out
    result.trials[2].state, result.trials[2].curve = "completed", {9: 99.0}
    assert "Since it was confirmed" not in said(confirmed)
    result.trials[2].ended = 2e9
    later = said(confirmed)
    assert (
        "Since it was confirmed, trial 2 came to 99.00 % val accuracy: one run, not conf" in later
    )
    assert "confirmed (trial 1)" in later, "what is proved stays what is handed out"


def test_a_default_that_was_moved_is_said_to_be(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    assert "What is called the paper's default has" not in said(result)
    assert "nearest to the paper" not in said(result) + render(result)
    result.trials[0].config["kd"]["temperature"] = 1.0
    result.trials[0].config["batch_size"] = 16
    words = "the paper&#39;s default has batch_size = 16 (not 10), kd.temperature = 1 (not 3)"
    assert words in render(result)
    assert words.replace("&#39;", "'") in said(result)
    assert "nearest to the paper's   " in said(result)
    assert 'class="number">nearest to the paper&#39;s</th>' in render(result)


def findings_of(result: SweepResult, winner: int, gain: float = 6.0) -> Findings:
    """Six seeds on which `winner` is so many points above the default, and another is not."""
    seeds = range(1, 7)
    spread = [0.0, 0.3, -0.3, 0.2, -0.2, 0.0]
    val = {
        0: [77.0 + seed + spread[seed - 1] for seed in seeds],
        winner: [77.0 + seed + gain for seed in seeds],
        5: [77.0 + seed for seed in (1, 2, 3)],
    }
    handed = winner if gain > 1 else 0
    return Findings(
        sweep=result.sweep.name,
        winner=handed,
        seeds=tuple(seeds),
        config=result.trials[handed].config,
        val_acc=val,
        test={n: [{"test_acc": 75.0 + n + seed} for seed in seeds] for n in {0, handed}},
        most=10,
        openings=(Opening(when="2030-01-02T03:04:05+00:00"),),
    )


def test_summary_says_how_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    usual = hand_made(tmp_path / "runs" / "s")
    assert "python -m tuning.search --resume s\n" in said(usual, interrupted=True)
    elsewhere = hand_made(tmp_path / "big" / "s")
    assert "--resume s --storage big\n" in said(elsewhere, interrupted=True)


@pytest.mark.parametrize(
    ("where", "typed"),
    [
        (ON_SLURM, "search --slurm --resume s --confirm"),
        (SHOWN_STORAGE, "search --resume s --confirm"),
    ],
)
def test_what_ran_elsewhere_is_proved_there(
    where: str, typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tuning.confirm` trains where it is typed, which may be the door of a cluster."""
    monkeypatch.chdir(tmp_path)
    result = hand_made(tmp_path / "runs" / "s")
    assert "tuning.confirm" in said(result)
    monkeypatch.setenv(where, "runs")
    out = said(result)
    assert f"python -m tuning.{typed}" in out
    assert "tuning.confirm" not in out


def test_summary_says_plainly_that_nothing_completed(tmp_path: Path) -> None:
    out = said(failed(sweep_result(tmp_path / "s")))
    assert "No trial of s completed" in out
    assert "out of memory <b>&" in out
    assert "kd.train" not in out


def test_summary_of_every_case_names_the_folder(result: SweepResult) -> None:
    out = said(result, interrupted=True)
    assert str(result.sweep.folder) in out.replace("\n", "")
    assert "None" not in out
    assert "nan" not in out


def test_of_what_was_interrupted_before_its_first_trial_no_more_is_said_than_is_known(
    tmp_path: Path,
) -> None:
    result = empty(sweep_result(tmp_path / "s"))
    base = result.sweep.settings.base
    cut = dataclasses.replace(base, split=SplitConfig(val_fraction=0.6, train_size=150))
    settings = dataclasses.replace(result.sweep.settings, base=cut)
    result = dataclasses.replace(result, sweep=dataclasses.replace(result.sweep, settings=settings))
    folder = result.sweep.folder
    folder.mkdir()
    weights = folder / "teacher.safetensors"
    weights.touch()
    Taught(sweep="s", epochs=0, seconds=2.0, epoch_seconds=1.0, val_acc=0.0).save(weights)
    page = render(result)
    assert "all that val leaves" not in page
    assert "<td>150</td>" in page
    assert "more (" not in page, "of a teacher of no epoch"
    assert "No trial has told of an epoch yet." in page
    for mark in ("triangle", "cross ends", "dashed orange"):
        assert mark not in page
    whole = render(hand_made(tmp_path / "whole"))
    assert "A triangle ends one that was stopped early." in whole
    assert "cross" not in whole
    assert "stopped there" in whole
    assert "failed there" not in whole


def test_what_earlier_sweeps_trained_for_it_is_said(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    folder = result.sweep.folder
    folder.mkdir(exist_ok=True)
    (folder / "teacher.safetensors").touch()
    own = Taught(sweep="s", epochs=9, seconds=20.0, epoch_seconds=2.0, val_acc=70.0)
    own.save(folder / "teacher.safetensors")
    assert "Its teacher took 9 epochs more (20 s)." in cost(result)
    dataclasses.replace(own, sweep="before", epochs=6, seconds=10.0).save(folder / BEGINNING)
    assert (
        "Its teacher and what all its trials begin with took 15 epochs more (30 s, by this sweep "
        "and before)."
    ) in cost(result)
    dataclasses.replace(own, sweep="before").save(folder / "teacher.safetensors")
    assert "took 15 epochs more (30 s, by before)." in cost(result)


def test_an_interrupted_sweep_of_a_comparison_leaves_it_to_that_to_go_on(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    settings = dataclasses.replace(result.sweep.settings, compared_on=3, confirm=True)
    result = dataclasses.replace(result, sweep=dataclasses.replace(result.sweep, settings=settings))
    assert "python -m" not in said(result, interrupted=True)


# -- pictures and Parquet ---------------------------------------------------------------------


def test_picture_is_drawn(result: SweepResult) -> None:
    with Image.open(io.BytesIO(draw(result))) as image:
        assert image.size == (1600, 700)
        assert len(set(image.convert("L").resize((160, 70)).tobytes())) > 3


def test_one_bad_epoch_does_not_flatten_the_picture(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=40)
    low, high = curve_limits(result)
    result.trials[1].curve[2] = 1.0
    assert curve_limits(result)[0] > 40
    assert low < 60 < 90 < high


def best_so_far_of_the_page(result: SweepResult) -> tuple[list[list[float]], list[float]]:
    """The course over minutes and the ends of its axis, in percent, by the chart's own ticks."""
    chart = str(best_so_far(result)[0].chart)
    ticks = re.findall(r'<text class="tick" x="40.0" y="([\d.]+)" [^>]*>([\d.]+)<', chart)
    (low, first), (high, last) = (
        (float(y) - 4, float(label)) for y, label in (ticks[0], ticks[-1])
    )

    def percent(pixel: float) -> float:
        return first + (low - pixel) / (low - high) * (last - first)

    assert re.search(r"<title>\d\d\.\d\d % after (\d min )?\d\d? s</title>", chart)
    line = re.search(r'<polyline class="best" points="([^"]+)"', chart)
    level = re.search(r'<path class="paper" d="M46,([\d.]+)', chart)
    frame = re.search(r'<path class="frame" d="M46,(\d+)V(\d+)', chart)
    assert line
    assert frame
    course = [percent(float(corner.split(",")[1])) for corner in line[1].split()]
    default = [percent(float(level[1]))] if level else []
    return [course[::2], default], [percent(float(frame[2])), percent(float(frame[1]))]


@pytest.mark.parametrize(
    "scores", [(84.0, 60.0, 70.0, 86.0), (84.0, 60.0, 86.0), (84.0,), (70.0, 84.0, 90.0, 95.0)]
)
def test_page_and_picture_show_the_same_best_so_far(
    tmp_path: Path, scores: tuple[float, ...]
) -> None:
    result = sweep_result(tmp_path / "s", trials=len(scores))
    for trial, score in zip(result.trials, scores, strict=True):
        trial.state, trial.curve = "completed", {9: score}
        trial.started, trial.ended = START, START + 60 * (trial.number + 1)
    so_far = over_minutes(result)
    assert so_far
    picture = figure_of(result).axes[1]
    course, default = picture.get_lines()
    assert list(course.get_xdata()) == [*(at for at, _ in so_far.steps), so_far.end]
    assert picture.get_ylim() == so_far.limits
    # A pixel of the page's chart is less than a hundredth of its axis.
    (steps, level), ends = best_so_far_of_the_page(result)
    near = (so_far.limits[1] - so_far.limits[0]) / 100
    assert steps == pytest.approx(list(course.get_ydata())[:-1], abs=near)
    assert level == pytest.approx([default.get_ydata()[0]], abs=near)
    assert ends == pytest.approx(picture.get_ylim(), abs=near)


def test_the_axis_of_the_best_so_far_starts_at_a_typical_trial(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    for trial, score in zip(result.trials, (84.0, 60.0, 70.0, 86.0), strict=True):
        trial.state, trial.curve = "completed", {9: score}
    so_far = over_minutes(result)
    assert so_far
    # The median is 77, the best 86: 77 − 0.3 · 9 and 86 + 0.2 · 9.
    assert so_far.limits == pytest.approx((74.3, 87.8))


def test_parquet_holds_every_trial_and_epoch(result: SweepResult) -> None:
    trials, curves = (pq.read_table(io.BytesIO(each)).to_pylist() for each in tables(result))
    assert [(row["trial"], row["state"], row["val_acc"]) for row in trials] == [
        (trial.number, trial.state, trial.score) for trial in result.trials
    ]
    for row, trial in zip(trials, result.trials, strict=True):
        assert row["kd.alpha"] == trial.config["kd"]["alpha"]
        assert row["optimizer.lr"] == trial.config["optimizer"]["lr"]
    assert [(row["trial"], row["epoch"], row["val_acc"]) for row in curves] == [
        (trial.number, epoch, trial.curve[epoch])
        for trial in result.trials
        for epoch in sorted(trial.curve)
    ]


# -- the page ---------------------------------------------------------------------------------


class Page(HTMLParser):
    """Checks that every element is closed, and collects what could reach for the network."""

    VOID = ("meta", "link")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_alone(result: SweepResult) -> None:
    page = render(result)
    parsed = Page(page)
    assert parsed.addresses == ["data:,"]
    assert not {"img", "iframe"} & set(parsed.tags)
    assert parsed.tags.count("script") == 1
    assert not re.search(r"\b(fetch|import|XMLHttpRequest|WebSocket|eval)\b", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "<b>" not in page
    assert "nan" not in page
    charts = parsed.tags.count("svg")
    searched = len(result.sweep.searched)
    # Curves always; then two courses, a slice of each, six pairs, the parallel axes, importance.
    weighed = "Importance of each hyperparameter" in page
    assert charts == (1 + 2 + searched + 6 + 1 + weighed if result.best else 1)


@pytest.mark.parametrize(("live", "which"), [(False, "four most important"), (True, "first four")])
def test_page_says_which_hyperparameters_have_charts_where_not_all_have(
    tmp_path: Path, live: bool, which: str
) -> None:
    result = sweep_result(tmp_path / "s")
    searched = result.sweep.searched
    assert f"The {which} of {len(searched)} hyperparameters." in render(result, live=live)
    assert " eight " not in render(result, live=live)
    few = dataclasses.replace(result.sweep, searched=dict(list(searched.items())[:4]))
    assert f"The {which}" not in render(dataclasses.replace(result, sweep=few), live=live)
    names = ("optimizer.lr", "optimizer.momentum", "optimizer.weight_decay", "augment.flip")
    more = {**searched, **dict.fromkeys(names, Range(low=0, high=1))}
    many = dataclasses.replace(result.sweep, searched=more)
    page = render(dataclasses.replace(result, sweep=many), live=True)
    assert f"The first eight of {len(more)} hyperparameters." in page


def test_page_says_how_memories_were_kept_where_trials_say_it(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    assert re.search(r"soft-label memories</t.>\s*<td>auto</td>", render(result))
    old = [{n: v for n, v in t.config.items() if n != "history"} for t in result.trials]
    trials = [
        dataclasses.replace(t, config=config) for t, config in zip(result.trials, old, strict=True)
    ]
    assert "soft-label memories" not in render(dataclasses.replace(result, trials=trials))


def test_page_says_how_close_the_best_came_to_its_teacher(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    assert "Beside its teacher" not in render(result)
    assert result.best
    result.best.metrics |= {
        "teacher_agreement": 87.25, "teacher_kl": 0.3142, "teacher_correlation": 0.913,
        "relative_error": 0.957, "distillation_factor": 3.096,
    }  # fmt: skip
    assert (
        "both say the same of 87.25 % of the images, KL divergence 0.314 nats, correlation of "
        "probabilities 0.91; of errors it made 0.96 times as many, with 1/3.1 of the parameters."
    ) in render(result)
    del result.best.metrics["relative_error"]
    assert "of errors its teacher made none" in render(result)


def test_page_lists_every_trial_with_its_reason(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    page = render(result)
    for trial in result.of("stopped", "failed"):
        assert f"<td>{trial.reason}</td>" in page
    assert page.count("<tr") >= 16


@pytest.mark.parametrize(
    ("axis", "count"),
    [
        (Axis(0.4, 0.6, log=True), 3),
        (Axis(1.1e-3, 1.4e-3, log=True), 3),
        (Axis(9.0, 11.5, log=True), 3),
        (Axis(1e-12, 1.0, log=True), 3),
        (Axis(0.98, 1.55), 3),
        (Axis.over([94.0, 94.000001]), 3),
        (Axis.over([100.0]), 4),
        (Axis(0, 1.7, whole=True), 4),
        (Axis(1, 3, whole=True), 4),
        (Axis(1, 300, log=True, whole=True), 4),
    ],
    ids=str,
)
def test_an_axis_tells_its_scale(axis: Axis, count: int) -> None:
    ticks = axis.ticks(count)
    assert 2 <= len(ticks) <= 8
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(0 <= place <= 1 for place, _ in ticks)
    if axis.whole:
        assert all(float(label).is_integer() for _, label in ticks)


def test_a_trial_of_one_epoch_is_a_mark(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=12, epochs=1)
    chart = str(curves(result).chart)
    assert chart.count('<path class="mark') == 12
    assert [label for _, label in re.findall(r'class="tick" (x)[^>]*middle">([^<]*)', chart)] == [
        "1"
    ]


def shapes(chart: str, style: str) -> set[str]:
    """The outlines of the marks of a style, without where they are and how large."""
    outlines = re.findall(rf'<path class="mark {style}"[^>]* d="([^"]*)"', chart)
    return {re.sub(r"[\d.,-]+", "", outline) for outline in outlines}


def test_what_colours_tell_shapes_tell_too(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=40)
    for name, chart in (
        ("other", str(slice_of(result, "kd.alpha").chart)),
        ("ranked", str(pair_of(result, "kd.alpha", "kd.beta").chart)),
    ):
        styles = ("best", "paper", "failed", name) + (("stopped",) if name == "ranked" else ())
        found = [shapes(chart, style) for style in styles]
        assert all(len(each) == 1 for each in found)
        assert len(set.union(*found)) == len(styles)


def test_every_series_of_a_comparison_is_drawn_its_own_way(tmp_path: Path) -> None:
    results = [sweep_result(tmp_path / f"s{i}", seed=i) for i in range(9)]
    chart = str(course(results).chart)
    lines = re.findall(r'<polyline class="(series\d) (dash\d)" points="([\d.]+),([\d.]+)', chart)
    assert len({(colour, dash) for colour, dash, *_ in lines}) == 9
    marks = re.findall(r'<path class="mark (series\d dash\d)"[^>]* d="([^"]*)"', chart)
    looks = {(style, re.sub(r"[\d.,-]+", "", outline)) for style, outline in marks}
    assert len(looks) == 9
    assert len({shape for _, shape in looks}) > 4


def test_a_comparison_begins_at_the_default(tmp_path: Path) -> None:
    usual = sweep_result(tmp_path / "usual")
    without = diverged_first(sweep_result(tmp_path / "without", seed=1))
    assert usual.default_score is not None
    chart = str(course([usual, without]).chart)
    titles = re.findall(r"<polyline[^>]*><title>([^<]*)", chart)
    assert titles[0].endswith(f", {usual.gain:+.2f} on the default")
    assert "default" not in titles[1]
    ticks = re.findall(
        r'text class="tick" x="[\d.]+" y="([\d.]+)" text-anchor="end">([\d.]+)', chart
    )
    (low, first), (high, last) = ((float(y) - 4, float(v)) for y, v in (ticks[0], ticks[-1]))
    left = re.search(r'<path class="frame" d="M(\d+)', chart)
    starts = re.findall(r'<polyline[^>]* points="([\d.]+),([\d.]+)', chart)
    assert left
    assert float(starts[0][0]) == float(left[1]) < float(starts[1][0])
    level = first + (low - float(starts[0][1])) / (low - high) * (last - first)
    assert level == pytest.approx(usual.default_score, abs=0.05)
    page = render_comparison([usual, without])
    assert f'<td class="number">{usual.gain:+.2f}</td>' in page


def test_a_name_with_dollars_is_no_formula(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    base = dataclasses.replace(
        result.sweep.settings.base, dataset=r"parquet:/x/$\frac{$" + "y" * 300
    )
    settings = dataclasses.replace(result.sweep.settings, base=base)
    named = SweepResult(dataclasses.replace(result.sweep, settings=settings), result.trials)
    with Image.open(io.BytesIO(draw(named))) as image:
        assert image.size == (1600, 700)


# -- the command ------------------------------------------------------------------------------


def keep(result: SweepResult, seed: int = 0) -> None:
    """Leave the folder of a sweep behind, as a search with this training seed does."""
    sweep = result.sweep
    base = dataclasses.replace(sweep.settings.base, seed=seed)
    dataclasses.replace(sweep.settings, base=base).save()
    states = {"completed": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
    with open_study(sweep.folder / STUDY, "search", create=True) as study:
        study.set_user_attr("val_size", sweep.val_size)
        study.set_user_attr("slots", sweep.slots)
        study.set_user_attr("protocol", {**sweep.protocol, "seed": str(seed)})
        for trial in result.trials:
            config = trial.config | {"seed": seed}
            study.add_trial(
                optuna.create_trial(
                    state=optuna.trial.TrialState[states[trial.state]],
                    value=trial.score if trial.state == "completed" else None,
                    intermediate_values=trial.curve,
                    user_attrs={
                        "config": config,
                        "metrics": trial.metrics,
                        "reason": trial.reason,
                    },
                )
            )


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    code = ended.value.code
    assert isinstance(code, int)
    return code


def test_report_is_written_again_from_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = sweep_result(tmp_path / "lsskd-one")
    keep(result)
    assert run("lsskd-one", "--storage", str(tmp_path)) == 0
    for name in ("report.html", "curves.png", "trials.parquet", "curves.parquet"):
        assert (result.sweep.folder / name).stat().st_size > 1000
    again = load_result(tmp_path, "lsskd-one")
    assert again.sweep == result.sweep

    def told(trials: SweepResult) -> list[tuple[int, str, dict[int, float], str]]:
        return [(t.number, t.state, t.curve, t.reason) for t in trials.trials]

    assert told(again) == told(result)
    assert "Best of 16 trials" in capsys.readouterr().out

    elsewhere = tmp_path / "elsewhere.html"
    assert run("lsskd-one", "--storage", str(tmp_path), "-o", str(elsewhere)) == 0
    assert "lsskd on resnet8" in elsewhere.read_text()
    assert run("lsskd-one", "--storage", str(tmp_path), "-o", str(tmp_path / "no" / "x")) == 2
    assert "give another -o" in capsys.readouterr().err


def test_a_confirmed_sweep_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = sweep_result(tmp_path / "s")
    keep(result)
    assert "not opened" in render(result)
    assert "Confirmed on new seeds" not in render(result)
    assert "(one run, not confirmed)" in render(result)
    begin_opening(result.sweep.folder, "confirm", "")
    assert "opened 1 time; what was read last was not kept" in render(result)
    end_opening(result.sweep.folder, "confirm")
    findings = findings_of(result, 3)
    findings.save(result.sweep.folder)
    assert Findings.load(result.sweep.folder) == findings
    confirmed = load_result(tmp_path, "s")
    assert confirmed.best
    assert confirmed.leader
    assert confirmed.best.number == 3 != confirmed.leader.number
    page = render(confirmed)
    assert "not opened" not in page
    assert "not confirmed" not in page
    assert "Trial 3 is better than the paper&#39;s default: +6.00 points of val accuracy" in page
    assert "On test, trial 3 is +3.00 points on the default over 6 seeds, p = " in page
    assert "The test set was opened once." in page
    assert len(findings.trainings) == 6 + 6 + 3
    assert dataclasses.replace(findings, openings=()).opened == 1, "as of before it was noted"
    assert findings.trainings[-1] == (5, 3, {"val_acc": 80.0}), "one that was dropped is kept too"
    print_findings(findings)
    for shown in (page, capsys.readouterr().out):
        assert "over the first n of the same new seeds" in shown, "of one that was dropped fewer"
    assert "<dt>confirmed, trial 3</dt>" in page
    assert page.count("86.50 ± 1.87 % (n = 6)") == 2
    assert page.count("sealed") == 1
    assert f"seed: {findings.seeds[0]}\n" in page, "the YAML is that of the student"
    for damage in ("{}", "", '{"sweep": "s"', "[1]"):
        (result.sweep.folder / "confirm.json").write_text(damage)
        with pytest.raises(UserError, match=r"confirm\.json is damaged"):
            load_result(tmp_path, "s")


def test_where_nothing_is_better_the_default_is_shown(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    nothing = dataclasses.replace(result, findings=findings_of(result, 3, gain=0.1))
    assert nothing.best is result.default
    for shown in (said(nothing), render(nothing)):
        assert "Nothing is better than the paper" in shown
        assert "trial 3 has the lowest p of 2 candidates, +0.10 points of val acc" in shown
        assert " over 6 seeds, p = " in shown
        assert "not distinguishable" in shown
    assert more_seeds(nothing).startswith("python -m tuning.confirm s --storage ")
    assert more_seeds(nothing).endswith(" --trial 3 --seeds 20 --again more-seeds")
    asked = Asked(trials=(3,), seeds=20, again="more-seeds")
    check_asked(nothing, asked)
    assert planned(nothing, asked, "confirm-2").trials == (0, 3)
    found = findings_of(result, 3, gain=-0.1)
    val = {number: found.val_acc[number] for number in (0, 3)}
    worse = dataclasses.replace(result, findings=dataclasses.replace(found, val_acc=val))
    proved = dataclasses.replace(result, findings=findings_of(result, 3, gain=9.0))
    assert [more_seeds(each) for each in (result, worse, proved)] == ["", "", ""]


def test_the_picture_tells_the_search_s_score_from_that_of_new_seeds(tmp_path: Path) -> None:
    searched = sweep_result(tmp_path / "s")
    assert searched.best is not None
    number = searched.best.number
    found = dataclasses.replace(searched, findings=findings_of(searched, number))
    searched.sweep.folder.mkdir(exist_ok=True)
    write_report(searched)
    before = (searched.sweep.folder / "curves.png").read_bytes()
    write_report(found)
    assert (searched.sweep.folder / "curves.png").read_bytes() != before

    def labels(result: SweepResult) -> list[str]:
        return [text.get_text() for text in figure_of(result).axes[0].get_legend().get_texts()]

    score = f"{searched.best.score:.1f} %"
    assert f"best: trial {number}, {score}" in labels(searched)
    new = "new seeds: 86.50 ± 1.87 % (n = 6)"
    assert f"handed out: trial {number}, {score} in the search\n{new}" in labels(found)
    (default,) = (label for label in labels(found) if "default" in label)
    assert re.search(r"^the paper's default, .* in the search\nnew seeds: 80\.50 ± ", default)


def test_what_to_type_next_names_the_network_s_own_file(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s")
    (to_onnx,) = (line for line in next_steps(result) if "--to onnx" in line)
    assert to_onnx.startswith("python -m tuning.export --sweep s --to onnx --storage ")


def test_a_full_disk_leaves_the_old_files_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = sweep_result(tmp_path / "s")
    result.sweep.folder.mkdir()
    write_report(result)
    old = {path: path.read_bytes() for path in result.sweep.folder.rglob("*.*") if path.is_file()}

    for number, remedy in ((errno.ENOSPC, "free some space"), (errno.EROFS, "see that this user")):

        def failing(file: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(UserError, match=f"{os.strerror(number)}; {remedy} .*type the same"):
            write_report(result)
    assert {path: path.read_bytes() for path in old} == old


def test_images_that_are_elsewhere_are_told_apart_by_what_the_sweep_noted(tmp_path: Path) -> None:
    cats, dogs = (sweep_result(tmp_path / name) for name in ("cats", "dogs"))
    for result, identity in ((cats, "parquet-1"), (dogs, "parquet-2")):
        noted = result.sweep.protocol | {"dataset": identity}
        sweep = dataclasses.replace(result.sweep, protocol=noted)
        keep(SweepResult(sweep, result.trials))
    results = [load_result(tmp_path, name) for name in ("cats", "dogs")]
    with pytest.raises(UserError, match="dataset digits and dogs has digits with other images"):
        check_comparable(results)


def test_report_offers_the_nearest_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(sweep_result(tmp_path / "lsskd-one", trials=2))
    assert run("lsskd-onr", "--storage", str(tmp_path)) == 2
    assert "did you mean 'lsskd-one'?" in capsys.readouterr().err
    assert run("--storage", str(tmp_path)) == 2
    assert "Which sweep?" in capsys.readouterr().err


def test_sweeps_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(sweep_result(tmp_path / "one"))
    proved = sweep_result(tmp_path / "two", seed=1)
    keep(proved)
    findings_of(proved, 3).save(proved.sweep.folder)
    assert run("one", "two", "--storage", str(tmp_path)) == 0
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    parsed = Page(page)
    assert parsed.tags.count("svg") == 3
    assert "one" in page
    assert "two" in page
    assert f">{load_result(tmp_path, 'one').best_score:.2f} (n = 1)<" in page
    assert ">86.50 ± 1.87 (n = 6)<" in page
    assert "| lsskd, tuned |" in capsys.readouterr().out


def test_sweeps_under_other_protocols_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(sweep_result(tmp_path / "one"))
    keep(sweep_result(tmp_path / "two"), seed=5)
    assert run("one", "two", "--storage", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: one has seed 0 and two has 5; ")
    assert not (tmp_path / "comparison.html").exists()


def test_a_sweep_without_trials_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no trial yet"):
        check_comparable([empty(sweep_result(tmp_path / "one"))])


def on_backbone(result: SweepResult, backbone: str, scores: dict[int, float]) -> SweepResult:
    trials = [
        TrialRecord(number=n, config=result.trials[0].config, state="completed", curve={9: score})
        for n, score in scores.items()
    ]
    settings = result.sweep.settings
    base = dataclasses.replace(settings.base, backbone=backbone)
    settings = dataclasses.replace(settings, base=base)
    return SweepResult(dataclasses.replace(result.sweep, settings=settings), trials)


def test_tables_have_the_form_of_the_papers(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "s", trials=1)
    results = [
        on_backbone(result, "resnet8", {0: 80.0, 1: 82.0}),
        on_backbone(result, "wrn_16_2", {0: 90.0}),
        on_backbone(result, "resnet8", {0: 80.0, 1: 81.0}),
    ]
    assert table(results, "markdown").splitlines() == [
        "| val accuracy (%), digits | resnet8 | wrn_16_2 |",
        "| --- | ---: | ---: |",
        "| lsskd, paper's default | 80.00 (n = 1) | **90.00** (n = 1) |",
        "| lsskd, tuned | **82.00** (n = 1) | **90.00** (n = 1) |",
    ]
    latex = table(results, "latex").splitlines()
    assert latex[0] == r"\begin{tabular}{lcc}"
    assert latex[2] == r"val accuracy (\%), digits & resnet8 & wrn\_16\_2 \\"
    assert latex[5] == (r"lsskd, tuned & $\mathbf{82.00}$ ($n=1$) & $\mathbf{90.00}$ ($n=1$) \\")
    confirmed = dataclasses.replace(
        results[2], findings=findings_of(sweep_result(tmp_path / "t"), 1)
    )
    line = table([results[1], results[0], confirmed], "markdown").splitlines()[-1]
    assert "**86.50** ± 1.87 (n = 6)" in line, (
        "what is proved goes before what is higher in one run"
    )


def test_a_search_that_still_runs_leaves_what_was_proved_meanwhile(tmp_path: Path) -> None:
    result = hand_made(tmp_path / "s")
    result.sweep.folder.mkdir(exist_ok=True)
    files = TrialFiles(shelf=result.sweep.settings.shelf, study="search")
    keeper = Keeper(result.sweep.folder, files)
    keeper.on_end(result.trials[0])
    kept = result.sweep.folder / "best_config.yaml"
    before = kept.read_bytes()
    findings_of(result, 1).save(result.sweep.folder)
    keeper.on_end(result.trials[1])
    assert kept.read_bytes() == before
    assert (result.sweep.folder / "configs" / "1.yaml").exists()


def test_a_training_that_diverged_is_not_called_stopped(tmp_path: Path) -> None:
    """Its 0 % are no accuracy that it had."""
    result = sweep_result(tmp_path / "s")
    trial = result.default
    assert trial
    trial.state, trial.curve, trial.reason = "stopped", {1: 0.0}, f"{NOT_FINITE} in epoch 1"
    assert "the paper's default diverged at epoch 1, so" in headline(result)
    rows = re.findall(r'class="number">(\d+)</th><td>(\w+)</td>', render(result))
    assert dict(rows)["0"] == "diverged"
    lines = io.StringIO()
    live = LiveTable(result.sweep, console=Console(file=lines, width=200))
    live.on_end(trial)
    assert "(the paper's default) diverged at epoch 1/9 (alpha" in lines.getvalue()
