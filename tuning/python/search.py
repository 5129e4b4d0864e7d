"""`run_search`: what `python -m tuning.search` does, called from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from kd.errors import UserError, brief
from kd.files import relative
from kd.screen import warn
from tuning.cluster.target import find
from tuning.python.result import SearchResult
from tuning.python.within import called
from tuning.records.allocation import HERE_ONLY
from tuning.records.anew import MAPPINGS
from tuning.records.keywords import as_file, from_keywords, signature
from tuning.records.options import Options
from tuning.records.request import Flags
from tuning.records.settings import SweepSettings
from tuning.storage.addresses import masked
from tuning.sweeps.searching import plan_asked, search_asked

_ONLY_TYPED = ("cluster", "attach", "stop", "version", *HERE_ONLY)
"""Flags of the search that are for the command line alone."""
_SEVERAL = ("method", "backbone", "dataset", "resume")
"""Of these a list means a list of results."""
_INTERRUPTED = 130


@overload
def run_search(
    method: str,
    *,
    backbone: str | None = None,
    dataset: str | None = None,
    verbose: bool = True,
    **keywords: Any,
) -> SearchResult: ...


@overload
def run_search(
    method: str | Sequence[str] | None = None, *, verbose: bool = True, **keywords: Any
) -> Any: ...


def run_search(
    method: str | Sequence[str] | None = None, *, verbose: bool = True, **keywords: Any
) -> Any:
    """Search the hyperparameters of a method, as `python -m tuning.search METHOD` does.

    The keywords are the command's flags: `trials=16` is `--trials 16`. `set`, `space` and `grid`
    may be mappings: `set={"alpha": 0.8}`, `space={"temperature": {"low": 1, "high": 8}}`,
    `grid={"method": "kd", "rows": {"T = 1": {"temperature": 1}}}`. `method`, `backbone`,
    `dataset` and `resume` are a word or a list of them.

    Args:
        method: what the student is trained with, or several.
        verbose: print what the command prints; else warnings alone.
        keywords: the command's flags.

    Returns:
        A `SearchResult`; a list of them, in the order of the cells, where one of `method`,
        `backbone`, `dataset` and `resume` is a list; None after `dry_run=True`.

    Raises:
        UserError: what is asked for cannot be, in one sentence, before anything starts; or what
            ended the search.
        KeyboardInterrupt: it was interrupted; its folder is closed, and how to go on was said.
    """
    keywords = {"method": method, **keywords}
    with called(verbose=verbose):
        given = {name: keywords[name] for name in MAPPINGS if name in keywords}
        for name, held in given.items():
            if not isinstance(held, str | Path | Mapping | None):
                raise UserError(
                    f"{name} is {brief(repr(held))}; give a mapping, or the path of a YAML file."
                )
        files = {n: as_file(n, held) for n, held in given.items() if isinstance(held, Mapping)}
        keywords |= {name: name for name in files}
        for name in _ONLY_TYPED:
            if keywords.get(name) is not None:
                raise UserError(f"--{name} is for the command line; type python -m tuning.search.")
        flags = from_keywords(Flags, keywords, "method")
        _check_here(flags)
        sweeps = plan_asked(flags, files)
        if flags.dry_run:
            from tuning.sweeps.forecasting import dry_run

            for settings, varied in sweeps:
                dry_run(settings, varied)
            return None
        asked = [settings for settings, _ in sweeps]
        try:
            if search_asked(flags, sweeps) == _INTERRUPTED:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            _say_how_to_go_on(asked)
            raise
    results = [SearchResult.load(one.name, one.storage) for one in asked]
    several = (keywords.get(name) for name in _SEVERAL)
    alone = all(value is None or isinstance(value, str | Path) for value in several)
    return results[0] if alone else results


def _check_here(flags: Flags) -> None:
    """Raise UserError where the command would send the search to a cluster."""
    cluster = find(local=flags.local, address=flags.address, file=None)
    if cluster is not None:
        where = masked(cluster.address) if cluster.address else f"the cluster of {cluster.file}"
        raise UserError(
            f"To send a search to {where}, type python -m tuning.search; to search on this "
            "machine, give local=True."
        )


def _say_how_to_go_on(sweeps: Sequence[SweepSettings]) -> None:
    """What a person who called, and did not type, goes on with."""
    kept = [settings for settings in sweeps if settings.folder.exists()]
    if kept:
        names = [settings.name for settings in kept]
        where = relative(kept[0].folder.parent)
        resumed = names[0] if len(names) == 1 else names
        kept_in = "" if where == Options().storage else f", storage={str(where)!r}"
        warn(f"Go on with run_search(resume={resumed!r}{kept_in}).")


run_search.__signature__ = signature(run_search, Flags, _ONLY_TYPED)  # type: ignore[attr-defined]
