"""What came of a sweep, for Python: its best, its tables, its student; and its confirmation."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.python.within import called
from tuning.records.confirm_request import Flags
from tuning.records.keeper import STUDENT
from tuning.records.keywords import from_keywords, signature
from tuning.records.pareto import front
from tuning.records.result import SweepResult, load_result
from tuning.records.winner import sweep_config
from tuning.study.trials import REFERENCE
from tuning.sweeps.confirming import confirm_asked

if TYPE_CHECKING:
    from pandas import DataFrame

    from kd.backbones.staged import StagedBackbone


@dataclass(frozen=True, repr=False)
class SearchResult:
    """A sweep and what came of it, as its folder held it when this was made.

    Attributes:
        name: the sweep's name.
        folder: the sweep's own folder.
        best: the configuration that is handed out: the confirmed one, else that of the best
            trial as the search saw it; None where no trial completed.
        score: its val accuracy in percent: the mean over new seeds where it was confirmed, else
            of one run, or the mean of the seeds of a trial.
        confirmed: whether a confirmation came to its end, so that `score` is a mean over new seeds.
        proved: whether that showed `best` to be better than the paper's default. Where it was
            `confirmed` and this is False, `best` is that default.
    """

    name: str
    folder: Path
    best: TrainConfig | None
    score: float | None
    confirmed: bool
    proved: bool
    _found: SweepResult = field(compare=False)

    def __repr__(self) -> str:
        from tuning.reports.sentences import headline

        return f"<SearchResult {self.name}: {headline(self._found) or 'no trial completed.'}>"

    @classmethod
    def load(cls, name: str, storage: str | Path = "runs") -> Self:
        """The result of the sweep `name` as it is now; UserError if there is no such sweep."""
        found = load_result(Path(storage), name)
        folder = found.sweep.folder
        best = sweep_config(folder.parent, folder.name) if found.best else None
        known = found.findings
        proved = known is not None and known.handed_out != REFERENCE
        score = found.best_score
        return cls(found.sweep.name, folder, best, score, known is not None, proved, found)

    @property
    def report(self) -> Path:
        """The page that shows all of it."""
        from tuning.reports.files import REPORT

        return self.folder / REPORT

    @property
    def trials(self) -> "DataFrame":
        """A row for each trial, with the columns of trials.parquet.

        `trial` is its number, `state` completed, stopped, failed or running, `val_acc` the val
        accuracy in percent after its last `epoch`, `seconds` how long it ran; the configuration
        is in columns such as `kd.alpha`, the last epoch's metrics in such as `metrics.val_acc`.
        """
        return self._table(0)

    @property
    def curves(self) -> "DataFrame":
        """A row for each trial and epoch: `trial`, `epoch` from 1, `val_acc` in percent."""
        return self._table(1)

    @property
    def pareto(self) -> "DataFrame":
        """The rows of `trials` that are of the Pareto set, highest val accuracy first.

        Of a search of several objectives: `objective.ece` and the like hold their values, in the
        objectives' units. Of one objective it is the best trial, or several as good.
        """
        table = self.trials
        found = [member.trial.number for member in front([self._found])]
        return table.set_index("trial", drop=False).loc[found].reset_index(drop=True)

    def _table(self, which: int) -> "DataFrame":
        from pyarrow.parquet import read_table

        from tuning.reports.files import tables

        table: DataFrame = read_table(BytesIO(tables(self._found)[which])).to_pandas()
        return table

    def student(self) -> "StagedBackbone":
        """The trained network of `best`, on the CPU and in eval mode.

        It takes float32 images of shape (N, channels, height, width), normalised as in its
        training, and returns logits of shape (N, classes). By what they were normalised its file
        says: `kd.training.checkpoint.load_weights(result.folder / "student.safetensors")`.

        Raises:
            UserError: no trial completed, or the file is gone or damaged.
        """
        from kd.training.checkpoint import load_weights

        if self.best is None:
            raise UserError(
                f"No trial of {self.name} completed, so there is no student; search on with "
                f"run_search(resume={self.name!r}, trials={len(self._found.trials) + 4})."
            )
        return load_weights(self.folder / STUDENT)[0]

    def confirm(self, *, verbose: bool = True, **keywords: Any) -> "SearchResult":
        """Confirm the sweep, as `run_confirm` does; returns the result anew."""
        keywords = {"storage": self.folder.parent, **keywords}
        return run_confirm(self.name, verbose=verbose, **keywords)


def run_confirm(sweep: str, *, verbose: bool = True, **keywords: Any) -> SearchResult:
    """Prove what a sweep hands out, as `python -m tuning.confirm SWEEP` does.

    Its best trials and the paper's default are trained again on new seeds, and the test set is
    opened, once. A sweep that was confirmed before is read. The keywords are the command's flags:
    `top`, `trial` (a number or several), `seeds`, `refit`, `again`, `storage`, ….

    Args:
        sweep: the sweep's name.
        verbose: print what the command prints; else warnings alone.
        keywords: the command's flags.

    Raises:
        UserError: what is asked for cannot be, in one sentence, or a training failed.
        KeyboardInterrupt: it was interrupted; the same call goes on from there.
    """
    with called(verbose=verbose):
        flags = from_keywords(Flags, {"sweep": sweep, **keywords}, "sweep")
        if confirm_asked(flags) is None:
            raise KeyboardInterrupt
    return SearchResult.load(flags.sweep, flags.storage)


run_confirm.__signature__ = signature(run_confirm, Flags)  # type: ignore[attr-defined]
