"""One training run, described: frozen dataclasses, read from and written to YAML or JSON.

`TrainConfig` holds every value that a run depends on, defaults included, so that a file
written by one machine trains the same network on another.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from kd.backbones import backbone_spec, require_stages, whole_name
from kd.data import DatasetInfo, DatasetName, default_augment
from kd.data.config import BY_IMAGES, AugmentConfig, ImagesConfig, SplitConfig, check_batches
from kd.errors import UserError
from kd.memories import History, Memories
from kd.methods import MethodConfig, config_class
from kd.methods.config import EPOCHS, stretched
from kd.optimizer import OptimizerConfig
from kd.section import SEEDS, Section, flatten, parse, read_mapping, read_yaml
from kd.teachers import (
    SAW_VAL,
    TEACHERS_SEED,
    TRAINED_ON_VAL,
    Ancestor,
    TeacherConfig,
    is_file,
    line_of,
    networks_of,
    published_values,
    recipe_of,
    require_networks,
    teacher_file,
)
from kd.text import as_json

__all__ = [
    "EPOCHS",
    "SAW_VAL",
    "SEEDS",
    "TEACHERS_SEED",
    "TRAINED_ON_VAL",
    "Ancestor",
    "AugmentConfig",
    "ImagesConfig",
    "OptimizerConfig",
    "Precision",
    "Section",
    "SplitConfig",
    "TeacherConfig",
    "TrainConfig",
    "is_file",
    "networks_of",
    "parse",
    "read_mapping",
    "read_yaml",
    "teacher_file",
]

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """One training run: a method on a backbone and a data set, for a number of epochs.

    `history` is the form of the method's soft-label memories, if it has any: `kd.memories`.
    """

    method: str
    backbone: str
    dataset: str
    epochs: int
    batch_size: int = 64
    seed: int = 0
    precision: Precision = "auto"
    history: History = "auto"
    kd: MethodConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    further_teachers: tuple[TeacherConfig, ...] = ()

    def __post_init__(self) -> None:
        expected = config_class(self.method)
        if not isinstance(self.kd, expected):
            raise UserError(f"kd holds {type(self.kd).__module__}; {self.method} needs its own.")
        object.__setattr__(self, "backbone", whole_name(self.backbone))
        require_stages(networks_of(self), expected.least_stages, self.method)
        self.augment.check_method(self.method, expected.takes_mixed)
        self.check("epochs", 1, EPOCHS)
        self.check("batch_size", 2, inf)
        self.check("seed", 0, inf)
        # Apart, so that a seed below 0 is not told of 2⁶³.
        self.check("seed", -inf, SEEDS - 1)
        if self.needs_teacher and len(self.teachers) > (most := expected.most_teachers):
            raise UserError(
                f"{self.method} learns from at most {most} network(s), not from "
                f"{len(self.teachers)}; take some out of further_teachers."
            )

    # -- made from a paper, from a mapping, from a file ---------------------------------------

    @classmethod
    def paper(cls, method: str, backbone: str, dataset: str, **changes: Any) -> Self:
        """The configuration that the method's paper trains with, with `changes` on top.

        What it publishes for a pair of backbones goes by the teacher of `changes`, or by the one
        that the registry pairs with the student; for a data set, it holds for `parquet:FOLDER` too
        where FOLDER has its name. What it counts in epochs is `stretched` to those of `changes`.
        """
        config = config_class(method)
        require_stages([backbone], config.least_stages, method)
        published = DatasetName.parse(dataset).published
        recipe = config.recipe_for(backbone, published)
        kd = published_values(config, backbone, published, changes.get("teacher"))
        epochs = changes.get("epochs", recipe.epochs)
        values: dict[str, Any] = {
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "kd": stretched(kd, epochs, recipe.epochs),
            "optimizer": recipe.optimizer,
            **changes,
        }
        if "augment" not in changes:
            values["augment"] = default_augment(dataset, changes.get("images"))
        return cls(method=method, backbone=backbone, dataset=dataset, **values)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "the configuration") -> Self:
        """Build from nested mappings; UserError names the first key or value that is wrong.

        `data` must name the method, the backbone and the data set. All else that it leaves out,
        whole sections or keys of a section, is as `paper` has it.
        """
        for name in ("method", "backbone", "dataset"):
            if data.get(name) is None:
                raise UserError(f"{where} has no {name!r}; add a line `{name}: …`.")
        whole = cls._paper_of(data, where)
        for name, value in data.items():
            if not isinstance(whole.get(name), dict):
                whole[name] = value
            elif isinstance(value, Mapping):
                whole[name] |= value
            elif value is not None:
                raise UserError(f"{where}: {name} is {value!r}; put names and values below it.")
        kd = parse(config_class(whole["method"]), whole["kd"], where, within="kd.")
        return parse(cls, {**whole, "kd": kd}, where)

    @classmethod
    def _paper_of(cls, data: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The plain form of what the paper does in the cell that `data` names."""
        method, backbone, dataset = (str(data[name]) for name in ("method", "backbone", "dataset"))
        changes: dict[str, Any] = {"augment": AugmentConfig()}
        if isinstance(teacher := data.get("teacher"), Mapping):
            changes["teacher"] = parse(TeacherConfig, teacher, where, within="teacher.")
        if type(epochs := data.get("epochs")) is int:
            changes["epochs"] = min(max(epochs, 1), EPOCHS)
        whole = cls.paper(method, backbone, dataset, **changes).to_dict()
        given = data.get("augment")
        if not isinstance(given, Mapping) or {*BY_IMAGES} - given.keys():
            # Only where it is needed: it may look at the images, which a finished run outlives.
            read = ImagesConfig.read(data.get("images"), where)
            whole["augment"] = asdict(default_augment(dataset, read))
        return whole

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML or JSON file.

        Its data set's folder has its whole path then, as of `DatasetName.placed`, and a teacher
        that lies beside the file is found wherever both are.
        """
        data, beside = read_mapping(path), Path(path).absolute().parent
        if isinstance(name := data.get("dataset"), str):
            data["dataset"] = str(DatasetName.parse(name).placed(beside))
        config = cls.from_dict(data, str(path))
        config = replace(config, images=config.images.placed(beside))
        return config._of_teachers(partial(TeacherConfig.beside, folder=beside))

    def lasting(self, epochs: int) -> Self:
        """The same for so many epochs: what the method counts in epochs keeps its part of them."""
        return replace(self, epochs=epochs, kd=stretched(self.kd, epochs, self.epochs))

    # -- the images ---------------------------------------------------------------------------

    def check_images(self, info: DatasetInfo, workers: int = 1) -> None:
        """Raise UserError for a training set that `workers` cannot train this run on."""
        from kd.data.split import check_split

        info.check_classes(self.dataset)
        self.augment.check_fits(*info.size, info.channels)
        size = self.augment.seen(info.size)
        require_networks(self, len(info.counts), info.channels, size)
        training = check_split(info.counts, self.split, info.val)
        for config in (*(ancestor.recipe for ancestor in self.ancestors), self):
            config.kd.needs.check(config.method, size, training)
            check_batches(sum(training.values()), config.batch_size, workers)

    def memories(self, num_samples: int, num_classes: int) -> Memories:
        """What the method remembers of so many training images: in which form, and its bytes."""
        shapes = self.kd.memories(num_classes, backbone_spec(self.backbone).stages)
        return Memories.of(self.history, num_samples, shapes)

    # -- the teacher --------------------------------------------------------------------------

    @property
    def needs_teacher(self) -> bool:
        """Whether the method learns from a network that is trained before."""
        return config_class(self.method).teacher != "none"

    @property
    def teachers(self) -> tuple[TeacherConfig, ...]:
        """Where the networks come from that the method learns from; empty if it needs none."""
        return (self.teacher, *self.further_teachers) if self.needs_teacher else ()

    def with_teachers(self, weights: Sequence[str | None]) -> Self:
        """The same with these files of its teachers, in their order."""
        pairs = zip(self.teachers, weights, strict=True)
        first, *others = (replace(teacher, weights=file) for teacher, file in pairs)
        return replace(self, teacher=first, further_teachers=tuple(others))

    @property
    def lines(self) -> list[list[Ancestor]]:
        """What is trained before it, where no file is given: of each teacher, itself first."""
        each = (list(line_of(self, number)) for number in range(len(self.teachers)))
        return [line for line in each if line]

    @property
    def ancestors(self) -> list[Ancestor]:
        """The same in an order in which it can be trained."""
        return [ancestor for line in self.lines for ancestor in reversed(line)]

    @property
    def saw_val(self) -> bool:
        """Whether a teacher may have been trained on val images: then `SAW_VAL` holds.

        Or the one that it learnt from.
        """
        known = (one for teacher in self.teachers for one in teacher.line)
        return any(one.saw_val and one.weights for one in known)

    @property
    def caveats(self) -> list[str]:
        """Why its val accuracy says less than it seems to, in sentences."""
        return [SAW_VAL] * self.saw_val + [TRAINED_ON_VAL] * self.split.train_on_val

    def trains_as(self, other: Self) -> bool:
        """Whether both train the same network, wherever files lie, and whatever is allowed."""
        unseen = partial(replace, saw_val=False)
        one, two = (each.portable._of_teachers(unseen) for each in (self, other))
        return one == two

    def _of_teachers(self, change: Callable[[TeacherConfig], TeacherConfig]) -> Self:
        """The same with `change` in what it says of each teacher, and of who taught that."""
        own = (self.teacher, *self.further_teachers)
        first, *others = (teacher.throughout(change) for teacher in own)
        return replace(self, teacher=first, further_teachers=tuple(others))

    def teacher_recipe(self, number: int = 0) -> Self:
        """How teacher `number` is trained: by its own backbone's recipe, a seed of its own.

        A self-teacher has the student's backbone (DR-KD, section 3); a network teacher has
        `teacher.backbone`, or the one that the registry pairs with the student. What was changed
        of the student's own recipe is its teachers' too. One that learns from another has that as
        its own teacher.
        """
        return recipe_of(self, number)

    # -- written ------------------------------------------------------------------------------

    @property
    def portable(self) -> Self:
        """Without the paths of this machine: what the run is, wherever its files lie."""
        bare, name = self._of_teachers(partial(replace, weights=None)), DatasetName.parse
        return replace(bare, dataset=name(self.dataset).portable, images=self.images.portable)

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, in the order of the fields; the inverse of `from_dict`."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def flat(self) -> dict[str, Any]:
        """Dotted names to plain values: `kd.alpha`, `optimizer.lr`, `kd.lambda_b.0`."""
        return dict(flatten(self.to_dict()))

    def to_yaml(self) -> str:
        """The YAML form."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    def to_json(self) -> str:
        """The JSON form, which is YAML too."""
        return as_json(self.to_dict(), indent=2) + "\n"
