"""What a person may not ask of a sweep, though one that began before may have it."""

import re

from kd.errors import UserError
from tuning.records.settings import SweepSettings

LIMITS = {"reduction_factor": (1.1, 1000)}
"""From where to where the numbers go that may be others in a sweep of before."""

_ODD = re.compile(r"""\?|%[0-9A-Fa-f]{2}|'.*"|".*'""", re.DOTALL)
"""In a path, what an address of SQLite's, or what MLflow writes of it, takes for its own."""


def check_asked(settings: SweepSettings) -> None:
    """Raise UserError for what makes no sense to ask for, though an old sweep may have it."""
    settings.check_numbers(LIMITS)
    if settings.cost is not None and settings.price_per_hour is None:
        raise UserError(
            f"--cost is {settings.cost:g}, and what an hour costs is not said; give "
            "--price-per-hour too."
        )
    _check_epochs_total(settings)
    check_rungs(settings.check_rungs, settings.scheduler)
    if settings.scheduler == "top-k" and settings.trials is None:
        raise UserError("--scheduler top-k keeps a tenth of the trials; give --trials too.")
    if settings.base.split.train_on_val:
        raise UserError(
            "A search is judged on val, so split.train_on_val is not for it; leave it away, "
            "and train the last student on val by tuning.confirm NAME --refit."
        )
    where = str(settings.storage.absolute())
    if settings.tracking_uri is None and _ODD.search(where):
        raise UserError(
            f"--storage is {where}, and MLflow's database cannot lie in a folder with a "
            "question mark, a percent sign before two digits, or both kinds of quotes; give "
            "another one."
        )


def check_rungs(share: float, scheduler: str) -> None:
    """Raise UserError where rungs are to be checked and there are none."""
    if share and scheduler == "none":
        raise UserError(
            "--check-rungs checks what early stopping costs, and --scheduler none stops no "
            "trial; leave one of them away."
        )


def check_ends(settings: SweepSettings, gpus: float) -> None:
    """Raise UserError where nothing ends it, as its trials hold so many `gpus`."""
    others = (settings.trials, settings.epochs_total, settings.hours, settings.cost)
    if not gpus and all(bound is None for bound in others):
        raise UserError(
            "--gpu-hours ends no search whose trials hold no GPU; give --hours, or --trials."
        )


def _check_epochs_total(settings: SweepSettings) -> None:
    """Raise UserError where not even the paper's default could be trained to its end."""
    whole, asked = settings.epochs_of_a_trial, settings.epochs_total
    least = 2 * whole if settings.confirm else whole
    if asked is not None and asked < least:
        why = "with --confirm, half of it would be less" if settings.confirm else "that is less"
        seeds = settings.seeds_per_trial
        on = f" in all, on {seeds} seeds" if seeds > 1 else ""
        raise UserError(
            f"--epochs-total is {asked}; {why} than one training of {whole} epochs{on}: give "
            f"at least {least}, or fewer --epochs."
        )
