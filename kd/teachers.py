"""Where a method gets the trained networks that it learns from."""

from dataclasses import dataclass

from kd.backbones import backbone_spec
from kd.errors import UserError
from kd.methods import MethodConfig, config_class, method_names
from kd.methods.config import EPOCHS, TaughtConfig
from kd.section import SEEDS, Section

TEACHERS_SEED = 2**31
"""How far a teacher's seed is from its student's: they must not begin as twins."""
SAW_VAL = "A teacher may have been trained on val images (--teacher-saw-val), so val flatters."

TRAINED_ON_VAL = "It was trained on the val images too, so its val accuracy says nothing."


def is_file(teacher: str) -> bool:
    """Whether what was given as a teacher is meant as a file, and not as a backbone's name."""
    return teacher.endswith((".safetensors", ".pt"))


def teacher_file(number: int) -> str:
    """The name of the file of teacher `number`, from 0, in the folder of a run or a sweep."""
    return f"teacher-{number + 1}.safetensors" if number else "teacher.safetensors"


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(Section):
    """Where a method with a teacher gets it: a file of weights, or trained first.

    `backbone` None means the student's own (a self-teacher); `epochs` None the student's.
    `weights` is a student.safetensors that `kd.train` or a search wrote. `method` is what trains
    it, one without a teacher of its own; `seed` None is far from the student's. `saw_val` allows a
    file that was trained on val images of this split.
    """

    _prefix = "teacher."

    backbone: str | None = None
    weights: str | None = None
    epochs: int | None = None
    method: str = "ce"
    seed: int | None = None
    saw_val: bool = False

    def __post_init__(self) -> None:
        if self.backbone is not None:
            backbone_spec(self.backbone)
        if self.epochs is not None:
            self.check("epochs", 1, EPOCHS)
        if self.seed is not None:
            self.check("seed", 0, SEEDS - 1)
        if config_class(self.method).teacher != "none":
            alone = [name for name in method_names() if config_class(name).teacher == "none"]
            raise UserError(
                f"teacher.method is {self.method}, which needs a teacher itself; give one of "
                f"{', '.join(alone)}."
            )


def published_values(
    config: type[MethodConfig], backbone: str, dataset: str, teacher: TeacherConfig | None
) -> MethodConfig:
    """What the paper says of the backbone, and of its teacher as far as its name is known."""
    if not issubclass(config, TaughtConfig):
        return config.paper(backbone, dataset)
    given = teacher or TeacherConfig()
    paired = None if given.weights else backbone_spec(backbone).teacher
    return config.paper(backbone, dataset, given.backbone or paired)
