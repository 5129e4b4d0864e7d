"""`python -m tuning.search METHOD`: read the flags, check them, run the sweep."""

import os
from collections.abc import Sequence

from kd.cli import run
from tuning.cluster.jobs import run_on_cluster
from tuning.engine.runtime import check_here, gpus_at_hand
from tuning.records import request
from tuning.records.plan import print_plan
from tuning.records.presets import choose
from tuning.records.request import Flags
from tuning.records.settings import SweepSettings
from tuning.reports.sentences import resume
from tuning.sweeps.signals import held


def search(flags: Flags) -> int:
    """Check everything that can be checked without Ray, then run the sweeps."""
    if (code := run_on_cluster(flags, _check)) is not None:
        return code
    sweeps = [(settings, settings.space()) for settings in _sweeps(flags)]
    for settings, _ in sweeps:
        settings.check_images(begun=bool(flags.resume))
        settings.check_study()
        check_here(settings.compile)
    if flags.dry_run:
        for settings, space in sweeps:
            print_plan(settings, space)
        return 0
    for settings, _ in sweeps:
        settings.shelf.check()
    try:
        for settings, _ in sweeps:
            if not flags.resume:
                settings.save()
        if not flags.local and "RAY_ADDRESS" not in os.environ:
            print("No cluster that was started from here is up, so this machine searches alone.")

        with held():
            from tuning.sweeps.run import run_sweeps

            code = run_sweeps(sweeps)
        return code or _confirm([settings for settings, _ in sweeps if settings.confirm])
    except BaseException as error:
        kept = [settings for settings, _ in sweeps if flags.resume or not settings.forget()]
        if isinstance(error, KeyboardInterrupt):
            print(
                f"\nStopped; go on with: {resume(kept)}" if kept else "\nStopped before it began."
            )
        raise


def _confirm(sweeps: Sequence[SweepSettings]) -> int:
    """Prove the best of each sweep, one after the other; returns the exit code."""
    from tuning.reports.confirmed import print_findings
    from tuning.reports.sentences import confirm_again
    from tuning.sweeps.candidates import Asked
    from tuning.sweeps.confirmation import confirm_sweep

    for settings in sweeps:
        print()
        findings = confirm_sweep(settings, Asked())
        if findings is None:
            print(f"Stopped; go on with: {confirm_again(settings)}. The test set is still sealed.")
            return 130
        print_findings(findings)
    return 0


def _check(flags: Flags) -> None:
    """Raise UserError for what can be seen to be wrong before a cluster is asked."""
    if flags.resume:
        return
    for settings in request.sweeps(flags, gpus=1):
        settings.check_images()


def _sweeps(flags: Flags) -> list[SweepSettings]:
    """The sweeps that are asked for; where the machine decides the preset, that is said."""
    request.check(flags)
    if flags.resume or flags.preset != "auto":
        return request.sweeps(flags, gpus=0)
    asked = flags.options.gpus_per_trial
    gpus = asked if isinstance(asked, float) else gpus_at_hand()
    why = "GPUs were found" if gpus else "no GPU was found"
    other = "laptop" if choose("auto", gpus) == "paper" else "paper"
    print(f"preset {choose('auto', gpus)}: {why}; choose otherwise with --preset {other}")
    return request.sweeps(flags, gpus=gpus)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, search, argv)


if __name__ == "__main__":
    main()
