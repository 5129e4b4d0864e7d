"""What a comparison measured: every method's scores on the same seeds, and what they prove."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from kd.errors import UserError
from tuning.records.compared import Comparison
from tuning.records.findings import Findings
from tuning.records.result import SweepResult, trained
from tuning.records.settings import CONFIRM
from tuning.records.taught import taught
from tuning.study.pairs import Paired, holm, paired
from tuning.study.trials import REFERENCE, TrialRecord


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One configuration, trained on each seed: accuracies in percent, in the order of the seeds.

    `trial` is its number in its sweep; `test` has all that was measured on the test set.
    """

    trial: int
    val_acc: tuple[float, ...]
    test: tuple[Mapping[str, float], ...]

    @property
    def test_acc(self) -> tuple[float, ...]:
        """Test accuracies in percent."""
        return tuple(scores["test_acc"] for scores in self.test)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a method was trained for: epochs of its search, of confirming, and of its teachers.

    `epoch_seconds` are those of an epoch of its students, and `seconds` of all its epochs, each
    by the median over trainings; 0 where that was not measured.
    """

    search: int
    confirming: int
    teacher: int
    epoch_seconds: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of a comparison.

    `tuned` is what its sweep hands out, the same as `default` where nothing was proved to be
    better; `chosen` its hyperparameters that were searched. `on_baseline` compares the test
    accuracies of `tuned` with those of `baseline`, tuned too, and `on_default` with those of its
    own default, each corrected for all methods. `ce_epochs` is what it cost in epochs of plain
    cross-entropy, by time; None where ce is not compared.
    """

    method: str
    sweep: str
    default: Scores
    tuned: Scores
    chosen: Mapping[str, Any]
    cost: Cost
    baseline: str | None = None
    on_baseline: Paired | None = None
    on_default: Paired | None = None
    ce_epochs: float | None = None

    @property
    def is_default(self) -> bool:
        """Whether what it hands out is the paper's default."""
        return self.tuned.trial == REFERENCE


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A comparison that is over: its rows, in the order of its methods, on the same `seeds`.

    `fixed` is what was set for all methods; `saw_val` whether a teacher was trained on val. `left`
    are the methods without a row, whose default did not complete on every seed.
    """

    comparison: Comparison
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    backbone: str
    dataset: str
    trials: int
    epochs: int
    fixed: Mapping[str, str]
    saw_val: bool = False
    left: tuple[str, ...] = ()


def measure(comparison: Comparison, results: Sequence[SweepResult]) -> Measured:
    """What the sweeps of a comparison found together; those without findings are left out.

    Raises:
        UserError: a sweep was confirmed otherwise since, or fewer than two have findings.
    """
    pairs = list(zip(comparison.methods, results, strict=True))
    left = tuple(method for method, result in pairs if result.findings is None)
    known = [(method, result) for method, result in pairs if method not in left]
    if len(known) < 2:
        raise UserError(
            f"Of {comparison.name} all methods but {len(known)} are left out, so nothing is "
            "compared; start a new one with other values that all have, such as --set lr=0.01."
        )
    found = [_findings(comparison, result) for _, result in known]
    seeds = found[0].seeds[: comparison.seeds]
    for (_, result), findings in zip(known, found, strict=True):
        if findings.seeds[: comparison.seeds] != seeds:
            raise _otherwise(result)
    rows = [_row(*one, own, seeds) for one, own in zip(known, found, strict=True)]
    methods = {method for method, _ in known}
    baselines = {m: b for m, b in comparison.baselines.items() if {m, b} <= methods}
    sweep = known[0][1].sweep
    assert sweep.trials is not None
    return Measured(
        comparison=comparison,
        seeds=seeds,
        rows=tuple(_compared(rows, baselines)),
        backbone=sweep.backbone,
        dataset=sweep.dataset,
        trials=sweep.trials,
        epochs=sweep.epochs,
        fixed=sweep.settings.fixed,
        saw_val=any(result.sweep.settings.base.saw_val for _, result in known),
        left=left,
    )


def _findings(comparison: Comparison, result: SweepResult) -> Findings:
    findings = result.findings
    if findings is None or len(findings.openings) != 1 or len(findings.seeds) < comparison.seeds:
        raise _otherwise(result)
    return findings


def _otherwise(result: SweepResult) -> UserError:
    return UserError(
        f"{result.sweep.name} was confirmed otherwise since, so its seeds are not those of the "
        "others; what the comparison found before is in its folder, or start a new one."
    )


def _row(method: str, result: SweepResult, findings: Findings, seeds: tuple[int, ...]) -> Row:
    n, handed = len(seeds), findings.handed_out
    default, tuned = (
        Scores(
            trial=number,
            val_acc=tuple(findings.val_acc[number][:n]),
            test=tuple(findings.test[number][:n]),
        )
        for number in (REFERENCE, handed)
    )
    sweep, best = result.sweep, next(t for t in result.trials if t.number == handed)
    chosen = {name: sweep.chosen(best, name) for name in sweep.searched}
    return Row(
        method=method,
        sweep=sweep.name,
        default=default,
        tuned=tuned,
        chosen=chosen,
        cost=_cost(result),
    )


def _cost(result: SweepResult) -> Cost:
    folder = result.sweep.folder
    confirming, teachers = trained(folder, CONFIRM), taught(folder)
    students = [*result.trials, *confirming]
    return Cost(
        search=result.epochs_spent,
        confirming=_epochs(confirming),
        teacher=sum(teacher.epochs for teacher in teachers),
        epoch_seconds=_pace(students),
        seconds=_pace(students) * _epochs(students)
        + sum(trial.metrics.get("before_seconds", 0.0) for trial in students)
        + sum(teacher.epoch_seconds * teacher.epochs for teacher in teachers),
    )


def _epochs(trials: Sequence[TrialRecord]) -> int:
    return sum(trial.trained for trial in trials)


def _pace(trials: Sequence[TrialRecord]) -> float:
    """Seconds of an epoch: the last one of each training, which has no start in it."""
    known = [t.metrics["epoch_seconds"] / t.seeds for t in trials if "epoch_seconds" in t.metrics]
    return median(known) if known else 0.0


def _compared(rows: Sequence[Row], baselines: Mapping[str, str]) -> list[Row]:
    """The rows with what is compared in them, corrected for how many comparisons there are."""
    by_method = {row.method: row for row in rows}
    on_baseline = {
        method: paired(_differences(by_method[method].tuned, by_method[other].tuned))
        for method, other in baselines.items()
    }
    on_default = {row.method: paired(_differences(row.tuned, row.default)) for row in rows}
    corrected = [_corrected(found) for found in (on_baseline, on_default)]
    ce = by_method["ce"].cost.epoch_seconds if "ce" in by_method else 0.0
    return [
        replace(
            row,
            baseline=baselines.get(row.method),
            on_baseline=corrected[0].get(row.method),
            on_default=corrected[1][row.method],
            ce_epochs=row.cost.seconds / ce if ce else None,
        )
        for row in rows
    ]


def _differences(own: Scores, other: Scores) -> list[float]:
    """Points of test accuracy, seed by seed."""
    return [a - b for a, b in zip(own.test_acc, other.test_acc, strict=True)]


def _corrected(found: Mapping[str, Paired]) -> dict[str, Paired]:
    ps = holm([one.raw for one in found.values()])
    return {method: replace(one, p=p) for (method, one), p in zip(found.items(), ps, strict=True)}
