"""`python -m tuning.compare METHOD METHOD …`: does a method help, when all are tuned alike?"""

from collections.abc import Sequence

from kd.cli import run
from tuning.records.compare_request import Flags
from tuning.sweeps.comparing import compare_asked, foretell


def compare(flags: Flags) -> None:
    """Run the command line."""
    if flags.dry_run:
        foretell(flags)
    else:
        compare_asked(flags)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, compare, argv)


if __name__ == "__main__":
    main()
