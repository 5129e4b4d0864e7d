"""What a person asked `tuning.compare` for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, ClassVar

import tyro

from kd.cli import repeated, shown
from kd.errors import UserError, brief, unknown
from kd.methods import config_class, method_names
from tuning.records import request
from tuning.records.anew import typed
from tuning.records.compared import MOST
from tuning.records.naming import check_given
from tuning.records.options import Options, Several, Weights
from tuning.records.presets import Preset
from tuning.records.request import given_of
from tuning.study.warm import NONE

SEEDS = 10
"""On how many seeds methods are compared where nothing else is said."""
REFUSED = {
    f"--{bound}": f"Within --{bound} one method would have fewer trials than another; leave it "
    "away, and give --trials, as many for all."
    for bound in ("epochs-total", "hours", "gpu-hours", "cost")
} | {
    "--warm-start": "A comparison begins every search cold; leave --warm-start away.",
    "--objective": "A comparison is of val and test accuracy; leave --objective away.",
    "--confirm": "A comparison confirms every method's best anyway; leave --confirm away.",
}
"""Flags of a search that a comparison has not, and why."""
OF_THE_MACHINE = ("cpus_per_trial", "gpus_per_trial", "compile", "mps", "tracking_uri", "data_root",
                  "live_html")  # fmt: skip
"""Options that change no result: a comparison that goes on may be given others."""
OF_IMAGES = ("resize", "convert_images", "skip_bad_images", "val", "val_per_class")
"""Flags of a search that say how images are read and cut."""
_NOT_KEPT = (*OF_THE_MACHINE, "name", "resume", "local", "storage", "dry_run")


@dataclass(frozen=True, kw_only=True)
class Alike(Options):
    """How every search goes on, and where its files are: the options of one but for `REFUSED`."""

    epochs_total: tyro.conf.Suppress[int | None] = None
    hours: tyro.conf.Suppress[float | None] = None
    gpu_hours: tyro.conf.Suppress[float | None] = None
    cost: tyro.conf.Suppress[float | None] = None
    objective: tyro.conf.Suppress[tuple[str, ...]] = ()
    warm_start: tyro.conf.Suppress[str] = NONE
    confirm: tyro.conf.Suppress[bool] = False


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Compare methods that were all tuned with the same budget, on the same seeds and on test.

    Each method's hyperparameters are searched, its best is confirmed, and what that hands out and
    the paper's default are trained on the same seeds. Then the test set is opened, once for each.
    """

    method: Annotated[tuple[str, ...], tyro.conf.Positional, shown("METHOD")] = ()
    """lsskd, dtskd, drkd, pskd, kd, ce, or a pattern such as '*kd'."""
    backbone: Annotated[str | None, shown("NAME")] = None
    """resnet8, resnet20, resnet18, wrn_16_2, …; python -m kd.backbones lists them; or
    torchvision:NAME, timm:NAME, module:FILE:FUNCTION."""
    dataset: Annotated[str | None, shown("NAME")] = None
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
    fraction: Annotated[Weights, repeated("SHARE")] = ()
    """Train on this share of what val leaves of each class: 0.25, …; several are compared apart."""
    preset: Preset = "auto"
    """What to search when nothing else is said."""
    trials: Annotated[int | None, shown("N")] = None
    """How many configurations of each method to try, the paper's default among them."""
    epochs: Annotated[int | None, shown("N")] = None
    """How many epochs a trial may train, of every method."""
    seeds: Annotated[int, shown("N")] = SEEDS
    """On how many seeds methods are compared; the default is 10, fewer than 5 claim nothing."""
    baseline: Annotated[str | None, shown("METHOD")] = None
    """Compare with this method; the default is kd for methods with a teacher, ce for others."""
    set: Annotated[Several, repeated("NAME=VALUE")] = ()
    """Fix what all methods have: batch_size=32, or how val is cut: split.val_fraction=0.2."""
    teacher: Annotated[Several, repeated("NAME|FILE")] = ()
    """For methods with a teacher: its backbone, or a file: .safetensors, or .pt of kd.train."""
    teacher_weight: Annotated[Weights, repeated("W")] = ()
    """How much each of several teachers counts in the mean of their logits; equally by default."""
    assistant: Annotated[Several, repeated("NAME")] = ()
    """A backbone between teacher and student, taught by the one before it; the largest first."""
    teacher_saw_val: bool = False
    """Let the teacher's file have been trained on val images; noted in every result."""
    name: Annotated[str | None, shown("NAME")] = None
    """The comparison's name; the default is made of backbone and data set."""
    resume: Annotated[str | None, shown("NAME")] = None
    """Go on with the interrupted comparison of this name."""
    local: bool = False
    """Run on this machine, whatever cluster is up."""
    dry_run: bool = False
    """Say what would be run and what it would take, and end."""
    options: Annotated[Alike, tyro.conf.arg(name="")] = field(default_factory=Alike)
    refused: ClassVar[Mapping[str, str]] = REFUSED

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in the order in which they were given, patterns written out."""
        found: dict[str, None] = {}
        for word in self.method:
            if any(sign in word for sign in "*?["):
                if not (matching := method_names(word)):
                    raise unknown("method", word, method_names())
                found |= dict.fromkeys(matching)
            else:
                config_class(word)
                found[word] = None
        return tuple(found)

    @property
    def asked(self) -> str:
        """What decides the result, as it would be typed; the machine's own is left out."""
        words = [word for name, value in self._given() for word in typed(name, value)]
        return " ".join(map(quote, [*self.methods, *words]))

    def _given(self) -> Iterator[tuple[str, Any]]:
        left = ("method", *_NOT_KEPT)
        return ((name, value) for name, value in given_of(self) if name not in left)

    def searches(self, name: str) -> request.Flags:
        """What a search of all methods would be asked, whose sweeps are named by `name`."""
        return request.Flags(
            method=self.methods,
            backbone=(self.backbone,) if self.backbone else (),
            dataset=(self.dataset,) if self.dataset else (),
            **{name: getattr(self, name) for name in OF_IMAGES},
            fraction=self.fraction[0] if self.fraction else None,
            preset=self.preset,
            trials=self.trials,
            epochs=self.epochs,
            set=self.set,
            teacher=self.teacher,
            teacher_weight=self.teacher_weight,
            assistant=self.assistant,
            teacher_saw_val=self.teacher_saw_val,
            name=name,
            local=self.local,
            options=self.options,
        )

    def resumed(self, sweep: str) -> request.Flags:
        """What a search is asked that goes on with one sweep of the comparison."""
        given = {name: value for name, value in given_of(self) if name in OF_THE_MACHINE}
        options = Options(storage=self.options.storage, **given)
        return request.Flags(resume=(sweep,), local=self.local, options=options)


