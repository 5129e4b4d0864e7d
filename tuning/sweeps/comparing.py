"""A comparison of methods, from its flags to its table: a search and a confirmation of each."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from shlex import quote

from kd.backbones.names import short
from kd.data import DatasetName
from kd.errors import UserError
from kd.files import relative
from kd.screen import warn
from tuning.cluster.target import find
from tuning.records import request
from tuning.records.compare_request import Flags, baselines, check
from tuning.records.compared import Comparison
from tuning.records.findings import Findings, IncompleteError
from tuning.records.forecast import Band
from tuning.records.measured import Measured, measure
from tuning.records.naming import made_of
from tuning.records.options import Options
from tuning.records.presets import choose, setting
from tuning.records.result import load_result
from tuning.records.settings import SweepSettings
from tuning.records.teaching import NO_TEACHERS, is_taught
from tuning.reports.method_table import MARKDOWN, print_table, write
from tuning.storage.addresses import masked
from tuning.sweeps.searching import Planned, decided, plan_asked, read_images
from tuning.sweeps.signals import held, listen


def apart(flags: Flags) -> list[Flags]:
    """What each comparison of its own is asked, where there are several fractions of the images.

    UserError for what makes no sense, of any of them: the last begins long after the first.
    """
    if len(flags.fraction) < 2:
        return [flags]
    flags = _settled(flags)
    name = _name(flags)
    each = ((share, f"{name}-{share:.15g}") for share in flags.fraction)
    parts = [replace(flags, fraction=(share,), name=own) for share, own in each]
    for part in parts:
        # What it says is said when it begins.
        with redirect_stdout(StringIO()):
            if _known(part) is None:
                _planned(part)
    return parts


def compare_asked(flags: Flags) -> Measured:
    """Compare the methods, or go on where it was stopped, and keep and print what was found.

    Raises:
        UserError: what is asked for cannot be, a training failed, or all methods but one were left
            out, as their defaults did not complete on every seed.
        KeyboardInterrupt: it was interrupted; then it was said how to go on.
    """
    flags, storage = _settled(flags), flags.options.storage
    known = _known(flags)
    comparison = known or _begun(flags)
    try:
        with held():
            for number in range(len(comparison.sweeps)):
                listen()
                try:
                    _settle(flags, comparison, number)
                except IncompleteError as error:
                    warn(f"{comparison.methods[number]} is left out. {error}")
    except BaseException as error:
        kept = known is not None or not comparison.forget(storage)
        if isinstance(error, KeyboardInterrupt):
            again = f"\nStopped; go on with: {resume(comparison, storage)}"
            warn(again if kept else "\nStopped before it began.")
        raise
    measured = measure(comparison, [load_result(storage, name) for name in comparison.sweeps])

    print()
    print_table(measured)
    print(relative(write(measured, storage)))
    return measured


def foretell(flags: Flags) -> Band | None:
    """Say what each method's search and confirmation will take, measured here, and all together.

    The seconds of all of it; None where the pace of some is not measured.
    """
    from tuning.sweeps.forecasting import dry_run, summed, together

    flags = _settled(flags)
    name = _name(flags)
    if Comparison.find(flags.options.storage, name) is not None:
        raise UserError(f"The comparison {name} was begun before; give another --name.")
    takes, planned = [], _planned(flags)
    read_images(planned)
    for settings, space in planned:
        takes.append(dry_run(settings, space))
        print()
    total = summed(takes)
    print(together(total))
    return total


def resume(comparison: Comparison, storage: Path) -> str:
    """The command that goes on with a comparison."""
    kept = "" if storage == Options().storage else f" --storage {quote(str(storage))}"
    return f"python -m tuning.compare --resume {comparison.name}{kept}"


# -- what is compared -------------------------------------------------------------------------


def _known(flags: Flags) -> Comparison | None:
    """The comparison that is to go on; None where a new one is asked for."""
    storage = flags.options.storage
    if flags.resume is not None:
        resumed = Comparison.load(storage, flags.resume)
        if missing := resumed.missing(storage):
            raise _incomplete(resumed, missing[0])
        return resumed
    wanted = _name(flags)
    known = Comparison.find(storage, wanted)
    if known is None:
        return None
    if known.methods != flags.methods:
        raise UserError(
            f"The comparison {wanted} is of {', '.join(known.methods)}, and of no other methods; "
            f"go on with --resume {wanted}, or give another --name to begin one of "
            f"{', '.join(flags.methods)}."
        )
    if known.asked != flags.asked:
        raise UserError(
            f"The comparison {wanted} was begun with: {known.asked}; go on with "
            f"--resume {wanted}, or give another --name."
        )
    if missing := known.missing(storage):
        # Cut short as it began, it begins again.
        if not known.forget(storage):
            raise _incomplete(known, missing[0])
        return None
    print(f"The comparison {wanted} was begun before; it goes on.")
    return known


def _incomplete(comparison: Comparison, sweep: str) -> UserError:
    return UserError(
        f"{comparison.name} lacks its sweep {sweep}; put that folder back, or type the whole "
        f"command again (tuning.compare {comparison.asked}), with another --name if it refuses."
    )


def _begun(flags: Flags) -> Comparison:
    """A new comparison, whose sweeps are then all in their folders."""
    storage, wanted = flags.options.storage, _name(flags)
    sweeps = [settings for settings, _ in _planned(flags)]
    for settings in sweeps:
        settings.shelf.check()
    comparison = Comparison(
        name=wanted,
        methods=flags.methods,
        sweeps=tuple(settings.name for settings in sweeps),
        baselines=baselines(flags.methods, flags.baseline),
        seeds=flags.seeds,
        asked=flags.asked,
    )
    comparison.begin(storage, sweeps)
    return comparison


def _planned(flags: Flags) -> Planned:
    """A sweep for each method, all alike."""
    _check_set(flags)
    planned = [
        (replace(settings, compared_on=flags.seeds, confirm=True), space)
        for settings, space in plan_asked(flags.searches(_name(flags)))
    ]
    _check_alike([settings for settings, _ in planned])
    return planned


def _settled(flags: Flags) -> Flags:
    """The flags, checked, with the preset that `auto` is here."""
    check(flags)
    _check_here(flags)
    if flags.resume is not None:
        return flags
    return replace(flags, preset=decided(flags.searches("")).preset)


def _check_set(flags: Flags) -> None:
    """Raise UserError, with the method's name, where --set fixes what one of them has not."""
    for method in flags.methods if flags.set else ():
        try:
            alone = flags if is_taught(method) else replace(flags, **NO_TEACHERS)
            asked = replace(alone.searches(""), method=(method,), name=None)
            for settings in request.sweeps(asked, gpus=0):
                settings.space()
        except UserError as error:
            raise UserError(f"For {method}: {error}") from None


