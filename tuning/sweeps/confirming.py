"""A confirmation that is asked for, from its flags to what it says at its end."""

from dataclasses import replace

from kd.methods import check_loss
from kd.screen import warn
from tuning.engine.runtime import check_here
from tuning.records.confirm_request import Flags, check
from tuning.records.findings import Findings
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import SweepSettings


def confirm_asked(flags: Flags) -> Findings | None:
    """Confirm the sweep, or read what was found before, and print it.

    None if it was interrupted before the test set was opened: then it was said how to go on.

    Raises:
        UserError: what is asked for cannot be, or a training failed.
    """
    check(flags)
    result = load_result(flags.storage, flags.sweep)
    settings = flags.settings()

    from tuning.reports.confirmed import print_findings
    from tuning.reports.sentences import seen_val
    from tuning.sweeps.candidates import Asked, check_asked

    asked = Asked(flags.top, flags.seeds, flags.trial, flags.again, flags.refit)
    check_asked(result, asked)
    if (known := result.findings) and (flags.again is None or known.noted(flags.again)):
        from tuning.sweeps.handing_out import mend

        print("It was confirmed before; this is what was found then.")
        mend(settings, result, known)
        print_findings(known)
        print_next(read_again(settings))
        return known
    check_loss(settings.base.method)
    settings.check_images(begun=True)
    check_here(settings.compile)

    from tuning.sweeps.confirmation import confirm_sweep

    try:
        findings = confirm_sweep(settings, asked)
    except KeyboardInterrupt:
        # Perhaps test is opened by now: then it was noted, and is told when it goes on.
        warn("Stopped; the same command goes on from there.")
        raise
    if findings is None:
        warn("Stopped; the same command goes on from there. The test set is still sealed.")
        return None
    print_findings(findings)
    result = read_again(settings)
    print_cost(result)
    for sentence in seen_val(settings):
        print(sentence)
    print_next(result)
    return findings


def read_again(settings: SweepSettings) -> SweepResult:
    """What the sweep has come to by now, under `settings`: the price may be given anew."""
    result = load_result(settings.storage, settings.name)
    return replace(result, sweep=replace(result.sweep, settings=settings))


def print_next(result: SweepResult) -> None:
    """Print what may be typed after a confirmation."""
    from tuning.reports.sentences import next_steps

    print_undecided(result)
    for command in next_steps(result):
        print(f"  {command}")


def print_undecided(result: SweepResult) -> None:
    """Print what would decide on a candidate that may be better; nothing where none may."""
    from tuning.reports.sentences import more_seeds

    if command := more_seeds(result):
        print(f"More seeds, fresh ones, would decide; test is opened once more then:\n  {command}")


def print_cost(result: SweepResult) -> None:
    """Print what the search and all that was trained to confirm it took, together."""
    from tuning.reports.spending import cost_of_all

    print(cost_of_all(result))
