"""`python -m tuning.compare METHOD METHOD …`: does a method help, when all are tuned alike?"""

from collections.abc import Iterator, Sequence

from kd.cli import run
from tuning.records.compare_request import Flags
from tuning.reports.wording import of_images
from tuning.sweeps.comparing import apart, compare_asked, foretell


def compare(flags: Flags) -> None:
    """Run the command line."""
    parts = apart(flags)
    if flags.dry_run:
        from tuning.sweeps.forecasting import summed, together

        takes = [foretell(part) for part in _headed(parts)]
        if len(takes) > 1:
            print(f"\n{together(summed(takes), 'All shares')}")
        return
    found = [compare_asked(part) for part in _headed(parts)]
    if len(found) > 1:
        from tuning.reports.method_table import print_shares

        print()
        print_shares(dict(zip(flags.fraction, found, strict=True)))


def _headed(parts: Sequence[Flags]) -> Iterator[Flags]:
    """Each of several comparisons, after a line that says of which share of the images it is."""
    for number, part in enumerate(parts, start=1):
        if len(parts) > 1:
            print("\n" * (number > 1) + f"{of_images(*part.fraction)}, {number} of {len(parts)}:")
        yield part


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, compare, argv)


if __name__ == "__main__":
    main()
