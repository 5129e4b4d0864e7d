"""Everything that a sweep was asked to do, as kept in its folder so that it can be resumed."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import yaml

from kd.backbones import require_images
from kd.config import Section, TrainConfig, parse, read_mapping
from kd.data import DatasetInfo, check_dataset
from kd.errors import UserError, brief, unknown
from kd.files import replace_file, unwritable
from kd.teachers import check_pairs, networks_of
from search_spaces import Space, came_later, load_rows, load_space, written_out
from tuning.records.naming import NAME, check_name
from tuning.records.options import Options
from tuning.storage.addresses import check_store
from tuning.storage.shelf import Shelf, check_uri
from tuning.study.budget import Budget, most_trials
from tuning.study.objectives import check_objectives
from tuning.study.race import SEEDS, TOP
from tuning.study.rules import rungs
from tuning.study.sampling import SAMPLERS

FILE = "sweep.yaml"
STUDY = "study.log"
"""The journal of a sweep's trials; its study is named `SEARCH`."""
SEARCH = "search"
CONFIRM = "confirm"
"""How the journals and studies begin of all that was trained to confirm a sweep."""
COSTS = "costs"
"""The attribute of that study with what the backbone costs, where that is an objective."""
LIMITS = {
    "trials": (1, 1_000_000),
    "epochs_total": (1, 1_000_000_000),
    "hours": (0.001, 100_000),
    "gpu_hours": (0.001, 100_000_000),
    "cost": (0.001, 1_000_000_000),
    "price_per_hour": (0.0001, 1_000_000),
    "cpus_per_trial": (1, 10_000),
    "gpus_per_trial": (0, 10_000),
    "workers_per_trial": (1, 10_000),
    "seeds_per_trial": (1, 100),
    "check_rungs": (0, 1),
    "seed": (0, 2**63 - 1),
    "compared_on": (0, 1000),
}
"""From where to where the numbers of any sweep go."""
PUT_BACK = "put the images back there, or start a new sweep"
"""What to do where a sweep that began does not find its images."""
ON_SLURM = "KD_ON_SLURM"
"""An environment variable of a sweep that `--slurm` submitted: what is typed next needs it too."""
SHOWN_STORAGE = "KD_SHOWN_STORAGE"
"""An environment variable: what they call the storage who read the output on another machine."""


