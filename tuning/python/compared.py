"""`run_compare`: what `python -m tuning.compare` does, called from Python."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.errors import UserError
from tuning.python.result import SearchResult
from tuning.python.within import called
from tuning.records.compare_request import Flags
from tuning.records.keywords import from_keywords, signature
from tuning.records.measured import Measured
from tuning.sweeps.comparing import compare_asked, foretell

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class CompareResult:
    """A comparison that is over.

    Attributes:
        name: the comparison's name.
        folder: the comparison's own folder; its sweeps' lie beside it.
        report: the page that shows it, comparison.md.
    """

    name: str
    folder: Path
    report: Path
    _found: Measured = field(compare=False)

    def __repr__(self) -> str:
        return f"<CompareResult {self.name}: {' '.join(self.sentences)}>"

    @property
    def sentences(self) -> list[str]:
        """What it proves of each method, and what it does not."""
        from tuning.reports.method_words import sentences

        return sentences(self._found)

    @property
    def table(self) -> "DataFrame":
        """A row for each method: accuracies in percent, differences in points of test accuracy.

        `tuned_test_acc` is a mean over `n` seeds, `tuned_test_acc_sd` their deviation;
        `on_baseline_mean`, `_low`, `_high` and `_p` are of the paired difference from `baseline`,
        `on_default_…` from the method's own default, empty where that is handed out.
        """
        from pandas import DataFrame

        from tuning.reports.method_table import numbers

        return DataFrame(numbers(self._found))

    @property
    def trainings(self) -> "DataFrame":
        """A row for each training, with the columns of comparison.parquet."""
        from pandas import DataFrame

        from tuning.reports.method_table import trainings

        return DataFrame(trainings(self._found))

    def sweep(self, method: str) -> SearchResult:
        """The sweep of one of the methods; KeyError for any other."""
        names = {row.method: row.sweep for row in self._found.rows}
        return SearchResult.load(names[method], self.folder.parent)


def run_compare(
    method: str | Sequence[str] | None = None, *, verbose: bool = True, **keywords: Any
) -> CompareResult | None:
    """Compare methods that are tuned alike, as `python -m tuning.compare METHOD …` does.

    The keywords are the command's flags: `backbone`, `dataset`, `trials`, `epochs`, `seeds`,
    `baseline`, `name`, `storage`, …. The same call goes on where it was interrupted, and reads
    what was found where it was not. None after `dry_run=True`.

    Args:
        method: the methods, or patterns such as `*kd`.
        verbose: print what the command prints; else warnings alone.
        keywords: the command's flags.

    Raises:
        UserError: what is asked for cannot be, in one sentence, or a training failed.
        KeyboardInterrupt: it was interrupted; how to go on was said.
    """
    from tuning.reports.method_table import MARKDOWN

    with called(verbose=verbose):
        flags = from_keywords(Flags, {"method": method, **keywords}, "method")
        if len(flags.fraction) > 1:
            raise UserError("fraction holds several values; call run_compare for each of them.")
        if flags.dry_run:
            foretell(flags)
            return None
        measured = compare_asked(flags)
    folder = measured.comparison.folder(flags.options.storage)
    return CompareResult(measured.comparison.name, folder, folder / MARKDOWN, measured)


_REFUSED = [flag[2:].replace("-", "_") for flag in Flags.refused]
run_compare.__signature__ = signature(run_compare, Flags, _REFUSED)  # type: ignore[attr-defined]
