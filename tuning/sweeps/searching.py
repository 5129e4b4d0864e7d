"""Searches that are asked for, from their flags to what is proved at their end."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from kd.data import verify_dataset
from kd.data.split import remarks
from kd.methods import check_loss
from kd.screen import warn
from search_spaces import Space
from tuning.engine.packing import share_of
from tuning.engine.runtime import check_here, elsewhere, gpus_at_hand, local_gpus, this_machine
from tuning.records import request
from tuning.records.ablation import Files
from tuning.records.asked import check_ends
from tuning.records.presets import choose
from tuning.records.request import Flags
from tuning.records.settings import SweepSettings
from tuning.reports.sentences import resume
from tuning.storage.claim import claimed
from tuning.study.warm import WarmStart
from tuning.sweeps.signals import held
from tuning.sweeps.warming import check_warm_start

Planned = Sequence[tuple[SweepSettings, Space]]
"""Sweeps that nothing is known to be wrong with, and what may vary in each."""


def plan_asked(flags: Flags, files: Files | None = None) -> Planned:
    """Check everything that can be checked without Ray; nothing is written.

    `files` are as of `tuning.records.ablation.content`.

    Raises:
        UserError: what is asked for cannot be.
    """
    sweeps = [(settings, settings.space()) for settings in _sweeps(flags, files)]
    told: dict[str, None] = {}
    for settings, _ in sweeps:
        check_loss(settings.base.method)
        info = settings.check_images(begun=bool(flags.resume))
        settings.check_study()
        if flags.resume:
            WarmStart.load(settings.folder)
        if not flags.resume:
            told |= dict.fromkeys(remarks(info, settings.base.split))
            check_warm_start(settings)
        check_here(settings.compile)
        if not elsewhere():
            share_of(settings, [this_machine()])
            if not local_gpus():
                check_ends(settings, 0)
    for line in told:
        print(line)
    if flags.dry_run:
        read_images(sweeps)
    return sweeps


def read_images(sweeps: Planned) -> None:
    """Read all images of the sweeps and keep none; UserError for what is damaged."""
    each = ((s.base.dataset, s.data_root, s.base.images) for s, _ in sweeps)
    for name, root, images in dict.fromkeys(each):
        verify_dataset(name, root, images)


def search_asked(flags: Flags, sweeps: Planned) -> int:
    """Run the sweeps that were planned by `flags`, and prove their best; returns the exit code.

    0: they ended; 1: a sweep had no trial that completed; 130: interrupted, can be resumed.

    Raises:
        UserError: what ended a sweep.
        KeyboardInterrupt: before the search began, or while what it ended was closed; then it
            was said how to go on.
    """
    for settings, _ in sweeps:
        settings.shelf.check()
    try:
        for settings, _ in sweeps:
            if not flags.resume:
                settings.save()
        with ExitStack() as claims:
            for settings, _ in sweeps:
                claims.enter_context(claimed(settings.folder))
            if not flags.local and "RAY_ADDRESS" not in os.environ:
                print(
                    "No cluster that was started from here is up, so this machine searches alone."
                )
            return _run(sweeps)
    except BaseException as error:
        kept = [settings for settings, _ in sweeps if flags.resume or not settings.forget()]
        if isinstance(error, KeyboardInterrupt):
            warn(f"\nStopped; go on with: {resume(kept)}" if kept else "\nStopped before it began.")
        raise


def _run(sweeps: Planned) -> int:
    """Search, then prove what is to be proved; returns the exit code."""
    with held():
        from tuning.sweeps.run import run_sweeps

        code = run_sweeps(sweeps)
        return code or _confirm([settings for settings, _ in sweeps if settings.confirm])


def _confirm(sweeps: Sequence[SweepSettings]) -> int:
    """Prove the best of each sweep, one after the other; returns the exit code."""
    from tuning.reports.confirmed import print_findings
    from tuning.reports.sentences import confirm_again
    from tuning.sweeps.candidates import Asked
    from tuning.sweeps.confirmation import SpentError, confirm_sweep
    from tuning.sweeps.confirming import print_cost, print_undecided, read_again

    for settings in sweeps:
        print()
        again = confirm_again(settings)
        try:
            findings = confirm_sweep(settings, Asked(), bounded=True)
        except SpentError as spent:
            print(f"{spent} The test set is still sealed; go on with: {again}")
            print_cost(read_again(settings))
            continue
        if findings is None:
            warn(f"Stopped; go on with: {again}. The test set is still sealed.")
            return 130
        print_findings(findings)
        result = read_again(settings)
        print_cost(result)
        print_undecided(result)
    return 0


def _sweeps(flags: Flags, files: Files | None) -> list[SweepSettings]:
    """The sweeps that are asked for."""
    request.check(flags)
    return request.sweeps(decided(flags), gpus=0, files=files)


def decided(flags: Flags) -> Flags:
    """The same with the preset that `auto` is on this machine, which is said."""
    if flags.resume or flags.preset != "auto":
        return flags
    asked = flags.options.gpus_per_trial
    gpus, why = gpus_at_hand(), "GPUs were found"
    if isinstance(asked, float):
        gpus, why = asked, f"--gpus-per-trial is {asked:g}"
    elif not gpus:
        why = "no GPU was found"
    preset = choose("auto", gpus)
    other = "laptop" if preset == "paper" else "paper"
    print(f"preset {preset}: {why}; choose otherwise with --preset {other}")
    return replace(flags, preset=preset)
