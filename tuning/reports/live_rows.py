"""What the live table shows of a sweep at one moment, for a screen of some width and height."""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuning.records.result import Sweep, SweepResult
from tuning.reports.escapes import terminal
from tuning.reports.wording import (
    accuracy,
    count,
    cut,
    duration,
    numbered,
    origin,
    percent,
    short,
    value_of,
)
from tuning.study.trials import State, TrialRecord

TOP = 3
"""How many of the best finished trials the table shows."""

_STYLES: dict[State, str] = {
    "running": "",
    "completed": "green",
    "stopped": "yellow",
    "failed": "red",
}


def title(sweep: Sweep, width: int) -> RenderableType:
    """The cell and the sweep's name, in one line."""
    line = Text.assemble(terminal(sweep.cell, "bold"), "  ", terminal(sweep.name, "dim"))
    line.truncate(width, overflow="ellipsis")
    return line


def progress(
    result: SweepResult,
    width: int,
    *,
    passed: str,
    seconds_left: float | None,
    what: str = "trial",
) -> RenderableType:
    """How far the sweep is and how many trials are in which state, in two lines.

    `passed` is what the clock shows; `seconds_left` an estimate, None where there is none yet;
    `what` one of them is called.
    """
    done, said = so_far(result, what)
    clock = Text(passed, no_wrap=True)
    if seconds_left is not None and done < 1:
        clock.append(f"  about {duration(seconds_left)} left", style="dim")
    elif result.of("running"):
        clock.append("  starting workers", style="dim")
    bar = ProgressBar(
        total=1.0,
        completed=min(done, 1.0),
        width=width // 4,
        complete_style="cyan",
        finished_style="green",
    )
    pieces: list[RenderableType] = [Text(said), bar, clock]
    grid = Table.grid(padding=(0, 2))
    grid.add_row(*(pieces if width >= 60 else pieces[::2]))
    counts = Text()
    for state, style in _STYLES.items():
        n = len(result.of(state))
        counts.append(f"{n} {state}  ", style=style if n else "dim")
    return Group(grid, counts)


def so_far(result: SweepResult, what: str = "trial") -> tuple[float, str]:
    """Which part of the search is done, by the bound that is nearest, and that in words."""
    ended, planned = len(result.ended), result.sweep.trials
    share = ended / planned if planned else 0.0
    trials = count(ended, what) if planned is None else f"{ended}/{count(planned, what)}"
    bound = result.nearest
    if bound is None or (planned is not None and bound.share <= share):
        return share, trials
    return bound.share, f"{trials}, {bound.spent:.4g}/{bound.own:.4g} {bound.unit}"


def best_line(result: SweepResult) -> RenderableType:
    """The best trial so far, in one line."""
    best = result.best
    found = f"best {percent(best.score)}, {numbered(best)}" if best else "no trial completed yet"
    return Text(found, style="green")


def trials(
    result: SweepResult,
    width: int,
    height: int,
    listed: Callable[[TrialRecord], str] | None = None,
) -> RenderableType:
    """The best, the paper's default and the running trials, as many as the screen holds.

    `listed` calls the trials of a list, of which the running ones and the last to end are shown.
    """
    if not result.trials:
        return Text("The first trial is about to start.", style="dim")
    names = _fitting(result, width)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("")
    for heading in ("" if listed else "trial", "epoch", "val acc"):
        table.add_column(heading, justify="right")
    for name in names:
        table.add_column(terminal(short(name)), justify="right", no_wrap=True)
    for mark, style, trial in _latest(result, height) if listed else _chosen(result, height):
        table.add_row(
            terminal(mark),
            listed(trial) if listed else str(trial.number),
            f"{trial.epoch}/{result.sweep.epochs}",
            accuracy(trial.score),
            *(terminal(value_of(trial, name)) for name in names),
            style=style,
        )
    hidden = len(result.sweep.searched) - len(names)
    if not hidden:
        return table
    more = Text(f"{count(hidden, 'more searched value')} not shown", style="dim")
    return Group(table, more)


def _chosen(result: SweepResult, height: int) -> list[tuple[str, str, TrialRecord]]:
    """(mark, style, trial) of every row."""
    done = sorted(result.of("completed"), key=lambda t: (-(t.score or 0.0), t.number))
    picked = done[:TOP]
    default = result.default
    if default and default.state != "running" and default not in picked:
        picked.append(default)
    rows = []
    for trial in picked:
        if trial is result.best:
            rows.append(("best", "bold green", trial))
        elif trial.is_default:
            rows.append(("paper's", "cyan", trial))
        else:
            rows.append((cut(origin(trial), 16), "", trial))
    room = max(height - 10 - len(rows), 1)
    return rows + [("running", "", trial) for trial in result.of("running")[-room:]]


def _latest(result: SweepResult, height: int) -> list[tuple[str, str, TrialRecord]]:
    """(mark, style, trial) of the last that ended, and of those that run."""
    running = result.of("running")[-max(height - 10, 1) :]
    ended = result.ended[-TOP:] if len(running) < height - 10 - TOP else []
    done = [(str(trial.state), _STYLES[trial.state], trial) for trial in ended]
    return done + [("running", "", trial) for trial in running]


def _fitting(result: SweepResult, width: int) -> list[str]:
    """The searched hyperparameters whose columns fit beside the fixed ones."""
    room = width - 34
    names: list[str] = []
    for name in result.sweep.searched:
        widest = max((len(value_of(trial, name)) for trial in result.trials), default=0)
        column = max(len(short(name)), widest) + 2
        if column <= room:
            room -= column
            names.append(name)
    return names
