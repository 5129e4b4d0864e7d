"""How far a training is, while it runs: a bar on a terminal, a line an epoch elsewhere."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

Metrics = Mapping[str, float]


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
                f"loss {metrics['train_loss']:.3f} val {metrics['val_acc']:.2f}%",
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
            note = f"loss {metrics['train_loss']:.3f}  val {metrics['val_acc']:.2f}%"
            shown.update(bar, completed=int(metrics["epoch"]), note=note)

        yield advance
