"""The teachers that a person asks for: from flags to a configuration and back, and their names."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kd.backbones.names import short
from kd.config import Ancestor, TeacherConfig, TrainConfig, is_file
from kd.errors import UserError, brief
from kd.files import whole
from kd.methods import config_class, method_names
from kd.teachers import HEAVIEST

if TYPE_CHECKING:
    from tuning.records.request import Flags

BY = "kd"
"""What trains an assistant (Mirzadeh et al. 2020)."""
NO_TEACHERS: Mapping[str, Any] = {
    "teacher": (),
    "teacher_weight": (),
    "assistant": (),
    "teacher_saw_val": False,
}
"""The flags of teachers where none is asked for."""


def is_taught(method: str) -> bool:
    """Whether the method learns from a network that is trained before."""
    return config_class(method).teacher != "none"


def check_teachers(asked: "Flags", methods: Sequence[str]) -> None:
    """Raise UserError for flags that make no sense, together or for these methods."""
    taught, given = [*filter(is_taught, methods)], asked.teacher
    flags = {"teacher": given, "teacher-weight": asked.teacher_weight, "assistant": asked.assistant}
    if (flag := next(filter(flags.get, flags), None)) and methods and not taught:
        raise UserError(
            f"--{flag} is for {', '.join(filter(is_taught, method_names()))}, and "
            f"{' and '.join(methods)} learn{'s' * (len(methods) == 1)} from none; leave it away."
        )
    if asked.teacher_saw_val and not any(map(is_file, given)):
        raise UserError(
            "--teacher-saw-val is for a teacher's file; give --teacher FILE.safetensors too, or "
            "leave it away."
        )
    for method in taught:
        if len(given) > (most := config_class(method).most_teachers):
            few = "one network; give it once" if most == 1 else f"at most {most}; give fewer"
            raise UserError(
                f"--teacher is given {len(given)} times, and {method} learns from {few}."
            )
    if len(asked.teacher_weight) not in (0, len(given)):
        raise UserError(
            f"--teacher-weight is given {_times(len(asked.teacher_weight))} and --teacher "
            f"{_times(len(given))}; give a weight for each teacher, or none."
        )
    for weight in asked.teacher_weight:
        if not 0 < weight <= HEAVIEST:
            raise UserError(
                f"--teacher-weight is {brief(weight)}; it must be above 0 and at most {HEAVIEST:g}."
            )
    if asked.assistant:
        _check_assistants(asked)


def _check_assistants(asked: "Flags") -> None:
    if not asked.teacher:
        raise UserError(
            "--assistant stands between a teacher and the student; give --teacher too, or leave "
            "--assistant away."
        )
    if len(asked.teacher) > 1:
        raise UserError(
            f"--assistant stands between one teacher and the student, and --teacher is given "
            f"{len(asked.teacher)} times; give it once, or leave --assistant away."
        )
    for name in asked.assistant:
        if is_file(name):
            raise UserError(
                f"--assistant {brief(name)} is a file, and an assistant is trained; give its "
                "backbone, or the file as --teacher."
            )


def _times(count: int) -> str:
    return {0: "not at all", 1: "once"}.get(count, f"{count} times")


def teachers_of(asked: "Flags") -> tuple[TeacherConfig, ...]:
    """What the flags say of the teachers; of assistants the last is the teacher."""
    if not asked.teacher:
        return ()
    weights = asked.teacher_weight or (1.0,) * len(asked.teacher)
    found = [
        _teacher(text, weight, saw_val=asked.teacher_saw_val)
        for text, weight in zip(asked.teacher, weights, strict=True)
    ]
    for backbone in asked.assistant:
        found = [TeacherConfig(backbone=backbone, method=BY, teacher=found[0])]
    return tuple(found)


def _teacher(text: str, weight: float, *, saw_val: bool) -> TeacherConfig:
    if not is_file(text):
        return TeacherConfig(backbone=text, weight=weight)
    # Path.is_file raises for a name that is too long, Path.expanduser for `~nobody`.
    path = os.path.expanduser(text)
    if not os.path.isfile(path):
        raise UserError(
            f"There is no teacher file {brief(text)}; give a backbone or a .safetensors."
        )
    return TeacherConfig(weights=str(whole(path)), saw_val=saw_val, weight=weight)


def typed_teachers(teachers: Iterable[TeacherConfig]) -> Iterator[str]:
    """The words that give these teachers, as far as there are flags for them."""
    known = [teacher for teacher in teachers if _named(teacher.line[-1])]
    for teacher in known:
        *assistants, first = teacher.line
        yield from ("--teacher", _named(first))
        for one in reversed(assistants):
            yield from ("--assistant", one.backbone or "")
    if any(teacher.weight != 1 for teacher in known):
        for teacher in known:
            yield from ("--teacher-weight", str(teacher.weight))
    if any(teacher.line[-1].saw_val for teacher in known):
        yield "--teacher-saw-val"


def _named(teacher: TeacherConfig) -> str:
    return teacher.weights or teacher.backbone or ""


# -- what they are called --------------------------------------------------------------------------


def called(base: TrainConfig, ancestor: Ancestor) -> str:
    """What a network that is trained for the students of `base` is called where it is shown."""
    assistants = len(base.teachers[ancestor.number].line) - 1
    several, place = len(base.teachers) > 1, assistants - ancestor.before
    if not place:
        return f"teacher {ancestor.number + 1}" if several else "the teacher"
    name = f"assistant {place}" if assistants > 1 or several else "the assistant"
    return f"{name} of teacher {ancestor.number + 1}" if several else name


def first_the_teacher(base: TrainConfig, ancestor: Ancestor) -> str:
    """Which network is trained before the students of `base`."""
    recipe, name = ancestor.recipe, called(base, ancestor)
    if recipe.teachers:
        return f"Then {name}: {short(recipe.backbone)}, by {recipe.method} from the one before it."
    given, why = base.teachers[ancestor.number].line[ancestor.before], ""
    if given.backbone is None and not ancestor.before and recipe.backbone == base.backbone:
        why = ", the student's own backbone"
        if config_class(base.method).teacher == "network":
            why += ", as no larger one is known for it"
    return f"First {name}: {short(recipe.backbone)}{why}."
