"""`python -m tuning.search METHOD`: read the flags, check them, run the sweep."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import tyro

from kd.cli import repeated, run, shown
from kd.config import TeacherConfig, read_mapping
from kd.data import check_dataset
from kd.errors import UserError
from kd.methods import method_names
from tuning.cluster.jobs import run_on_cluster
from tuning.cluster.parcel import HERE_ONLY
from tuning.engine.runtime import gpus_at_hand
from tuning.records.plan import print_plan
from tuning.records.presets import Preset, Setting, choose, setting
from tuning.records.settings import GpusPerTrial, SweepSettings

Several = tyro.conf.UseAppendAction[tuple[str, ...]]

CHANGEABLE = (
    "trials",
    "cpus_per_trial",
    "gpus_per_trial",
    "tracking_uri",
    "data_root",
    "live_html",
)
"""What a resumed sweep may be given anew; all else it keeps."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Search the hyperparameters of a distillation method on a backbone and a data set.

    With no flags: the paper's setting (CIFAR-100, ResNet-18) where there are GPUs, else
    few-shot digits on a small network, which takes minutes on a laptop.
    """

    method: Annotated[tuple[str, ...], tyro.conf.Positional, shown("METHOD")] = ()
    """lsskd, dtskd, drkd, pskd, kd, …; several share the cluster, and end in one table."""
    backbone: Annotated[Several, repeated("NAME")] = ()
    """resnet8, resnet20, resnet18, wrn_16_2, …"""
    dataset: Annotated[Several, repeated("NAME")] = ()
    """digits, cifar10, cifar100, fashion-mnist, or parquet:FOLDER."""
    preset: Preset = "auto"
    """What to search when nothing else is said."""
    trials: Annotated[int | None, shown("N")] = None
    """How many configurations to try, the paper's default among them."""
    epochs: Annotated[int | None, shown("N")] = None
    """How many epochs a trial may train."""
    set: Annotated[Several, repeated("NAME=VALUE")] = ()
    """Fix a hyperparameter instead of searching it."""
    space: Annotated[Path | None, shown("FILE")] = None
    """A YAML file of ranges that replace the method's own."""
    search_optimizer: bool = False
    """Search the learning rate and the weight decay too."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """What stops poor trials early."""
    grace_period: Annotated[int | None, shown("EPOCHS")] = None
    """Epochs that every trial may train before it can be stopped; the preset says how many."""
    reduction_factor: float = 3.0
    """One trial in so many goes on at a rung, and rungs are so many times apart."""
    cpus_per_trial: Annotated[int | None, shown("CORES")] = None
    """CPU cores of one trial; the default shares what the cluster has."""
    gpus_per_trial: Annotated[GpusPerTrial, shown("GPUS|auto")] = None
    """GPUs of one trial: 0.25 packs four on one, auto as many as fit; the default is 1."""
    workers_per_trial: Annotated[int, shown("N")] = 1
    """Train a trial on several workers, data-parallel; cores and GPUs are shared among them."""
    teacher: Annotated[str | None, shown("NAME|FILE")] = None
    """For kd and drkd: the teacher's backbone, or its .safetensors file."""
    seed: int = 0
    """Seeds the search and the training."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    checkpoints: Annotated[str | None, shown("URI")] = None
    """Where running trials keep their files instead: s3://BUCKET/FOLDER or gs://…."""
    tracking_uri: Annotated[str | None, shown("URI")] = None
    """Another MLflow store than the one in the storage folder."""
    data_root: Annotated[Path | None, shown("FOLDER")] = None
    """Where data sets are kept and downloaded to."""
    name: Annotated[str | None, shown("NAME")] = None
    """The sweep's name; the default is made of method, backbone, data set and time."""
    resume: Annotated[Several, repeated("NAME")] = ()
    """Go on with the interrupted sweep of this name."""
    live_html: bool = False
    """Keep the sweep's report.html up to date while it runs."""
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


def search(flags: Flags) -> int:
    """Check everything that can be checked without Ray, then run the sweeps."""
    if (code := run_on_cluster(flags, _check)) is not None:
        return code
    sweeps = [(settings, settings.space()) for settings in _sweeps(flags)]
    for settings, _ in sweeps:
        check_dataset(settings.base.dataset, settings.data_root)
    if flags.dry_run:
        for settings, space in sweeps:
            print_plan(settings, space)
        return 0
    for settings, _ in sweeps:
        settings.shelf.check()
        settings.save()

    if not flags.local and "RAY_ADDRESS" not in os.environ:
        print("No cluster that was started from here is up, so this machine searches alone.")

    from tuning.sweeps.run import run_sweeps

    try:
        return run_sweeps(sweeps)
    except UserError:
        for settings, _ in sweeps:
            if not flags.resume:
                settings.forget()
        raise


