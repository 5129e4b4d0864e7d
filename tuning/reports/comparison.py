"""Several sweeps side by side: a table, method by backbone, and one page of their courses."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Literal

from kd.errors import UserError
from tuning.records.findings import NOT_CONFIRMED
from tuning.records.progress import BestSoFar, over_epochs
from tuning.records.protocol import UNSAID
from tuning.records.result import SweepResult
from tuning.reports.axis import Axis
from tuning.reports.charts import Chart, key
from tuning.reports.escapes import latex, markdown
from tuning.reports.figures import Figure
from tuning.reports.pareto import shown
from tuning.reports.series import look
from tuning.reports.templating import environment
from tuning.reports.wording import accuracy, percent
from tuning.study.trials import TrialRecord


def check_comparable(results: Sequence[SweepResult]) -> None:
    """Raise UserError unless all the sweeps measured their scores under one protocol."""
    for result in results:
        if not result.trials:
            raise UserError(f"{result.sweep.name} has no trial yet; wait for its first one.")
    for first, second in pairwise(result.sweep for result in results):
        for name in (*first.protocol, *second.protocol):
            value, other = (
                one.protocol.get(name, UNSAID.get(name, "none")) for one in (first, second)
            )
            if other != value:
                if name == "dataset":
                    # What tells images apart is a digest, which nobody knows them by.
                    value, other = first.dataset, second.dataset
                    other += " with other images" if value == other else ""
                raise UserError(
                    f"{first.name} has {name} {value} and {second.name} has {other}; compare "
                    "sweeps of equal epochs, images, split and seeds."
                )


# -- the page ---------------------------------------------------------------------------------


def render(results: Sequence[SweepResult]) -> str:
    """The comparison as HTML text; UserError unless the sweeps may be compared."""
    check_comparable(results)
    return (
        environment()
        .get_template("compare.html")
        .render(
            results=results,
            entry=_entry,
            course=course(results),
            keys=[key(*look(i)) for i in range(len(results))],
            protocol=results[0].sweep.protocol,
            pooled=results[0].sweep.settings.seeds_per_trial > 1,
            pareto=shown(results),
            markdown=table(results, "markdown"),
            latex=table(results, "latex"),
        )
    )


def course(results: Sequence[SweepResult]) -> Figure:
    """Best val accuracy of every sweep over the epochs that it spent, from its default on."""
    courses = [(i, result, over_epochs(result)) for i, result in enumerate(results)]
    lines = [(i, result, so_far, _from_default(so_far)) for i, result, so_far in courses if so_far]
    longest = max(result.epochs_spent for result in results)
    chart = Chart(
        Axis(0, max(longest, 1), whole=True),
        Axis.of_accuracies(score for _, _, _, steps in lines for _, score in steps),
        name="Best val accuracy so far of each sweep, over epochs spent",
        x_label="epochs spent",
        y_label="best val accuracy (%)",
    )
    for i, result, so_far, steps in lines:
        found, level = steps[-1][1], so_far.default
        gain = "" if level is None else f", {found - level:+.2f} on the default"
        words = f"{result.sweep.name}: {percent(found)}{gain}"
        chart.series(steps, so_far.end, *look(i), words)
    return Figure(
        chart.svg(),
        "The best completed trial so far, as its search saw it, by epochs trained on all trials. A "
        "line begins at the paper's default, where that completed, and rises where one is better.",
    )


def _from_default(so_far: BestSoFar) -> list[tuple[float, float]]:
    """The steps of a sweep whose default is known before anything is searched."""
    if so_far.default is None:
        return so_far.steps
    better = [(place, score) for place, score in so_far.steps if score > so_far.default]
    return [(0.0, so_far.default), *better]


# -- the table of the papers ------------------------------------------------------------------


def table(results: Sequence[SweepResult], form: Literal["latex", "markdown"]) -> str:
    """Val accuracy (%), methods down and backbones across.

    Mean ± standard deviation over n seeds where a sweep was confirmed, else of one run, with n = 1,
    or the mean over the n seeds that it was chosen by, which is said.
    Every method has a row for the paper's default and one for what its search hands out; of several
    sweeps of one cell the best counts. UserError unless the sweeps may be compared.
    """
    check_comparable(results)
    backbones = list(dict.fromkeys(r.sweep.backbone for r in results))
    rows = []
    for method in dict.fromkeys(r.sweep.method for r in results):
        cells = [_cell(results, method, backbone) for backbone in backbones]
        rows.append((f"{method}, paper's default", [(c, c.default if c else None) for c in cells]))
        rows.append((f"{method}, tuned", [(c, c.best if c else None) for c in cells]))
    columns = zip(*(scored for _, scored in rows), strict=True)
    tops = [max(_rank(*scored) for scored in column) for column in columns]
    lines = [
        [name, *(_entry(*scored, top, form) for scored, top in zip(cells, tops, strict=True))]
        for name, cells in rows
    ]
    head = [f"val accuracy (%), {results[0].sweep.dataset}", *backbones]
    return _markdown(head, lines) if form == "markdown" else _latex(head, lines)


def _cell(results: Sequence[SweepResult], method: str, backbone: str) -> SweepResult | None:
    found = [r for r in results if (r.sweep.method, r.sweep.backbone) == (method, backbone)]
    return max(found, key=lambda r: (r.findings is not None, _rank(r, r.best)), default=None)


def _rank(result: SweepResult | None, trial: TrialRecord | None) -> float:
    """Below every accuracy for a trial that has none."""
    scores = result.scores(trial) if result else []
    return fmean(scores) if scores else -1.0


def _entry(
    result: SweepResult | None,
    trial: TrialRecord | None,
    top: float | None = None,
    form: str = "markdown",
) -> str:
    """`88.60 ± 2.39 (n = 6)`: an accuracy and what is behind it; bold where it is the `top`."""
    scores = result.scores(trial) if result else []
    if not scores:
        return "–" if form == "markdown" else "--"
    mean, n, how = fmean(scores), len(scores), ""
    if trial and trial.seeds > 1 and not (result and result.is_confirmed(trial)):
        n, how = trial.seeds, f", {NOT_CONFIRMED}"
    number, deviation = accuracy(mean), f"{stdev(scores):.2f}" if len(scores) > 1 else ""
    if form == "latex":
        number = rf"\mathbf{{{number}}}" if mean == top else number
        return f"${number}" + (rf" \pm {deviation}" if deviation else "") + f"$ ($n={n}${how})"
    number = f"**{number}**" if mean == top else number
    return number + (f" ± {deviation}" if deviation else "") + f" (n = {n}{how})"


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    plain = [markdown(cell) for cell in head]
    named = [[markdown(line[0]), *line[1:]] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in [plain, rule, *named])


def _latex(head: list[str], lines: list[list[str]]) -> str:
    def row(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    plain = [latex(cell) for cell in head]
    body = [row([latex(line[0]), *line[1:]]) for line in lines]
    begin = rf"\begin{{tabular}}{{l{'c' * (len(head) - 1)}}}"
    return "\n".join(
        [begin, r"\toprule", row(plain), r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    )
