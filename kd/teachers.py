"""Where a method gets the trained networks that it learns from; what is trained before it."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from kd.backbones import backbone_spec, build_backbone, require_images, whole_name
from kd.backbones.names import BackboneName, short
from kd.data.names import DatasetName
from kd.errors import UserError
from kd.files import whole
from kd.methods import MethodConfig, config_class, method_names
from kd.methods.config import EPOCHS, TaughtConfig, stretched
from kd.section import SEEDS, Section

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone
    from kd.config import TrainConfig

TEACHERS_SEED = 2**31
"""How far a teacher's seed is from its student's: they must not begin as twins."""
ASSISTANTS_SEED = 2**20
"""How far an assistant's seed is from that of the one before it; the first has a teacher's."""
HEAVIEST = 1e6
"""The weight that a teacher may have at most among several."""
LONGEST = 8
"""Networks that may be trained one after the other for a student, each by the one before it."""
SAW_VAL = "A teacher may have been trained on val images (--teacher-saw-val), so val flatters."

TRAINED_ON_VAL = "It was trained on the val images too, so its val accuracy says nothing."


def is_file(teacher: str) -> bool:
    """Whether what was given as a teacher is meant as a file, and not as a backbone's name."""
    return teacher.endswith((".safetensors", ".pt"))


def teacher_file(number: int, before: int = 0) -> str:
    """The name of the file of teacher `number`, from 0, in the folder of a run or a sweep.

    Or of the network that stands so many `before` it, each of which learnt from the next.
    """
    own = f"-{number + 1}" if number else ""
    return f"teacher{own}{f'-before-{before}' if before else ''}.safetensors"


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(Section):
    """Where a method with a teacher gets it: a file of weights, or trained first.

    `backbone` None means the student's own (a self-teacher); `epochs` None the student's.
    `weights` is a student.safetensors that `kd.train` or a search wrote. `method` is what trains
    it; where that learns from a network itself, `teacher` is the one, so that it is an assistant
    (Mirzadeh et al. 2020). `seed` None is far from the student's. `saw_val` allows a file that was
    trained on val images of this split. `weight` is how much its logits count among those of
    several.
    """

    _prefix = "teacher."

    backbone: str | None = None
    weights: str | None = None
    epochs: int | None = None
    method: str = "ce"
    seed: int | None = None
    saw_val: bool = False
    weight: float = 1.0
    teacher: "TeacherConfig | None" = None

    def __post_init__(self) -> None:
        if self.backbone is not None:
            object.__setattr__(self, "backbone", whole_name(self.backbone))
        if self.epochs is not None:
            self.check("epochs", 1, EPOCHS)
        if self.seed is not None:
            self.check("seed", 0, SEEDS - 1)
        self.check("weight", 0, HEAVIEST, open_low=True)
        taught = config_class(self.method).teacher != "none"
        if taught and self.teacher is None:
            alone = [name for name in method_names() if config_class(name).teacher == "none"]
            raise UserError(
                f"teacher.method is {self.method}, which needs a teacher itself; give it one as "
                f"teacher.teacher: {{backbone: NAME}}, or give one of {', '.join(alone)}."
            )
        if self.teacher is not None and not taught:
            raise UserError(
                f"teacher.teacher is given, and teacher.method is {self.method}, which learns from "
                "none; give teacher.method: kd, or leave teacher.teacher away."
            )
        if len(self.line) > LONGEST:
            raise UserError(
                f"{len(self.line)} networks would be trained one after the other for a student, "
                f"at most {LONGEST} may be; leave some assistants away."
            )

    @property
    def line(self) -> tuple["TeacherConfig", ...]:
        """It, the one that it learns from, and so on to the first that is trained."""
        return (self, *(self.teacher.line if self.teacher else ()))

    @property
    def file(self) -> str | None:
        """The first file in its line: nothing that stands before that is needed."""
        return next((one.weights for one in self.line if one.weights), None)

    def beside(self, folder: Path) -> "TeacherConfig":
        """The same with its file by its whole path, where that lies in `folder`."""
        there = self.weights and os.path.isfile(folder / self.weights)
        return replace(self, weights=str(whole(folder / (self.weights or "")))) if there else self

    def throughout(self, change: Callable[["TeacherConfig"], "TeacherConfig"]) -> "TeacherConfig":
        """The same with `change` in each of its line."""
        before = self.teacher and self.teacher.throughout(change)
        return replace(change(self), teacher=before)

    def seeded(self, first: int) -> "TeacherConfig":
        """The same with a seed for each of its line; `first` is that of the one trained first."""
        before = self.teacher and self.teacher.seeded(first)
        far = first + ASSISTANTS_SEED * (len(self.line) - 1)
        return replace(self, teacher=before, seed=far % SEEDS if self.seed is None else self.seed)