def check(flags: Flags) -> None:
    """Raise UserError for what makes no sense, whatever the machine and whatever was begun."""
    if flags.resume is not None:
        if flags.dry_run:
            raise UserError(
                "--dry-run tells what a comparison will take before it begins; leave it away."
            )
        for name, _ in given_of(flags):
            if name not in _NOT_KEPT or name == "name":
                raise UserError(
                    f"A resumed comparison keeps its own {name.replace('_', '-')}; leave it away."
                )
        return
    if flags.name is not None:
        check_given(flags.name)
    if len(methods := flags.methods) < 2:
        raise UserError(
            f"A comparison needs at least two methods; give some of: {', '.join(method_names())}."
        )
    if not 2 <= flags.seeds <= MOST:
        raise UserError(f"--seeds is {brief(flags.seeds)}; it must be from 2 to {MOST}.")
    if len({*flags.fraction}) < len(flags.fraction):
        raise UserError("--fraction is given twice with the same value; give each once.")
    if flags.trials == 1:
        raise UserError(
            "--trials 1 tries the paper's default alone, and tunes nothing; give at least 2."
        )
    baselines(methods, flags.baseline)


def baselines(methods: Sequence[str], asked: str | None = None) -> dict[str, str]:
    """With which method each is compared; the baselines of all others are left out.

    UserError where none of them can be one, or the one that is asked for is not among them.
    """
    if asked is not None:
        if asked not in methods:
            raise UserError(
                f"--baseline {brief(asked)} is not among the methods compared; add it, or give one "
                f"of: {', '.join(methods)}."
            )
        return {method: asked for method in methods if method != asked}
    found = {method: one for method in methods if (one := _usual(method, methods))}
    if not found:
        raise UserError(
            f"With what are {' and '.join(methods)} compared? Add ce or kd, or say which one by "
            "--baseline METHOD."
        )
    return found


def _usual(method: str, methods: Sequence[str]) -> str | None:
    taught = config_class(method).teacher != "none"
    order = ("kd", "ce") if taught else ("ce", "kd")
    if method == "ce":
        return None
    return next((one for one in order if one in methods and one != method), None)
