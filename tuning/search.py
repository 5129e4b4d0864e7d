"""`python -m tuning.search METHOD`: read the flags, check them, run the sweep."""

from collections.abc import Sequence

from kd.cli import run
from tuning.cluster.jobs import run_on_cluster
from tuning.cluster.slurm import run_on_slurm
from tuning.records import request
from tuning.records.environment import told
from tuning.records.request import Flags
from tuning.sweeps.searching import plan_asked, search_asked


def search(flags: Flags) -> int:
    """Run the command line."""
    if flags.version:
        print(told())
        return 0
    if flags.allocation.asked:
        return run_on_slurm(flags, _check)
    if (code := run_on_cluster(flags, _check)) is not None:
        return code
    sweeps = plan_asked(flags)
    if flags.dry_run:
        from tuning.sweeps.forecasting import dry_run

        for settings, space in sweeps:
            dry_run(settings, space)
        if len(sweeps) > 1:
            print("They share the machine: together they take as long as one after the other.")
        return 0
    return search_asked(flags, sweeps)


def _check(flags: Flags) -> None:
    """Raise UserError for what can be seen to be wrong before a cluster is asked."""
    if flags.resume:
        return
    for settings in request.sweeps(flags, gpus=1):
        settings.check_images()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, search, argv)


if __name__ == "__main__":
    main()