def published_values(
    config: type[MethodConfig], backbone: str, dataset: str, teacher: TeacherConfig | None
) -> MethodConfig:
    """What the paper says of the backbone, and of its teacher as far as its name is known."""
    if not issubclass(config, TaughtConfig):
        return config.paper(backbone, dataset)
    given = teacher or TeacherConfig()
    paired = None if given.weights else backbone_spec(backbone).teacher
    return config.paper(backbone, dataset, given.backbone or paired)


def networks_of(student: "TrainConfig") -> set[str]:
    """The backbones of it, and of who teaches it as far as their names are known."""
    taught = {one.backbone for teacher in student.teachers for one in teacher.line}
    return {student.backbone, *(name for name in taught if name)}


def require_networks(
    student: "TrainConfig", num_classes: int, in_channels: int, size: tuple[int, int]
) -> None:
    """Raise UserError where a network does not take images of `size` (H, W).

    Or where a method does not fit the stages of its student and of a teacher that is trained.
    """
    require_images(networks_of(student), num_classes, in_channels, size)
    for one in (student, *(ancestor.recipe for ancestor in student.ancestors)):
        for number, teacher in enumerate(one.teachers):
            if teacher.weights is None:
                pair = (one.backbone, recipe_of(one, number).backbone)
                one.kd.check_stages(*(backbone_spec(name).stages for name in pair))
                if BackboneName.parse(pair[1]).kind:
                    one.kd.check_teacher(build_backbone(pair[1], num_classes, in_channels))


def check_pairs(student: "TrainConfig", teachers: "Iterable[StagedBackbone]") -> None:
    """Raise UserError where the method of `student` cannot learn from one of `teachers`."""
    for network in teachers:
        own = backbone_spec(student.backbone).stages
        student.kd.check_stages(own, len(network.stages))
        student.kd.check_teacher(network)


R = TypeVar("R", bound="TrainConfig")


def recipe_of(student: R, number: int) -> R:
    """How teacher `number` of `student` is trained, as of `TrainConfig.teacher_recipe`."""
    mine = config_class(student.method)
    teacher = student.teachers[number].seeded(student.seed + TEACHERS_SEED * (number + 1))
    paired = backbone_spec(student.backbone).teacher if mine.teacher == "network" else None
    backbone = teacher.backbone or paired or student.backbone
    published, config = DatasetName.parse(student.dataset).published, config_class(teacher.method)
    own, its = (mine.recipe_for(name, published) for name in (student.backbone, backbone))
    epochs, usual = teacher.epochs or student.epochs, config.recipe_for(backbone, published).epochs
    kd = published_values(config, backbone, published, teacher.teacher)
    same_batch = student.batch_size == own.batch_size
    same_optimizer = student.optimizer == own.optimizer
    assert teacher.seed is not None
    return replace(
        student,
        method=teacher.method,
        kd=stretched(kd, epochs, usual),
        backbone=backbone,
        epochs=epochs,
        batch_size=its.batch_size if same_batch else student.batch_size,
        optimizer=its.optimizer if same_optimizer else student.optimizer,
        seed=teacher.seed,
        teacher=teacher.teacher or TeacherConfig(),
        further_teachers=(),
    )


def teacher_names(student: "TrainConfig") -> list[str]:
    """What each teacher of `student` is: its file, or its backbone."""
    return [
        Path(teacher.weights).name if teacher.weights else short(recipe_of(student, n).backbone)
        for n, teacher in enumerate(student.teachers)
    ]


class Ancestor(NamedTuple):
    """A network that is trained before its student: a teacher, or one that its teacher learns from.

    `number` is which of the student's teachers it is, or leads to, and `before` how many stand
    between both. `recipe` is how it is trained.
    """

    number: int
    before: int
    recipe: "TrainConfig"

    @property
    def file(self) -> str:
        """The name of its file in the folder of a run or a sweep."""
        return teacher_file(self.number, self.before)

    @property
    def own_teacher(self) -> str | None:
        """The name of the file there of the one that it learns from; None where there is none.

        Nor where that was given.
        """
        trained = any(teacher.weights is None for teacher in self.recipe.teachers)
        return teacher_file(self.number, self.before + 1) if trained else None


def line_of(student: "TrainConfig", number: int) -> Iterator[Ancestor]:
    """What is trained for its teacher `number`, the nearest first; nothing of what is a file."""
    recipe, before = student, 0
    while recipe.teachers and recipe.teachers[0 if before else number].weights is None:
        recipe = recipe.teacher_recipe(0 if before else number)
        yield Ancestor(number, before, recipe)
        before += 1
