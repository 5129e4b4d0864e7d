"""The files of a sweep's report: the page, the picture, and its numbers as Parquet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError
from kd.files import replace_file
from kd.screen import warn
from tuning.records.keeper import keep_config
from tuning.records.pareto import front, values_of
from tuning.records.result import SweepResult
from tuning.reports.page import render
from tuning.reports.picture import draw
from tuning.reports.stamp import bears, stamp
from tuning.storage.tables import to_parquet
from tuning.study.objectives import searched
from tuning.study.trials import TrialRecord

REPORT = "report.html"
PICTURE = "curves.png"
TABLES = ("trials.parquet", "curves.parquet")


@contextmanager
def attempted(failure: str, again: str = "", say: Callable[[str], None] = warn) -> Iterator[None]:
    """Let nothing that goes wrong within end the work that is shown.

    It is said in one sentence: `failure`, why, and `again`, what to type to have it done.
    """
    try:
        yield
    except Exception as error:  # whatever it is: the work is worth more than its picture
        reason = (str(error).splitlines() or [""])[0].rstrip(".")
        if not isinstance(error, UserError):
            reason = f"{type(error).__name__}: {reason}"
        say(f"{failure}: {reason}" + (f"; when that is mended, type: {again}" if again else "."))


def write_report(result: SweepResult) -> list[Path]:
    """Write report.html, curves.png, trials.parquet and curves.parquet into the sweep's folder.

    The picture and the tables are left where they were made from the same trials before.
    """
    write_page(result)
    folder, mark = result.sweep.folder, stamp(result)
    if not bears(folder / PICTURE, mark):
        replace_file(folder / PICTURE, draw(result, mark), None)
    if not all(bears(folder / name, mark) for name in TABLES):
        for name, content in zip(TABLES, tables(result, mark), strict=True):
            replace_file(folder / name, content, None)
    for trial in result.ended:
        keep_config(folder, trial)
    return [folder / name for name in (REPORT, PICTURE, *TABLES)]


def write_page(result: SweepResult, *, live: bool = False) -> None:
    """Write report.html alone; `live` as in `tuning.reports.page.render`."""
    page = render(result, live=live).encode()
    replace_file(result.sweep.folder / REPORT, page, None)


def tables(result: SweepResult, mark: str = "") -> tuple[bytes, bytes]:
    """trials.parquet (a row for each trial) and curves.parquet (for each trial and epoch).

    Configurations are columns with dotted names such as `kd.alpha`, metrics of the last epoch
    columns such as `metrics.val_acc`; `started` and `ended` are seconds since the epoch, `seconds`
    is how long it ran, accuracies are percent, the mean of so many `seeds`, and `source` says which
    other search found a configuration; an ablation has a `label` for each. Of a search of several
    objectives `pareto` says who is of the Pareto set, `objective.NAME` holds a trial's values, and
    a column of the curves what each epoch told of `ece` and `train_seconds`. Both bear the stamp
    `mark`.
    """
    import pyarrow as pa

    asked = result.sweep.settings.objectives
    best = {member.trial.number for member in front([result])} if len(asked) > 1 else set()
    trials = [
        {
            "trial": trial.number,
            "state": trial.state,
            "epoch": trial.epoch,
            "seeds": trial.seeds,
            "val_acc": trial.score,
            "started": trial.started,
            "ended": trial.ended,
            "seconds": trial.seconds,
            "reason": trial.reason,
            "source": trial.source,
            **({"label": trial.label} if result.sweep.settings.rows else {}),
            **{f"metrics.{name}": value for name, value in trial.metrics.items()},
            **_objectives(result, trial, best),
            **TrainConfig.from_dict(trial.config).flat(),
        }
        for trial in result.trials
    ]
    curves = [
        {"trial": trial.number, "epoch": epoch, "val_acc": accuracy, **trial.told.get(epoch, {})}
        for trial in result.trials
        for epoch, accuracy in sorted(trial.curve.items())
    ]
    columns = {"trial": pa.int64(), "epoch": pa.int64(), "val_acc": pa.float64()}
    columns |= {one.name: pa.float64() for one in searched(asked)}
    schema = pa.schema(list(columns.items()))
    return to_parquet(trials, mark=mark), to_parquet(curves, schema, mark)


def _objectives(result: SweepResult, trial: TrialRecord, best: set[int]) -> dict[str, Any]:
    """The columns of a trial of several objectives; none of one."""
    asked = result.sweep.settings.objectives
    if len(asked) < 2:
        return {}
    values = {
        f"objective.{one.name}": None if isnan(value) else value
        for one, value in zip(asked, values_of(result, trial), strict=True)
    }
    return {"pareto": trial.number in best, **values}
