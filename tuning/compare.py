"""`python -m tuning.compare METHOD METHOD …`: does a method help, when all are tuned alike?"""

from collections.abc import Sequence

from kd.cli import run
from tuning.records.compare_request import Flags
from tuning.sweeps.comparing import apart, compare_asked, foretell


def compare(flags: Flags) -> None:
    """Run the command line."""
    parts = apart(flags)
    if flags.dry_run:
        for part in parts:
            foretell(part)
        return
    found = [compare_asked(part) for part in parts]
    if len(found) > 1:
        from tuning.reports.method_table import print_shares

        print()
        print_shares(dict(zip(flags.fraction, found, strict=True)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, compare, argv)


if __name__ == "__main__":
    main()
