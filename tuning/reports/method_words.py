"""What a comparison of methods proves, and what it does not, in the words of its table."""

from collections.abc import Sequence
from statistics import fmean, stdev

from kd.config import SAW_VAL
from tuning.records.measured import Cost, Measured, Row, Scores
from tuning.reports.wording import count, short, text
from tuning.study.pairs import FEWEST, LEVEL, Paired

NOT = "not distinguishable"
HEADINGS = (
    "method",
    "default, val",
    "default, test",
    "tuned, val",
    "tuned, test",
    "n",
    "tuned − baseline, tuned (test)",
    "tuned − own default (test)",
    "epochs: search + confirming + teacher",
    "by time, in epochs of ce",
    "handed out",
)


def cells(row: Row) -> list[str]:
    """One method's line of the table, by `HEADINGS`."""
    against = f"on {row.baseline}: {difference(row.on_baseline)}" if row.on_baseline else "–"
    if row.is_default or row.on_default is None:
        own = "is the default"
    else:
        own = difference(row.on_default)
    return [
        row.method,
        *(_mean(scores) for one in (row.default, row.tuned) for scores in both(one)),
        str(len(row.tuned.val_acc)),
        against,
        own,
        epochs(row.cost),
        "–" if row.ce_epochs is None else f"≈ {row.ce_epochs:.0f}",
        handed_out(row),
    ]


def both(scores: Scores) -> tuple[Sequence[float], Sequence[float]]:
    """Val and test accuracies of a configuration."""
    return scores.val_acc, scores.test_acc


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f} ± {stdev(values):.2f} %"


def difference(found: Paired) -> str:
    """`+1.20 (+0.31 to +2.09), p = 0.012`; where it is not one, that is said."""
    said = f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    if found.n < FEWEST:
        return f"{said}, a screening"
    return f"{said}, {_sure(found)}"


def _sure(found: Paired) -> str:
    return p_of(found) if found.p <= LEVEL else f"{p_of(found)}, {NOT}"


def p_of(found: Paired) -> str:
    """`p = 0.012`."""
    return f"p = {found.p:.2g}" if found.p >= 0.0001 else "p < 0.0001"


def epochs(cost: Cost) -> str:
    """Epochs of the search, of confirming and of teachers: `27 + 96 + 6`."""
    return f"{cost.search} + {cost.confirming} + {cost.teacher}"


def handed_out(row: Row) -> str:
    """Which configuration stands for a method: what was searched of it."""
    trial = "paper's default" if row.is_default else f"trial {row.tuned.trial}"
    values = [
        f"{short(name)} = {text(value)}" for name, value in row.chosen.items() if value is not None
    ]
    return f"{trial}: {', '.join(values)}" if values else trial


def sentences(measured: Measured) -> list[str]:
    """What the comparison proves of each method, in a sentence that claims no more."""
    n = len(measured.seeds)
    said = []
    if n < FEWEST:
        said.append(
            f"A screening on {count(n, 'seed')}, which claims nothing; from {FEWEST} on it can."
        )
    said += [_verdict(row, row.on_baseline) for row in measured.rows if row.on_baseline]
    tuned = [row for row in measured.rows if not row.is_default]
    said += [_tuning(row, row.on_default) for row in tuned if row.on_default]
    alike: dict[object, list[str]] = {}
    for row in measured.rows:
        alike.setdefault(tuple(map(tuple, both(row.tuned))), []).append(row.method)
    said += [
        f"{_listed(methods)} have the same scores on every seed: tuned, they may be one training."
        for methods in alike.values()
        if len(methods) > 1
    ]
    if same := [row.method for row in measured.rows if row.is_default]:
        said.append(
            f"Nothing was proved better than the paper's default of {_listed(same)}, so that is "
            "what stands as tuned."
        )
    if measured.left:
        said.append(
            f"{_listed(measured.left)} {'is' if len(measured.left) == 1 else 'are'} left out: the "
            "paper's default did not complete again on every seed."
        )
    return [*said, SAW_VAL] if measured.saw_val else said


def _verdict(row: Row, found: Paired) -> str:
    """Whether a method helps, against its baseline."""
    on, alike = (
        f"{row.baseline}, both tuned",
        f"is not distinguishable from {row.baseline}",
    )
    return _told(row.method, found, on, alike)


def _tuning(row: Row, found: Paired) -> str:
    """Whether tuning a method helped on test."""
    return _told(
        f"Tuning {row.method}", found, "its own default", "makes no distinguishable difference"
    )


def _told(subject: str, found: Paired, on: str, alike: str) -> str:
    """What the differences of `subject` from `on` show; `alike` says that it is nothing."""
    how = (
        f"{found.mean:+.2f} points of test accuracy on {on}, 95 % interval {found.low:+.2f} to "
        f"{found.high:+.2f}"
    )
    if found.n < FEWEST:
        return f"{subject}: {how}, n = {found.n}."
    verb = "helps" if found.mean > 0 else "does not help, it is worse"
    return f"{subject} {verb if found.distinguishable else alike}: {how}, {_of(found)}."


def _of(found: Paired) -> str:
    return f"{p_of(found)}, n = {found.n}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def about(measured: Measured) -> str:
    """What was compared, in one sentence, and by which test."""
    compared = sum(row.on_baseline is not None for row in measured.rows)
    fixed = measured.fixed
    set_to = ", ".join(f"{name} = {value}" for name, value in fixed.items())
    return (
        f"{measured.backbone} on {measured.dataset}: {count(measured.trials, 'trial')} of at most "
        f"{count(measured.epochs, 'epoch')} for each method, then seeds {measured.seeds[0]} to "
        f"{measured.seeds[-1]}. Mean ± standard deviation over seeds; differences are paired by "
        "seed, with their 95 % interval and the two-sided p of the paired t-test, corrected (Holm) "
        f"for how many are compared: {compared} with a baseline, {len(measured.rows)} with their "
        "own default. That tells of other seeds on these images, not of other images."
        + (f" Of all methods, the default too, {set_to}." if set_to else "")
    )
