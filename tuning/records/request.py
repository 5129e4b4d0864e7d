"""What a person asked `tuning.search` for, and the settings of the sweeps that it means."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from kd.backbones.names import short
from kd.cli import repeated, shown
from kd.config import ImagesConfig, SplitConfig, parse
from kd.data.config import PIXELS
from kd.data.names import DatasetName
from kd.errors import UserError, brief
from kd.files import whole
from kd.methods import method_names
from tuning.records.ablation import Ablation, Files, as_rows, check_alone, content
from tuning.records.allocation import HERE_ONLY as ALLOCATION
from tuning.records.allocation import Allocation
from tuning.records.anew import anew
from tuning.records.asked import check_asked
from tuning.records.naming import check_given, made_of
from tuning.records.options import CHANGEABLE, Options, Several, Weights
from tuning.records.plan import within_space
from tuning.records.presets import Preset, Setting, choose, setting
from tuning.records.settings import SweepSettings
from tuning.records.teaching import check_teachers, is_taught, teachers_of

HERE_ONLY = ("local", "address", "cluster", "attach", "stop", "version", "storage", *ALLOCATION)
"""Flags that mean something on the machine where they were typed, and nowhere else."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Search the hyperparameters of a distillation method on a backbone and a data set.

    With no flags: the paper's setting (CIFAR-100, ResNet-18) where there are GPUs, else
    few-shot digits on a small network, which takes minutes on a laptop.
    """

    method: Annotated[tuple[str, ...], tyro.conf.Positional, shown("METHOD")] = ()
    """lsskd, dtskd, drkd, pskd, kd, …; several share the cluster, and end in one table."""
    backbone: Annotated[Several, repeated("NAME")] = ()
    """resnet8, resnet20, resnet18, wrn_16_2, …; python -m kd.backbones lists them; or
    torchvision:NAME, timm:NAME, module:FILE:FUNCTION."""
    dataset: Annotated[Several, repeated("NAME")] = ()
    """digits, cifar10, cifar100, fashion-mnist, tiny-imagenet, folder:DIR, parquet:FOLDER, …."""
    resize: Annotated[int | None, shown("N")] = None
    """Resize every image so that its shorter side has N pixels, and cut out the middle square."""
    convert_images: bool = False
    """Make every image RGB: grey ones, with a palette, transparent, CMYK, of 16 bits."""
    skip_bad_images: Annotated[int, shown("N")] = 0
    """Leave out up to N images of each set that cannot be decoded, and say which."""
    val: Annotated[Path | None, shown("DIR")] = None
    """Take the images of this folder as val, and cut none from those to train on."""
    val_per_class: Annotated[int | None, shown("N")] = None
    """Cut so many images of each class as val; of a small class half of what it has."""
    fraction: Annotated[float | None, shown("SHARE")] = None
    """Train on this share of what val leaves of each class: 0.25, …."""
    preset: Preset = "auto"
    """What to search when nothing else is said."""
    trials: Annotated[int | None, shown("N")] = None
    """How many configurations to try, the paper's default among them; open under a bound."""
    epochs: Annotated[int | None, shown("N")] = None
    """How many epochs a trial may train."""
    set: Annotated[Several, repeated("NAME=VALUE")] = ()
    """Fix a hyperparameter instead of searching it, or how val is cut: split.val_fraction=0.2."""
    space: Annotated[Path | None, shown("FILE")] = None
    """A YAML file of ranges that replace the method's own."""
    grid: Annotated[Path | None, shown("FILE")] = None
    """An ablation instead of a search: train each row of this YAML file, on three seeds."""
    grace_period: Annotated[int | None, shown("EPOCHS")] = None
    """Epochs that every trial may train before it can be stopped; the preset says how many."""
    teacher: Annotated[Several, repeated("NAME|FILE")] = ()
    """For methods with a teacher: its backbone, or a file: .safetensors, or .pt of kd.train."""
    teacher_weight: Annotated[Weights, repeated("W")] = ()
    """How much each of several teachers counts in the mean of their logits; equally by default."""
    assistant: Annotated[Several, repeated("NAME")] = ()
    """A backbone between teacher and student, taught by the one before it; the largest first."""
    teacher_saw_val: bool = False
    """Let the teacher's file have been trained on val images; noted in every result."""
    name: Annotated[str | None, shown("NAME")] = None
    """The sweep's name; the default is made of method, backbone, data set and time."""
    resume: Annotated[Several, repeated("NAME")] = ()
    """Go on with the interrupted sweep of this name."""
    dry_run: bool = False
    """Say what would be run and what it would cost, and end."""
    cluster: Annotated[Path | None, shown("FILE")] = None
    """Send the sweep to the cluster of this file; the default is ray_cluster.yaml, if it is up."""
    address: Annotated[str | None, shown("ADDRESS")] = None
    """Send it to a Ray job API (http://…), or join the Ray at HOST:PORT."""
    local: bool = False
    """Run on this machine, whatever cluster is up."""
    attach: Annotated[tuple[str, ...] | None, shown("[SWEEP]")] = None
    """Follow a sweep on the cluster: the one of this name, or the newest."""
    stop: Annotated[tuple[str, ...] | None, shown("[SWEEP]")] = None
    """End a sweep on the cluster and bring home what it has found."""
    version: bool = False
    """Print the versions of this project and of what it stands on, and end."""
    allocation: Annotated[Allocation, tyro.conf.arg(name="")] = field(default_factory=Allocation)
    options: Annotated[Options, tyro.conf.arg(name="")] = field(default_factory=Options)

    def given(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of every flag that is not at its default, in the order of the help."""
        return given_of(self)

    def check_typed(self, names: Collection[str]) -> None:
        """Raise UserError for a flag of `names`, which were typed, that changes nothing.

        Beside the rows of an ablation, or of a sweep that is resumed.
        """
        held = {**vars(self), **vars(self.options)}
        typed = [(name, value) for name, value in held.items() if name in names]
        if self.resume:
            for name, _ in typed:
                check_changeable(name)
        elif self.grid:
            check_alone(typed)


def check_changeable(name: str) -> None:
    """Raise UserError for a flag that says what a sweep has kept since it began."""
    if name not in ("resume", "dry_run", "mps", "epochs", *HERE_ONLY, *CHANGEABLE):
        raise UserError(f"A resumed sweep keeps its own {name.replace('_', '-')}; leave it away.")


def given_of(flags: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of every flag of `flags` that is not at its default, in the help's order."""
    for entry, default in zip(fields(flags), vars(type(flags)()).values(), strict=True):
        value = getattr(flags, entry.name)
        if is_dataclass(value):
            yield from given_of(value)
        elif value != default:
            yield entry.name, value


def check(flags: Flags) -> None:
    """Raise UserError for numbers and names that make no sense, whatever the machine."""
    for name in ("trials", "epochs"):
        if (number := getattr(flags, name)) is not None and number < 1:
            raise UserError(f"--{name} is {number}; it must be at least 1.")
    if flags.resize is not None and not 1 <= flags.resize <= PIXELS:
        raise UserError(f"--resize is {brief(flags.resize)}; it must be from 1 to {PIXELS}.")
    if flags.skip_bad_images < 0:
        raise UserError(f"--skip-bad-images is {brief(flags.skip_bad_images)}; give 0 or more.")
    where = [f"--{name}" for name in ("local", "address", "cluster") if getattr(flags, name)]
    where += ["--slurm"] if flags.allocation.asked else []
    if len(where) > 1:
        raise UserError(f"{' and '.join(where)} say where to run; give one of them.")
    flags.allocation.check()
    check_teachers(flags, flags.method)
    if not (flags.resume or flags.method or flags.grid):
        raise UserError(f"Which method? Give one of: {', '.join(method_names())}.")


def sweeps(flags: Flags, *, gpus: float, files: Files | None = None) -> list[SweepSettings]:
    """One sweep for each combination of method, backbone and data set, or those to be resumed.

    `gpus` is what the preset `auto` goes by; `files` are as of `tuning.records.ablation.content`.
    """
    check(flags)
    if flags.resume:
        return _resumed(flags)
    rows = None
    if flags.grid:
        rows = Ablation.read(flags.grid, files, flags.method)
        flags = replace(flags, method=(rows.method,), options=as_rows(flags.options))
        check(flags)
    ranges = content("space", flags.space, files)
    preset = choose(flags.preset, gpus)
    cells = [
        setting(
            preset,
            method,
            backbone=backbone,
            dataset=dataset,
            trials=flags.trials,
            epochs=flags.epochs,
            teachers=teachers_of(flags) if is_taught(method) else (),
            images=_images(flags),
        )
        for method in dict.fromkeys(flags.method)
        for backbone in dict.fromkeys(flags.backbone or (None,))
        for dataset in dict.fromkeys(map(_placed, flags.dataset) if flags.dataset else (None,))
    ]
    return [_settings(flags, cell, ranges, rows, alone=len(cells) == 1) for cell in cells]


def _resumed(flags: Flags) -> list[SweepSettings]:
    """The sweeps to go on with, and what the flags change of them."""
    changes = {}
    storage = flags.options.storage
    for name, value in flags.given():
        if name in CHANGEABLE:
            changes[name] = value
        elif name == "epochs":
            settings = SweepSettings.load(storage, flags.resume[0])
            raise UserError(
                f"A resumed sweep keeps its own epochs ({settings.base.epochs}), which its "
                "schedules and rungs follow from; for others start a new sweep: "
                f"{anew(settings)} --epochs {value}"
            )
        else:
            check_changeable(name)
    names = dict.fromkeys(flags.resume)
    kept = [SweepSettings.load(storage, name) for name in names]
    if any(settings.rows for settings in kept):
        check_alone(changes.items())
    resumed = [replace(settings, **changes) for settings in kept]
    # Without a word it is used again, as no flag says so.
    resumed = [replace(settings, mps=flags.options.mps) for settings in resumed]
    if changes:
        for settings in resumed:
            check_asked(settings)
    return [within_space(settings, settings.trials) for settings in resumed]


def _settings(
    flags: Flags, cell: Setting, ranges: dict[str, Any], rows: Ablation | None, *, alone: bool
) -> SweepSettings:
    options = flags.options
    fixed = _fixed(flags.set)
    base = replace(cell.base, seed=options.seed, split=_split(cell.base.split, fixed, flags))
    dataset = DatasetName.parse(base.dataset).published
    about = made_of(f"{base.method}-{short(base.backbone)}-{dataset}")
    name = f"{about}-{datetime.now():%Y%m%d-%H%M%S}"
    if flags.name is not None:
        check_given(flags.name)
        name = flags.name if alone else f"{flags.name}-{about}"
    grace = flags.grace_period if flags.grace_period is not None else cell.grace_period
    seeds = 1 if options.seeds_per_trial is None else options.seeds_per_trial
    settings = SweepSettings(
        name=name,
        base=base,
        trials=cell.trials if flags.trials or not options.bounded else None,
        grace_period=grace,
        fixed=fixed,
        ranges=ranges,
        ranges_file=str(flags.space or "--space"),
        rows=rows.rows if rows else {},
        grid_file=str(flags.grid or "--grid"),
        **vars(options) | {"seeds_per_trial": seeds},
    )
    check_asked(settings)
    if settings.folder.exists():
        raise UserError(
            f"The sweep {name} exists; go on with --resume {name}, or give another --name."
        )
    return within_space(settings, flags.trials)


def _fixed(texts: Sequence[str]) -> dict[str, str]:
    """What --set says, by name."""
    fixed: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UserError(f"--set {brief(text)} says no value; type it as --set alpha=0.8.")
        if name in fixed:
            raise UserError(f"--set gives {brief(name)} twice; give it once.")
        fixed[name] = value
    return fixed


def _placed(dataset: str) -> str:
    return str(DatasetName.parse(dataset).placed())


def _images(flags: Flags) -> ImagesConfig:
    """What is made of image files."""
    return ImagesConfig(
        size=flags.resize,
        convert=flags.convert_images,
        skip_bad=flags.skip_bad_images,
        val=None if flags.val is None else str(whole(flags.val)),
    )


def _split(split: SplitConfig, fixed: dict[str, str], flags: Flags) -> SplitConfig:
    """`split` with what --set says of it, which is taken out of `fixed`, and what flags do."""
    names = [name for name in fixed if name.startswith("split.")]
    given: dict[str, Any] = {name.removeprefix("split."): fixed.pop(name) for name in names}
    for name, other in (("val_per_class", "val_fraction"), ("fraction", "train_size")):
        if (value := getattr(flags, name)) is not None:
            for twice in (name, other):
                if twice in given:
                    flag = f"--{name.replace('_', '-')}"
                    raise UserError(f"{flag} and --set split.{twice} say the same; give one.")
            given[name] = value
        if name in given and other not in given:
            # What a preset chooses gives way to what is typed.
            given[other] = getattr(SplitConfig, other)
    if flags.val is not None:
        given.setdefault("val_fraction", SplitConfig.val_fraction)
    return parse(SplitConfig, asdict(split) | given, "--set", within="split.")