def _check(flags: Flags) -> None:
    """Raise UserError for what can be seen to be wrong before a cluster is asked."""
    if flags.resume:
        return
    for settings in _sweeps(replace(flags, preset=choose(flags.preset, gpus=1))):
        settings.space()
        check_dataset(settings.base.dataset, settings.data_root)


def _sweeps(flags: Flags) -> list[SweepSettings]:
    """One sweep for each combination of method, backbone and data set, or those to be resumed."""
    for name in ("trials", "epochs"):
        if (number := getattr(flags, name)) is not None and number < 1:
            raise UserError(f"--{name} is {number}; it must be at least 1.")
    if flags.resume:
        return _resumed(flags)
    if not flags.method:
        raise UserError(f"Which method? Give one of: {', '.join(method_names())}.")
    preset = flags.preset
    if preset == "auto":
        asked = flags.gpus_per_trial
        gpus = asked if isinstance(asked, float) else gpus_at_hand()
        preset = choose(preset, gpus)
        why = "GPUs were found" if gpus else "no GPU was found"
        other = "laptop" if preset == "paper" else "paper"
        print(f"preset {preset}: {why}; choose otherwise with --preset {other}")
    cells = [
        setting(
            preset,
            method,
            backbone=backbone,
            dataset=dataset,
            trials=flags.trials,
            epochs=flags.epochs,
        )
        for method in dict.fromkeys(flags.method)
        for backbone in dict.fromkeys(flags.backbone or (None,))
        for dataset in dict.fromkeys(flags.dataset or (None,))
    ]
    return [_settings(flags, cell, alone=len(cells) == 1) for cell in cells]


def _resumed(flags: Flags) -> list[SweepSettings]:
    """The sweeps to go on with, and what the flags change of them."""
    free = ("resume", "dry_run", *HERE_ONLY, *CHANGEABLE)
    for field in fields(Flags):
        if field.name not in free and getattr(flags, field.name) != field.default:
            flag = field.name.replace("_", "-")
            raise UserError(f"A resumed sweep keeps its own {flag}; leave it away.")
    changes = {name: getattr(flags, name) for name in CHANGEABLE}
    changes = {name: value for name, value in changes.items() if value not in (None, False)}
    names = dict.fromkeys(flags.resume)
    return [replace(SweepSettings.load(flags.storage, name), **changes) for name in names]


def _settings(flags: Flags, cell: Setting, *, alone: bool) -> SweepSettings:
    base = replace(cell.base, seed=flags.seed, teacher=_teacher(flags.teacher))
    about = f"{base.method}-{base.backbone}-{base.dataset.rstrip('/').split('/')[-1]}"
    about = re.sub(r"[^\w.-]", "-", about)
    name = f"{about}-{datetime.now():%Y%m%d-%H%M%S}"
    if flags.name is not None:
        name = flags.name if alone else f"{flags.name}-{about}"
    if (flags.storage / name).exists():
        raise UserError(
            f"The sweep {name} exists; go on with --resume {name}, or give another --name."
        )
    grace = flags.grace_period if flags.grace_period is not None else cell.grace_period
    return SweepSettings(
        name=name,
        base=base,
        trials=cell.trials,
        fixed=dict(_assignment(text) for text in flags.set),
        ranges=read_mapping(flags.space) if flags.space else {},
        ranges_file=str(flags.space or "--space"),
        search_optimizer=flags.search_optimizer,
        scheduler=flags.scheduler,
        grace_period=grace,
        reduction_factor=flags.reduction_factor,
        cpus_per_trial=flags.cpus_per_trial,
        gpus_per_trial=flags.gpus_per_trial,
        workers_per_trial=flags.workers_per_trial,
        seed=flags.seed,
        storage=flags.storage,
        checkpoints=flags.checkpoints,
        tracking_uri=flags.tracking_uri,
        data_root=flags.data_root,
        live_html=flags.live_html,
    )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UserError(f"--set {text} says no value; type it as --set alpha=0.8.")
    return name.strip(), value.strip()


def _teacher(text: str | None) -> TeacherConfig:
    if text is None:
        return TeacherConfig()
    if text.endswith(".safetensors"):
        if not Path(text).is_file():
            raise UserError(f"There is no teacher file {text}; give a backbone or a .safetensors.")
        return TeacherConfig(weights=str(Path(text).absolute()))
    return TeacherConfig(backbone=text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, search, argv)


if __name__ == "__main__":
    main()
