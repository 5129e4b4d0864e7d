"""Which teacher is trained first is said by its name, and why where nobody chose it."""

import pytest

from kd.config import TeacherConfig, TrainConfig
from tuning.sweeps.teacher import first_the_teacher


@pytest.mark.parametrize(
    ("method", "backbone", "teacher", "sentence"),
    [
        ("kd", "resnet8", None, "First the teacher: resnet20."),
        ("kd", "resnet8", "resnet56", "First the teacher: resnet56."),
        ("kd", "resnet8", "resnet8", "First the teacher: resnet8."),
        (
            "kd",
            "resnet56",
            None,
            "First the teacher: resnet56, the student's own backbone, as no larger one is known "
            "for it.",
        ),
        ("drkd", "resnet8", None, "First the teacher: resnet8, the student's own backbone."),
    ],
)
def test_the_teacher_has_a_name(
    method: str, backbone: str, teacher: str | None, sentence: str
) -> None:
    chosen = TeacherConfig(backbone=teacher)
    base = TrainConfig.paper(method, backbone, "digits", teacher=chosen)
    assert first_the_teacher(base) == sentence
