"""`python -m tuning.confirm SWEEP`: which of a sweep's best is proved to be better.

Asked again, the command prints what it found.
"""

from collections.abc import Sequence

from kd.cli import run
from tuning.records.confirm_request import Flags
from tuning.sweeps.confirming import confirm_asked


def confirm(flags: Flags) -> int:
    """Run the command line."""
    return 130 if confirm_asked(flags) is None else 0


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, confirm, argv)


if __name__ == "__main__":
    main()
