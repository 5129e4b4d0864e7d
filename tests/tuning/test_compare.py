"""Methods that are tuned alike and compared: a real one, killed in the middle, and what is said."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
import yaml
from real_sweeps import finish, wait_for
from synthetic import sweep_result

from kd.errors import UserError
from kd.typed import read_flags
from tuning import run_compare
from tuning.compare import main
from tuning.engine.trying import Tried
from tuning.records.compare_request import Alike, Flags, baselines, check
from tuning.records.compared import Comparison
from tuning.records.findings import Findings, IncompleteError, Opening
from tuning.records.forecast import Band
from tuning.records.keywords import from_keywords
from tuning.records.measured import Cost, Measured, Row, Scores, measure
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import SweepSettings
from tuning.reports.method_table import as_markdown, numbers, print_table
from tuning.reports.method_words import cells, sentences
from tuning.reports.wording import duration
from tuning.study.expected import Pace
from tuning.study.journal import load_study, read_trials
from tuning.study.pairs import Paired
from tuning.study.trials import TrialRecord
from tuning.sweeps import comparing, forecasting
from tuning.sweeps.searching import plan_asked

WORDS = ["pskd", "ce", "--backbone", "resnet8", "--dataset", "digits", "--preset", "laptop",
         "--local", "--trials", "2", "--epochs", "1", "--seeds", "2"]  # fmt: skip
NAME = "compare-resnet8-digits"
PSKD, CE = f"{NAME}-pskd-resnet8-digits", f"{NAME}-ce-resnet8-digits"


class Compared(NamedTuple):
    """A comparison that was killed while its first method was confirmed, and then went on."""

    storage: Path
    before: list[TrialRecord]
    """The trainings of that confirmation when it was killed."""
    said: str
    again: str
    """What the same command says once more."""
    written: dict[str, int]
    """When the findings of its sweeps were written, before it was asked once more."""


def start(storage: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tuning.compare", *words, "--storage", str(storage)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def trainings(storage: Path, sweep: str) -> list[TrialRecord]:
    path = storage / sweep / "confirm.log"
    if not path.exists() or not path.stat().st_size:
        return []
    return read_trials(load_study(path, "confirm"))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    storage = tmp_path_factory.mktemp("compared")
    process = start(storage, *WORDS)

    def in_the_middle() -> bool:
        return any(r.state == "completed" for r in trainings(storage, PSKD))

    wait_for(in_the_middle, 300)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = trainings(storage, PSKD)
    said = finish(start(storage, *WORDS))
    written = {name: (storage / name / "confirm.json").stat().st_mtime_ns for name in (PSKD, CE)}
    return Compared(storage, before, said, finish(start(storage, *WORDS)), written)


def test_one_that_was_killed_goes_on_and_trains_nothing_twice(compared: Compared) -> None:
    assert "was begun before; it goes on" in compared.said
    assert "Method 1 of 2, pskd: searching" not in compared.said
    assert "Method 1 of 2, pskd: confirming" in compared.said
    assert "Method 2 of 2, ce: searching" in compared.said
    for sweep in (PSKD, CE):
        done = [r for r in trainings(compared.storage, sweep) if r.state == "completed"]
        pairs = [(r.config["seed"], json.dumps(r.config["kd"])) for r in done]
        assert len(pairs) == len(set(pairs))
        assert len(load_result(compared.storage, sweep).trials) == 2
    kept = {r.number: r.ended for r in trainings(compared.storage, PSKD)}
    assert all(kept[r.number] == r.ended for r in compared.before if r.state == "completed")


def test_test_is_opened_once_for_each_and_asking_again_only_reads(compared: Compared) -> None:
    for sweep in (PSKD, CE):
        findings = Findings.load(compared.storage / sweep)
        assert findings is not None
        assert len(findings.openings) == 1
        assert findings.seeds[:2] == (1, 2)
        path = compared.storage / sweep / "confirm.json"
        assert path.stat().st_mtime_ns == compared.written[sweep]
    assert "Starting Ray" not in compared.again
    assert compared.again.splitlines()[-8:] == compared.said.splitlines()[-8:]


def test_its_files_say_the_same(compared: Compared) -> None:
    folder = compared.storage / NAME
    assert {path.name for path in folder.iterdir()} == {
        "comparison.yaml", "comparison.md", "comparison.json", "comparison.parquet",
    }  # fmt: skip
    rows = pq.read_table(folder / "comparison.parquet").to_pylist()
    found = json.loads((folder / "comparison.json").read_text())
    tuned = {
        method: [row["test_acc"] for row in rows if row["method"] == method and row["tuned"]]
        for method in ("pskd", "ce")
    }
    assert {len(scores) for scores in tuned.values()} == {2}
    mean = sum(a - b for a, b in zip(tuned["pskd"], tuned["ce"], strict=True)) / 2
    assert found["rows"][0]["on_baseline"]["mean"] == pytest.approx(mean)
    assert {row["seed"] for row in rows} == {1, 2} == set(found["seeds"])
    page = (folder / "comparison.md").read_text()
    assert "| on ce: " in page
    assert "a screening" in page
    for sentence in found["sentences"]:
        assert sentence in compared.said


def test_the_sweeps_are_ordinary_ones_of_one_comparison(compared: Compared) -> None:
    for sweep, method in ((PSKD, "pskd"), (CE, "ce")):
        settings = load_result(compared.storage, sweep).sweep.settings
        assert (settings.base.method, settings.trials, settings.seed) == (method, 2, 0)
        assert settings.compared_on == 2
        assert (compared.storage / sweep / "report.html").exists()


def test_from_python_it_is_a_table(compared: Compared) -> None:
    result = run_compare(resume=NAME, storage=compared.storage, local=True, verbose=False)
    assert list(result.table["method"]) == ["pskd", "ce"]
    assert result.table["baseline"].iloc[0] == "ce"
    assert list(result.trainings["seed"])[:2] == [1, 2]
    assert result.report == compared.storage.absolute() / NAME / "comparison.md"
    assert result.sweep("ce").name == CE
    assert "A screening on 2 seeds" in repr(result)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*WORDS, "--seeds", "9"], "was begun with: pskd ce --backbone resnet8"),
        (["ce", "pskd", "lsr", *WORDS[2:]], "is of pskd, ce, and of no other methods; go on with"),
        (["--resume", NAME, "--trials", "9"], "keeps its own trials; leave it away"),
        (["--resume", "compare-resnet8-digit"], "did you mean 'compare-resnet8-digits'"),
        ([*WORDS, "--name", PSKD], "is a sweep and no comparison; give another name"),
    ],
)
def test_what_was_begun_is_kept(
    words: list[str], sentence: str, compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([*words, "--storage", str(compared.storage)])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


# -- what is asked for ----------------------------------------------------------------------------


def asked(*methods: str, **keywords: object) -> Flags:
    return from_keywords(Flags, {"method": list(methods), **keywords}, "method")


def test_the_keywords_are_the_commands_flags() -> None:
    shown = signature(run_compare).parameters
    assert {"method", "trials", "seeds", "baseline", "name", "resume", "storage"} <= set(shown)


def test_patterns_stand_for_methods_and_each_is_there_once() -> None:
    assert asked("ce", "*tskd", "lss*", "lsskd").methods == ("ce", "dtskd", "lsskd")


def test_a_method_is_compared_with_what_it_is_to_beat() -> None:
    methods = ("lsskd", "drkd", "kd", "ce")
    assert baselines(methods) == {"lsskd": "ce", "drkd": "kd", "kd": "ce"}
    assert baselines(("drkd", "ce")) == {"drkd": "ce"}
    assert baselines(("lsskd", "kd")) == {"lsskd": "kd"}
    assert baselines(methods, "lsskd") == {"drkd": "lsskd", "kd": "lsskd", "ce": "lsskd"}


def test_the_machines_own_flags_are_no_part_of_what_was_asked() -> None:
    one = asked("ce", "kd", trials=4, data_root="a", cpus_per_trial=1, storage="b", local=True)
    assert one.asked == "ce kd --trials 4" == asked("ce", "kd", "[c]e", trials=4, name="x").asked
    assert asked("ce", "kd", trials=5).asked != one.asked
    check(asked(resume="x", cpus_per_trial=1, storage="b"))
    with pytest.raises(UserError, match="keeps its own method"):
        check(asked("ce", resume="x"))


def test_papers_that_train_for_different_times_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["pskd", "ce", "--preset", "paper", "--dataset", "digits", "--local",
              "--storage", str(tmp_path)])  # fmt: skip
    assert "The papers train pskd for 300 epochs and ce for 240; give --epochs N" in (
        capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_a_share_that_cannot_be_is_refused_before_the_first_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[Flags] = []
    monkeypatch.setattr("tuning.compare.compare_asked", begun.append)
    words = ["cskd", "ce", "--backbone", "resnet8", "--dataset", "digits", "--preset", "laptop",
             "--local", "--epochs", "1", "--fraction", "0.9"]  # fmt: skip
    words += ["--storage", str(tmp_path)]
    with pytest.raises(SystemExit):
        main([*words, "--fraction", "0.004"])
    assert "cskd takes two images of a class at a time" in capsys.readouterr().err
    assert not begun
    # Of the same six digits, each has a name of its own all the same.
    monkeypatch.setattr("tuning.reports.method_table.print_shares", print)
    with pytest.raises(SystemExit):
        main([*words, "--fraction", "0.9000001"])
    assert [flags.name for flags in begun] == [f"{NAME}-0.9", f"{NAME}-0.9000001"]
    assert not list(tmp_path.iterdir())


def test_a_flag_that_is_refused_is_in_no_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "--sampler" in said
    assert not [flag for flag in Flags.refused if re.search(rf"{flag}\b", said)]
    assert not {"hours", "warm_start"} & set(signature(run_compare).parameters)


def test_what_a_page_says_was_typed_gives_the_same_again() -> None:
    flags = comparing._settled(asked("ce", "kd", preset="laptop", local=True, trials=3))
    name = comparing._name(flags)
    assert name == "compare-resnet8-digits", "also where the preset chooses them"
    found = measured(one_row("kd"), one_row("ce", trial=0))
    kept = replace(found.comparison, name=name, asked=flags.asked)
    (line,) = (x for x in as_markdown(replace(found, comparison=kept)).splitlines() if "-m" in x)
    again = read_flags(Flags, shlex.split(line)[3:])
    assert (again.asked, again.name, again.preset) == (flags.asked, name, "laptop")


def test_a_dry_run_sums_up_what_each_method_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = Tried(Pace(epoch=2.0, doubt=0.0), (Pace(epoch=3.0, doubt=0.0),))
    plain = Tried(tried.trials)
    monkeypatch.setattr(
        forecasting,
        "_found",
        lambda settings: forecasting._Found(
            "known", tried if settings.base.needs_teacher else plain, 1, 0.0
        ),
    )
    words = ["ce", "kd", "--preset", "laptop", "--local", "--trials", "2", "--epochs", "1",
             "--seeds", "5", "--storage", str(tmp_path / "runs"), "--dry-run"]  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert said.count("after it, confirming: 14 to 40 epochs, 28 s to 1 min 20 s") == 2
    least, most = 2 * (2 * 2 + 14 * 2) + 3, 2 * (2 * 2 + 40 * 2) + 3
    assert said.splitlines()[-1].startswith("All together, one after the other: ")
    assert said.splitlines()[-1].endswith(f"(from {duration(least)} to {duration(most)})")
    assert not (tmp_path / "runs").exists()

    name = "compare-resnet8-digits"
    _, comparison, _ = begun(tmp_path / "runs", name)
    comparison.begin(tmp_path / "runs", [])
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert f"The comparison {name} was begun before" in capsys.readouterr().err


def test_a_dry_run_of_several_fractions_says_which_is_which_and_sums_them_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    takes = iter([Band(1.0, 2.0, 3.0), None, Band(60.0, 60.0, 60.0), Band(1.0, 1.0, 1.0)])
    monkeypatch.setattr(forecasting, "dry_run", lambda *_: next(takes))
    monkeypatch.setattr(comparing, "read_images", lambda _: None)
    monkeypatch.setattr(comparing, "_planned", lambda flags: [(flags, None)])
    for shares, last in {
        ("1", "0.25"): ": not known",
        ("0.25", "0.5"): ", one after the other: 1 min 01 s",
    }.items():
        words = [word for share in shares for word in ("--fraction", share)]
        with pytest.raises(SystemExit) as end:
            main([*WORDS, *words, "--dry-run"])
        said = capsys.readouterr().out.splitlines()
        assert not end.value.code
        assert [line for line in said if " of the images" in line] == [
            f"{100 * float(share):.0f} % of the images, {number} of 2:"
            for number, share in enumerate(shares, start=1)
        ]
        assert said[-1].startswith(f"All shares together{last}")


def begun(folder: Path, name: str = "cut") -> tuple[Flags, Comparison, list[SweepSettings]]:
    """A comparison that is asked for, with the settings of its sweeps; nothing is written."""
    flags = asked("ce", "pskd", preset="laptop", local=True, storage=folder, name=name)
    sweeps = [replace(s, compared_on=3) for s, _ in plan_asked(flags.searches(name))]
    return flags, Comparison(
        name=name, methods=flags.methods, sweeps=tuple(s.name for s in sweeps),
        baselines=baselines(flags.methods), seeds=3, asked=flags.asked,
    ), sweeps  # fmt: skip


def test_a_teacher_and_what_is_fixed_are_for_the_methods_that_have_them(tmp_path):
    """A teacher is for kd; ce, which learns from none, is compared with it all the same."""
    options = Alike(storage=tmp_path)
    flags = Flags(
        method=("ce", "kd"), dataset="digits", preset="laptop", trials=2, seeds=2,
        teacher=("resnet20",), set=("batch_size=32",), options=options,
    )  # fmt: skip
    ce, kd = (settings for settings, _ in comparing._planned(flags))
    assert not ce.base.needs_teacher
    assert kd.base.teacher is not None
    assert kd.base.teacher.backbone == "resnet20"
    with pytest.raises(UserError, match=r"^For ce: .*alpha"):
        comparing._planned(replace(flags, set=("alpha=0.5",)))


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "one sweep"])
def test_one_that_was_cut_short_as_it_began_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    flags, comparison, sweeps = begun(tmp_path)
    comparison.begin(tmp_path, sweeps[: left == "one sweep"])
    if left == "an empty folder":
        (tmp_path / sweeps[0].name).mkdir()
    _, other, others = begun(tmp_path, "cut-too")
    other.begin(tmp_path, others)
    reached: list[str] = []
    monkeypatch.setattr(comparing, "_settle", lambda f, c, number: reached.append(c.sweeps[number]))
    monkeypatch.setattr(comparing, "load_result", lambda *_: None)
    monkeypatch.setattr(comparing, "measure", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        comparing.compare_asked(flags)
    assert reached == list(comparison.sweeps)
    assert not comparison.missing(tmp_path)
    assert not other.missing(tmp_path), "of another whose name begins alike nothing is touched"
    (tmp_path / comparison.sweeps[0]).rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"lacks its sweep cut-ce-resnet8-digits; put that folder"):
        comparing.compare_asked(asked(resume="cut", local=True, storage=tmp_path))


def test_a_folder_that_is_none_of_its_own_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "paper.tex").write_text("mine")
    flags, comparison, sweeps = begun(tmp_path)
    with pytest.raises(UserError, match="exists and is no comparison; give another --name"):
        comparing.compare_asked(flags)
    assert [path.name for path in tmp_path.rglob("*")] == ["cut", "paper.tex"]
    # What lies there later is left too.
    (tmp_path / "cut" / "paper.tex").unlink()
    comparison.begin(tmp_path, sweeps)
    (tmp_path / "cut" / "paper.tex").write_text("mine")
    assert comparison.forget(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["cut", "paper.tex"]


def test_one_whose_first_trial_never_began_is_forgotten(tmp_path: Path) -> None:
    _, comparison, sweeps = begun(tmp_path)
    comparison.begin(tmp_path, sweeps)
    assert Comparison.load(tmp_path, "cut") == comparison
    assert comparison.forget(tmp_path)
    assert not list(tmp_path.iterdir())


# -- what is said ---------------------------------------------------------------------------------


def one_row(method: str, p: float = 0.01, mean: float = 1.0, n: int = 10, trial: int = 4) -> Row:
    level = tuple(70.0 + 0.1 * i for i in range(n))
    found = Paired(n=n, mean=mean, low=mean - 0.5, high=mean + 0.5, raw=p, p=p)
    default, tuned = (
        Scores(trial=number, val_acc=level, test=tuple({"test_acc": a} for a in level))
        for number in (0, trial)
    )
    return Row(
        method=method, sweep=f"s-{method}", default=default, tuned=tuned,
        chosen={"kd.alpha": 0.7123, "kd.absent": None},
        cost=Cost(search=27, confirming=90, teacher=6, epoch_seconds=2, seconds=246),
        baseline=None if method == "ce" else "ce",
        on_baseline=None if method == "ce" else found, on_default=found, ce_epochs=123.0,
    )  # fmt: skip


def measured(*rows: Row) -> Measured:
    comparison = Comparison(
        name="c|1", methods=tuple(r.method for r in rows), sweeps=tuple(r.sweep for r in rows),
        baselines={r.method: r.baseline for r in rows if r.baseline}, seeds=10, asked="a | b",
    )  # fmt: skip
    n = len(rows[0].tuned.val_acc)
    return Measured(
        comparison=comparison, seeds=tuple(range(1, n + 1)), rows=rows, backbone="resnet8",
        dataset="digits", trials=8, epochs=6, fixed={"batch_size": "32"},
    )  # fmt: skip


def test_a_sentence_claims_what_the_test_says_and_no_more() -> None:
    ce = one_row("ce", trial=0)
    said = sentences(
        measured(one_row("kd"), one_row("pskd", p=0.2), one_row("lsskd", mean=-2.0), ce)
    )
    on_ce = "of test accuracy on ce, both tuned, 95 % interval"
    assert said[0] == f"kd helps: +1.00 points {on_ce} +0.50 to +1.50, p = 0.01, n = 10."
    assert said[1] == (
        f"pskd is not distinguishable from ce: +1.00 points {on_ce} +0.50 to +1.50, p = 0.2, "
        "n = 10."
    )
    assert said[2].startswith(f"lsskd does not help, it is worse: -2.00 points {on_ce}")
    assert "Tuning pskd makes no distinguishable difference: +1.00 points" in said[4]
    assert said[6].startswith("kd, pskd, lsskd and ce have the same scores on every seed: ")
    assert said[-1].startswith("Nothing was proved better than the paper's default of ce, so")


def test_few_seeds_are_a_screening_however_small_p_is() -> None:
    few = measured(one_row("kd", p=1e-9, n=4), one_row("ce", n=4))
    said = sentences(few)
    assert said[0] == "A screening on 4 seeds, which claims nothing; from 5 on it can."
    assert not any(word in " ".join(said) for word in ("helps", "worse", "p ="))
    assert "a screening" in cells(few.rows[0])[6]
    assert "p =" not in cells(few.rows[0])[6]


def test_the_table_is_markdown_and_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(one_row("kd", p=1e-9), one_row("pskd", p=0.2), one_row("ce", trial=0))
    page = as_markdown(found)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert r"# c\|1: methods tuned alike" in page
    assert "on ce: +1.00 (+0.50 to +1.50), p \\< 0.0001 |" in page
    assert "p = 0.2, not distinguishable |" in page
    assert "trial 4: alpha = 0.712 |" in page
    assert "is the default" in lines[-1]
    table = numbers(found)
    assert [row["on_baseline_p"] for row in table] == [1e-9, 0.2, None]
    assert table[2]["on_default_p"] is None
    print_table(found)
    shown = capsys.readouterr().out
    assert "27 + 90 + 6" in shown
    assert max(map(len, shown.split("\n\n")[0].splitlines())) <= 80


def test_sweeps_that_were_confirmed_otherwise_are_not_compared(tmp_path: Path) -> None:
    def confirmed(name: str, seeds: tuple[int, ...], openings: int = 1) -> SweepResult:
        result = sweep_result(tmp_path / name)
        (tmp_path / name).mkdir()
        scores = [80.0 + i for i, _ in enumerate(seeds)]
        findings = Findings(
            sweep=name, winner=0, seeds=seeds, config=result.trials[0].config,
            val_acc={0: scores}, test={0: [{"test_acc": s} for s in scores]},
            openings=(Opening(when="2030-01-01T00:00:00+00:00"),) * openings,
        )  # fmt: skip
        return replace(result, findings=findings)

    comparison = Comparison(
        name="c", methods=("ce", "kd"), sweeps=("a", "b"), baselines={"kd": "ce"}, seeds=2, asked=""
    )
    one = confirmed("a", (1, 2, 3))
    other = confirmed("b", (1, 2))
    found = measure(comparison, [one, other])
    assert found.seeds == (1, 2)
    assert [row.is_default for row in found.rows] == [True, True]
    assert found.rows[1].on_baseline == Paired(n=2, mean=0, low=0, high=0, raw=1, p=1)
    assert found.rows[0].cost.search == one.epochs_spent
    assert found.rows[0].ce_epochs == pytest.approx(one.epochs_spent)
    first, *others = one.trials
    before = replace(first, metrics=first.metrics | {"before_seconds": 7.5})
    staged = measure(comparison, [replace(one, trials=[before, *others]), other])
    assert staged.rows[0].cost.seconds == pytest.approx(found.rows[0].cost.seconds + 7.5)
    for name, seeds, times in (("c", (4, 5), 2), ("d", (1,), 1), ("e", (2, 3), 1)):
        with pytest.raises(UserError, match=f"^{name} was confirmed otherwise since"):
            measure(comparison, [one, confirmed(name, seeds, times)])


def test_a_method_whose_default_did_not_complete_is_left_out_and_said(tmp_path: Path) -> None:
    def result(name: str, *, whole: bool) -> SweepResult:
        found = sweep_result(tmp_path / name)
        (tmp_path / name).mkdir()
        scores = [80.0, 81.0]
        findings = Findings(
            sweep=name, winner=0, seeds=(1, 2), config=found.trials[0].config,
            val_acc={0: scores}, test={0: [{"test_acc": s} for s in scores]},
            openings=(Opening(when="2030-01-01T00:00:00+00:00"),),
        )  # fmt: skip
        return replace(found, findings=findings if whole else None)

    comparison = Comparison(
        name="c", methods=("kd", "semckd", "at", "ce"), sweeps=("a", "b", "d", "e"),
        baselines={"semckd": "kd", "at": "kd", "kd": "ce"}, seeds=2, asked="",
    )  # fmt: skip
    one, lost, two = result("a", whole=True), result("b", whole=False), result("d", whole=True)
    found = measure(comparison, [one, lost, two, result("e", whole=False)])
    assert [row.method for row in found.rows] == ["kd", "at"]
    assert [row.baseline for row in found.rows] == [None, "kd"]
    assert found.left == ("semckd", "ce")
    said = "semckd and ce are left out: the paper's default did not complete again on every seed."
    assert said in sentences(found)
    assert said in as_markdown(found)
    with pytest.raises(UserError, match=r"all methods but 1 are left out, so nothing is compared"):
        measure(comparison, [lost, result("f", whole=False), two, result("g", whole=False)])


def test_others_go_on_where_one_cannot_be_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached: list[int] = []

    def settled(flags: Flags, comparison: Comparison, number: int) -> None:
        reached.append(number)
        if number == 1:
            raise IncompleteError("The paper's default did not complete again on seed 1 (…).")

    monkeypatch.setattr(comparing, "_settle", settled)
    monkeypatch.setattr(comparing, "load_result", lambda *_: None)
    monkeypatch.setattr(comparing, "measure", lambda *_: "measured")
    monkeypatch.setattr(comparing, "print_table", lambda _: None)
    monkeypatch.setattr(comparing, "write", lambda *_: tmp_path)
    flags = asked("ce", "kd", "pskd", preset="laptop", local=True, trials=3, epochs=1)
    flags = replace(flags, options=replace(flags.options, storage=tmp_path))
    comparing.compare_asked(flags)
    assert reached == [0, 1, 2]
    said = capsys.readouterr()
    assert "kd is left out. The paper's default did not complete" in said.out + said.err


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("methods", ["ce", "lskd"], "no method 'lskd'"),
        ("methods", ["ce", "ce"], "has not a sweep for every method"),
        ("sweeps", ["../a", "b"], "'../a' is no name of a sweep"),
        ("baselines", {"pskd": "kd"}, "has a baseline that is not among its methods"),
        ("seeds", 1, "seeds is 1; it must be at least 2"),
        ("seeds", 10**9, "seeds is 1000000000; it must be at least 2 and at most 1000"),
        ("seeds", "many", "it must be a whole number"),
    ],
)
def test_a_damaged_comparison_is_one_sentence(
    tmp_path: Path, name: str, value: object, sentence: str
) -> None:
    _, comparison, sweeps = begun(tmp_path)
    comparison.begin(tmp_path, sweeps)
    path = comparison.folder(tmp_path) / "comparison.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {name: value}))
    with pytest.raises(UserError) as refused:
        Comparison.load(tmp_path, comparison.name)
    assert "comparison.yaml" in str(refused.value)
    assert sentence in str(refused.value)


def test_several_fractions_are_comparisons_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The papers' few-shot tables as one command."""
    found: list[Flags] = []

    def compared_one(flags: Flags) -> Measured:
        found.append(flags)
        other = "kd" if len(found) > 1 else "pskd"
        return measured(one_row(other, p=0.2), one_row("ce", trial=0))

    monkeypatch.setattr("tuning.compare.compare_asked", compared_one)
    words = [*WORDS, "--storage", str(tmp_path), "--fraction", "0.25", "--fraction", "0.5"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    assert [flags.fraction for flags in found] == [(0.25,), (0.5,)]
    assert [flags.name for flags in found] == [f"{NAME}-0.25", f"{NAME}-0.5"]
    assert [flags.searches("").fraction for flags in found] == [0.25, 0.5]
    assert all("--fraction" in flags.asked for flags in found)
    said = capsys.readouterr().out
    titles = next(line for line in said.splitlines() if line.startswith("tuned, on test"))
    assert "25 % of the images" in titles
    assert "50 % of the images" in titles
    assert next(line for line in said.splitlines() if line.startswith("kd")).split()[1] == "left"
    assert said.startswith("25 % of the images, 1 of 2:\n")
    assert "\n50 % of the images, 2 of 2:\n" in said
    with pytest.raises(UserError, match="given twice with the same value"):
        comparing.apart(replace(found[0], fraction=(0.5, 0.5)))
    with pytest.raises(UserError, match="call run_compare for each of them"):
        run_compare(["ce", "kd"], fraction=(0.25, 0.5), storage=tmp_path)
    assert comparing.apart(found[0]) == [found[0]]
