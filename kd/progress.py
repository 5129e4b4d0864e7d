"""How far a training is, or what is read: a bar on a terminal, lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

Metrics = Mapping[str, float]
SOON, OFTEN = 2.0, 20.0
"""Seconds after which what is counted is shown, and between two lines of it."""


@contextmanager
def progress(
    title: str, epochs: int, done: Sequence[Metrics] = ()
) -> Iterator[Callable[[Metrics], None]]:
    """A progress bar over epochs on a terminal, a line an epoch elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if not sys.stdout.isatty():

        def line(metrics: Metrics) -> None:
            print(
                f"{title} epoch {metrics['epoch']:.0f}/{epochs} "
                f"loss {metrics['train_loss']:.3f} val {metrics['val_acc']:.2f} %",
                flush=True,
            )

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns) as shown:
        bar = shown.add_task(title, total=epochs, completed=len(done), note="")

        def advance(metrics: Metrics) -> None:
            note = f"loss {metrics['train_loss']:.3f}  val {metrics['val_acc']:.2f} %"
            shown.update(bar, completed=int(metrics["epoch"]), note=note)

        yield advance


@contextmanager
def counted(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Tell it how many of `total` are done; shown once that has taken some seconds."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    due = time.monotonic() + SOON
    bar: Callable[[int], None] | None = None
    with ExitStack() as shown:

        def advance(done: int) -> None:
            nonlocal due, bar
            if bar is not None:
                bar(done)
            elif time.monotonic() > due and sys.stdout.isatty():
                columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
                drawn = shown.enter_context(Progress(*columns, transient=True))
                task = drawn.add_task(title, total=total, completed=done)
                bar = lambda done: drawn.update(task, completed=done)  # noqa: E731
            elif time.monotonic() > due:
                due = time.monotonic() + OFTEN
                print(f"{title}: {done} of {total}", flush=True)

        yield advance
