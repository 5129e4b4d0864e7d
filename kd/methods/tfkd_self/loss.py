"""Tf-KD_self, teacher-free distillation by a self-teacher (Yuan et al. 2020)."""

from torch import Tensor

from kd.methods.drkd.loss import DynamicRectification


class SelfTeacher(DynamicRectification):
    """(1−α)·CE + α·m·KL_τ of an earlier-trained copy, scaled as `scaling` says (equation 7)."""

    def rectified(self, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """What the teacher said, right or wrong."""
        return teacher_logits


METHOD = SelfTeacher
