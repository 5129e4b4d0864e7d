"""What confirming a sweep found, in words: who is better, how surely, and when test was opened."""

from statistics import fmean

from rich.table import Table

from kd.config import TrainConfig
from tuning.records.findings import Findings, behind, mean_deviation
from tuning.records.result import SweepResult
from tuning.reports.console import console
from tuning.reports.escapes import terminal
from tuning.reports.wording import count, percent
from tuning.study.race import ERROR, Race, p_value
from tuning.study.trials import REFERENCE, TrialRecord

SEEN = (
    "Mean ± standard deviation over the first n of the same new seeds, which the search had not "
    "seen.",
    "Who is better was decided on val, seed by seed, over those that both have.",
)
"""What stands below `rows`, whose n are unlike where a candidate was dropped."""


def rows(findings: Findings) -> list[tuple[str, str, str]]:
    """(name, val accuracy, test accuracy) of every trial, with deviation and n."""
    return [
        (
            _name(findings, number),
            mean_deviation(val) if val else "diverged",
            mean_deviation(findings.test_acc(number)) if number in findings.test else "sealed",
        )
        for number, val in findings.val_acc.items()
    ]


def _name(findings: Findings, number: int) -> str:
    name = "paper's default" if number == REFERENCE else f"trial {number}"
    if number == findings.handed_out:
        return f"{name}, handed out"
    dropped = len(findings.val_acc[number]) < len(findings.seeds)
    return f"{name}, dropped" if dropped else name


def verdict(findings: Findings) -> str:
    """Whether anything is better than the paper's default, on val, in one sentence."""
    number = findings.handed_out
    if number != REFERENCE:
        return (
            f"Trial {number} is better than the paper's default: {_on_val(findings, number)}, "
            f"p = {findings.p_of(number):.2g}."
        )
    nothing = "Nothing is better than the paper's default, which is handed out"
    if (number := findings.nearest or REFERENCE) == REFERENCE:
        return f"{nothing}."
    rivals = len(findings.val_acc) - 1
    lowest = f" has the lowest p of {rivals} candidates," if rivals > 1 else " is"
    near = f"{nothing}: trial {number}{lowest} {_on_val(findings, number)}"
    if len(findings.differences(number)) == 1:
        return f"{near}, and one seed each decides nothing."
    said = f"{near}, {_sure(findings.p_of(number), fmean(findings.differences(number)))}."
    if len(findings.seeds) < findings.most:
        said += (
            f" After {count(len(findings.seeds), 'seed')} none could be called better within "
            f"{findings.most}; with more seeds one might."
        )
    return said


def ended_early(race: Race, most: int, over: str) -> str:
    """That a race of at most so many seeds ended as its bound was spent, and how it stands."""
    said = f"Confirming ended as its {over} were spent, after {race.seeds} of {count(most, 'seed')}"
    if race.winner != REFERENCE:
        return f"{said}: trial {race.winner} is better by then."
    best = max(race.standings, key=lambda n: race.standings[n].mean, default=None)
    near = ""
    if best is not None:
        standing = race.standings[best]
        near = f" (trial {best}: {standing.mean:+.2f} points, p = {standing.p:.2g})"
    return f"{said}: nothing is better than the paper's default yet{near}."


def _on_val(findings: Findings, number: int) -> str:
    differences = findings.differences(number)
    return (
        f"{fmean(differences):+.2f} points of val accuracy over {count(len(differences), 'seed')}"
    )


def _sure(p: float, mean: float) -> str:
    """The p-value of a mean difference, and what it says."""
    if p <= ERROR:
        return f"p = {p:.2g}"
    return f"p = {p:.2g}: " + ("not distinguishable" if mean > 0 else "not better")


def on_test(findings: Findings) -> list[str]:
    """What the test set said, and how often it was opened, in sentences."""
    sentences, number = [], findings.winner
    if number != REFERENCE:
        pairs = zip(findings.test_acc(number), findings.test_acc(REFERENCE), strict=True)
        differences = [a - b for a, b in pairs]
        n, mean = len(differences), fmean(differences)
        sure = (
            _sure(p_value(differences), mean) if n > 1 else "one seed each, which decides nothing"
        )
        sentences.append(
            f"On test, trial {number} is {mean:+.2f} points on the default over "
            f"{count(n, 'seed')}, {sure}."
        )
    if findings.refit:
        test = findings.refit["test_acc"]
        sentences.append(
            f"Trained on val too, with seed {findings.seeds[0]}: {test:.2f} % on test (one run)."
        )
    opened = "once" if findings.opened == 1 else f"{findings.opened} times"
    notes = [opening.note for opening in findings.openings if opening.note]
    again = f" ({'; '.join(notes)})" if notes else ""
    sentences.append(f"The test set was opened {opened}{again}.")
    return sentences


def scored(result: SweepResult, trial: TrialRecord | None) -> str:
    """A trial's val accuracy: over new seeds with deviation and n where it was, else as found."""
    scores = result.scores(trial)
    if result.findings and len(scores) > 1:
        return mean_deviation(scores)
    if scores and trial and trial.seeds > 1 and not result.is_confirmed(trial):
        return f"{percent(scores[0])} ({behind(trial.seeds)})"
    return percent(scores[0]) if scores else trial.outcome if trial else percent(None)


def student_test(findings: Findings, config: TrainConfig) -> float | None:
    """Test accuracy, in percent, of the very network that was trained by `config`, if known."""
    if not findings.is_of(config) or config.seed not in findings.seeds:
        return None
    if config.split.train_on_val:
        return findings.refit["test_acc"] if findings.refit else None
    return findings.test_acc(findings.winner)[findings.seeds.index(config.seed)]


def print_findings(findings: Findings) -> None:
    """Print val and test accuracy of each with n and deviation, who is better, and on test too."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    for heading in ("", "val accuracy", "test accuracy"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    for row in rows(findings):
        table.add_row(*map(terminal, row))
    out = console()
    out.print(table)
    for sentence in (*SEEN, verdict(findings), *on_test(findings)):
        out.print(terminal(sentence), soft_wrap=True)
