"""`python -m tuning.report SWEEP …`: pictures, one HTML file, Parquet, and tables of sweeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from kd.cli import run
from kd.config import TrainConfig
from kd.errors import UserError
from kd.files import replace_file
from tuning.records.result import SweepResult, load_result
from tuning.reports.summary import REPORT, print_summary

ROOM = "make room there, and type: python -m tuning.report NAME"


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Write a sweep's report again from its folder, or compare several sweeps."""

    sweeps: Annotated[tuple[str, ...], tyro.conf.Positional]
    """The sweep's name; several are compared."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    table: Literal["latex", "markdown"] | None = None
    """Print a table, method by backbone, and write nothing."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The file to write; the default is report.html in the sweep's folder, for a comparison
    comparison.html in the storage folder."""


def report(flags: Flags) -> int:
    """Write what the flags ask for."""
    if not flags.sweeps:
        raise UserError("Which sweep? Type its name: python -m tuning.report NAME.")
    results = [load_result(flags.storage, name) for name in dict.fromkeys(flags.sweeps)]
    if flags.table:
        from tuning.reports.comparison import table

        print(table(results, flags.table))
    elif len(results) == 1 and flags.output:
        from tuning.reports.page import render as render_report

        _write(flags.output, render_report(results[0]), "give another -o")
        print(flags.output)
    elif len(results) == 1:
        write_report(results[0])
        print_summary(results[0])
    else:
        from tuning.reports.comparison import render, table

        page, path = render(results), flags.output or flags.storage / "comparison.html"
        _write(path, page, "give another -o")
        print(table(results, "markdown"))
        print(f"\n{path}")
    return 0


def write_report(result: SweepResult) -> list[Path]:
    """Write report.html, curves.png, trials.parquet and curves.parquet into the sweep's folder."""
    from tuning.reports.picture import draw

    write_page(result)
    trials, curves = tables(result)
    rest = {"curves.png": draw(result), "trials.parquet": trials, "curves.parquet": curves}
    for name, content in rest.items():
        replace_file(result.sweep.folder / name, content, ROOM)
    return [result.sweep.folder / name for name in (REPORT, *rest)]


def tables(result: SweepResult) -> tuple[bytes, bytes]:
    """trials.parquet (a row for each trial) and curves.parquet (for each trial and epoch).

    Configurations are columns with dotted names such as `kd.alpha`, metrics of the last epoch
    columns such as `metrics.val_acc`; times are seconds since the epoch, accuracies percent.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    trials = [
        {
            "trial": trial.number,
            "state": trial.state,
            "epoch": trial.epoch,
            "val_acc": trial.score,
            "started": trial.started,
            "ended": trial.ended,
            "reason": trial.reason,
            **{f"metrics.{name}": value for name, value in trial.metrics.items()},
            **TrainConfig.from_dict(trial.config).flat(),
        }
        for trial in result.trials
    ]
    columns = list(dict.fromkeys(name for row in trials for name in row))
    whole = {name: [row.get(name) for row in trials] for name in columns}
    points = [
        (trial.number, epoch, accuracy)
        for trial in result.trials
        for epoch, accuracy in sorted(trial.curve.items())
    ]
    numbers, epochs, accuracies = zip(*points, strict=True) if points else ((), (), ())
    curves = pa.table(
        {
            "trial": pa.array(numbers, pa.int64()),
            "epoch": pa.array(epochs, pa.int64()),
            "val_acc": pa.array(accuracies, pa.float64()),
        }
    )

    def parquet(table: pa.Table) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    return parquet(pa.table(whole)), parquet(curves)


def write_page(result: SweepResult, *, live: bool = False) -> None:
    """Write report.html alone; `live` as in `tuning.reports.page.render`."""
    from tuning.reports.page import render

    _write(result.sweep.folder / REPORT, render(result, live=live), ROOM)


def _write(path: Path, page: str, remedy: str) -> None:
    replace_file(path, page.encode(), remedy)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, report, argv)


if __name__ == "__main__":
    main()