def _name(flags: Flags) -> str:
    """The name that is given, or one that the same command has again."""
    if flags.name is not None:
        return flags.name
    usual = setting(choose(flags.preset, 0), flags.methods[0]).base
    dataset = DatasetName.parse(flags.dataset or usual.dataset).published
    return made_of(f"compare-{short(flags.backbone or usual.backbone)}-{dataset}")


def _check_alike(sweeps: Sequence[SweepSettings]) -> None:
    """Raise UserError unless all methods get the same epochs, and val is cut alike."""
    first = sweeps[0].base
    for base in (settings.base for settings in sweeps[1:]):
        if base.epochs != first.epochs:
            raise UserError(
                f"The papers train {first.method} for {first.epochs} epochs and {base.method} "
                f"for {base.epochs}; give --epochs N, for all of them."
            )
        if base.split != first.split:
            raise UserError(
                f"{first.method} and {base.method} cut val otherwise; give --set split.NAME=VALUE, "
                "for all of them."
            )


def _check_here(flags: Flags) -> None:
    """Raise UserError where a cluster is up that a comparison is not sent to."""
    cluster = find(local=flags.local, address=None, file=None)
    if cluster is not None:
        where = masked(cluster.address) if cluster.address else f"the cluster of {cluster.file}"
        raise UserError(
            f"A comparison runs where it is typed, and {where} is up: type it on its head, or give "
            "--local to compare on this machine."
        )


# -- one method after the other ---------------------------------------------------------------


def _settle(flags: Flags, comparison: Comparison, number: int) -> None:
    """Search and confirm one method, as far as that was not done before."""
    from tuning.sweeps.handing_out import mend, study_of

    storage, name = flags.options.storage, comparison.sweeps[number]
    settings = SweepSettings.load(storage, name)
    if (findings := Findings.load(settings.folder)) is not None:
        if not (comparison.folder(storage) / MARKDOWN).exists():
            # A kill may have come between what was found and what hands it out.
            mend(settings, load_result(storage, name), findings)
        return
    about = f"Method {number + 1} of {len(comparison.methods)}, {comparison.methods[number]}"
    planned = plan_asked(flags.resumed(name))
    # It is begun when a search is over and all that shows it is written.
    if not (settings.folder / f"{study_of(1)}.log").exists():
        print(f"\n{about}: searching …", flush=True)
        _search(planned)
    print(f"\n{about}: confirming …", flush=True)
    _confirm(planned)


def _search(planned: Planned) -> None:
    from tuning.sweeps.run import run_sweeps

    code = run_sweeps(planned)
    if code == 130:
        raise KeyboardInterrupt
    if code:
        name = planned[0][0].name
        raise UserError(
            f"No trial of {name} completed, so there is nothing to compare; see why in its "
            "report, and start a new comparison."
        )


def _confirm(planned: Planned) -> None:
    from tuning.reports.confirmed import print_findings
    from tuning.sweeps.candidates import Asked
    from tuning.sweeps.confirmation import confirm_sweep

    findings = confirm_sweep(planned[0][0], Asked())
    if findings is None:
        raise KeyboardInterrupt
    print_findings(findings)