@dataclass(frozen=True, kw_only=True)
class SweepSettings(Options, Section):
    """One search over one cell: (method, backbone, data set).

    `base` is the paper's default, which is trial 0; `fixed` and `ranges` are what the user
    changed of the method's search space, and an ablation has `rows` in its place. `trials` None is
    as many as the budget allows. Of the options, `gpus_per_trial` and `cpus_per_trial` None share
    out what the cluster has, whole GPUs, `auto` packs as many trials on a GPU as gain by it, and
    `checkpoints` None keeps running trials' files in the sweep's own folder.
    `compared_on` is on how many seeds a comparison that the sweep belongs to trains what is handed
    out and the default, 0 where it belongs to none.
    """

    name: str
    base: TrainConfig
    trials: int | None
    grace_period: int = 1
    fixed: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, Any] = field(default_factory=dict)
    ranges_file: str = "--space"
    rows: dict[str, Any] = field(default_factory=dict)
    grid_file: str = "--grid"
    seeds_per_trial: int = 1
    compared_on: int = 0

    def __post_init__(self) -> None:
        check_name(self.name)
        if "://" in str(self.storage) or ":/" in str(self.storage):
            raise UserError(
                f"--storage is {self.storage}; it must be a folder. Checkpoints alone may lie "
                "elsewhere: --checkpoints s3://BUCKET/FOLDER."
            )
        self.check_numbers(LIMITS)
        if self.trials is None and not self.bounded:
            raise UserError("Nothing ends this search; give --trials, or a bound: --hours.")
        if self.checkpoints is not None:
            check_uri(self.checkpoints)
        if self.tracking_uri is not None:
            check_store(self.tracking_uri)
        rungs(self.base.epochs, self.grace_period, self.reduction_factor)
        check_objectives(self.objective, self.sampler, self.scheduler, SAMPLERS)
        if self.compile == "always" and self.workers_per_trial > 1:
            raise UserError(
                "--compile always compiles trials of one worker; leave it away, or "
                "--workers-per-trial."
            )

    def check_numbers(self, limits: Mapping[str, tuple[float, float]]) -> None:
        """Raise UserError for a number that is not within its limits."""
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, int | float) and not low <= value <= high:
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} is {brief(value)}; it must be from {low} to {high}.")

    @property
    def budget(self) -> Budget:
        """What the search may spend; where it is confirmed, so much is set aside for that."""
        return Budget(
            epochs=self.epochs_total,
            hours=self.hours,
            gpu_hours=self.gpu_hours,
            cost=self.cost,
            price=self.price_per_hour,
            confirming=(TOP + 1) * SEEDS * self.base.epochs if self.confirm else 0,
            seeds=self.seeds_per_trial,
        )

    @property
    def epochs_of_a_trial(self) -> int:
        """The epochs that one trial takes which is not stopped, on all its seeds."""
        return self.base.epochs * self.seeds_per_trial

    def at_once(self, slots: int) -> int:
        """How many of its trials run at once where it has so many slots."""
        return int(min(slots, self.trials or slots, self.budget.at_once(self.base.epochs)))

    @property
    def planned(self) -> int | None:
        """How many trials there are at most; None where nothing says it before they run."""
        if self.trials is not None or self.epochs_total is None:
            return self.trials
        shortest = self.base.epochs if self.scheduler == "none" else self.grace_period
        own = next(bound.own for bound in self.budget.bounds(()) if bound.unit == "epochs")
        return most_trials(int(own), shortest * self.seeds_per_trial)

    @property
    def packed(self) -> bool:
        """Whether the machine decides how many trials share a GPU."""
        return self.gpus_per_trial == "auto" and self.workers_per_trial == 1

    @property
    def mps_wanted(self) -> bool | None:
        """Whether GPUs are shared by MPS; None where none is shared, and what runs may stay."""
        share = self.gpus_per_trial
        parts = isinstance(share, int | float) and 0 < share < 1
        return None if self.mps and not (self.packed or parts) else self.mps

    @property
    def folder(self) -> Path:
        """The sweep's own folder."""
        return self.storage.absolute() / self.name

    @property
    def shelf(self) -> Shelf:
        """Where its trials keep their files."""
        if self.checkpoints is None:
            return Shelf(str(self.folder))
        return Shelf(self.checkpoints, self.name)

    def space(self) -> Space:
        """The search space of this sweep; UserError where what was asked for makes no sense."""
        if self.rows:
            return load_rows(self.base, self.rows, fixed=self.fixed, where=self.grid_file)
        return load_space(
            self.base.method,
            self.base.backbone,
            optimizer=self.search_optimizer,
            fixed=self.fixed,
            ranges=self.ranges,
            where=self.ranges_file,
        )

    def check_images(self, *, begun: bool = False) -> DatasetInfo:
        """What is known of its images without decoding them.

        UserError for images that are not there or that it cannot train on, and for the file of a
        teacher that does not fit them. Those of a sweep that has `begun` need only be there: they
        are compared with those that it began with when they are read.
        """
        remedy, own = PUT_BACK if begun else None, self.base.images
        info = check_dataset(self.base.dataset, self.data_root, remedy, own)
        if begun:
            # The code of a network of one's own may be another one by now.
            size = self.base.augment.seen(info.size)
            require_images(networks_of(self.base), len(info.counts), info.channels, size)
            return info
        space, given = self.space(), []
        if any(teacher.file for teacher in self.base.teachers):
            from kd.training.teacher import check_teachers

            given = check_teachers(self.base, info)
        for number, config in enumerate(space.extremes(self.base)):
            try:
                config.check_images(info, self.workers_per_trial)
                check_pairs(config, given)
            except UserError as error:
                if label := space.label(number):
                    raise UserError(f"{self.grid_file}, row {label!r}: {error}") from None
                raise
        return info

    def check_study(self) -> None:
        """Raise UserError where the journal of a sweep that began is damaged."""
        if (journal := self.folder / STUDY).exists():
            from tuning.study.journal import has_trials

            has_trials(journal)

    def save(self) -> None:
        """Write the settings into the sweep's folder, which is made; not the same ones again."""
        plain = {"name": self.name, **asdict(self)}
        plain |= {"base": self.base.to_dict(), "storage": str(self.storage.absolute())}
        plain["data_root"] = None if self.data_root is None else str(self.data_root.absolute())
        path, content = self.folder / FILE, yaml.safe_dump(plain, sort_keys=False).encode()
        private = self.tracking_uri is not None
        # One that goes on is where it is.
        remedy = None if path.exists() else "give another --storage"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if private and path.exists():
                path.chmod(0o600)
            if path.exists() and path.read_bytes() == content:
                return
        except OSError as error:
            raise UserError(unwritable(self.folder, error, remedy)) from None
        replace_file(path, content, remedy, private=private)

    def forget(self) -> bool:
        """Delete the folder of a sweep whose first trial never began; whether it was one."""
        if journals := list(self.folder.glob("*.log")):
            from tuning.study.journal import has_trials

            try:
                if any(has_trials(path) for path in journals):
                    return False
            except (OSError, UserError):
                return False
        shutil.rmtree(self.folder, ignore_errors=True)
        return True

    @classmethod
    def load(cls, storage: Path, name: str) -> Self:
        """Read the settings of the sweep `name`; UserError with the nearest name if none is.

        A folder may have been moved, renamed or copied: where it is found counts, and what it is
        called there, so that all that lies in it is read and written there. MLflow, its registry
        and an object store know a sweep by its name: a renamed or copied sweep that goes on gets
        runs and checkpoints of its own, and leaves those of the old name as they are.
        """
        folder = storage / name
        path = folder / FILE
        if not path.exists():
            if known := sweep_names(storage):
                raise unknown("sweep", name, known)
            raise UserError(f"There is no sweep under {storage}; start one, or give --storage.")
        plain = read_mapping(path, "restore a copy of it, or start a new sweep")
        base = plain.get("base")
        if not isinstance(base, dict):
            raise UserError(f"{path} is damaged: it has no section base; start a new sweep.")
        kept, base = base, TrainConfig.from_dict(base, f"{path}, section base")
        if not re.fullmatch(NAME, folder.name):
            raise UserError(
                f"A sweep's folder is named {folder.name!r}; rename it: letters, digits, and '-', "
                "'_' or '.' between them."
            )
        found = {"base": base, "storage": folder.parent, "name": folder.name}
        try:
            return parse(cls, {**plain, **found}, str(path))._as_before(kept)
        except UserError as error:
            if str(path) in str(error):
                raise
            raise UserError(f"{path}: {error}") from None

    def _as_before(self, kept: dict[str, Any]) -> Self:
        """The space of a sweep before in the form of today, which means the same.

        `kept` is its base as it is in its folder.
        """
        optimizer, cell = self.search_optimizer, (self.base.method, self.base.backbone)
        late = came_later(kept, self.base, optimizer=optimizer)
        ranges = self.ranges and written_out(self.ranges, *cell, optimizer=optimizer)
        return replace(self, fixed=self.fixed | late, ranges=ranges) if late or ranges else self


def sweep_names(storage: Path) -> list[str]:
    """The sweeps kept under `storage`, oldest first."""
    found = storage.glob(f"*/{FILE}") if storage.is_dir() else []
    return [path.parent.name for path in sorted(found, key=os.path.getmtime)]
