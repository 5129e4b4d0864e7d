"""DR-KD, Dynamic Rectification Knowledge Distillation (Amik et al. 2022)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.drkd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.losses import cross_entropy, distillation_kl, rectify


class DynamicRectification(LogitDistillation[Config]):
    """(1−α)·CE + α·KL_τ(rectified teacher ‖ student), equation 4, scaled as `scaling` says.

    The teacher is an earlier-trained copy of the student.
    """

    def scalars(self, epoch: int) -> dict[str, float]:
        """α and τ, and what the KL is multiplied by."""
        temperature = self.config.temperature
        scale = {
            "paper": 1.0,
            "tau_squared": temperature**2,
            "per_class": temperature**2 / self.task.num_classes,
        }[self.config.scaling]
        return {**super().scalars(epoch), "scale": self.config.multiplier * scale}

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), the teacher's not yet rectified; labels (B,)."""
        alpha, temperature = self.numbers["alpha"], self.numbers["temperature"]
        hard = cross_entropy(logits, labels).mean()
        taught = self.rectified(teacher_logits, labels)
        kl = distillation_kl(logits, taught, temperature, soft=self.soft)
        soft = self.numbers["scale"] * kl.mean()
        return Loss((1 - alpha) * hard + alpha * soft, {"loss_ce": hard, "loss_kl": soft})

    def rectified(self, teacher_logits: Tensor, labels: Tensor) -> Tensor:
        """What the teacher should have said (equation 3): (B, C)."""
        return rectify(teacher_logits, labels)


METHOD = DynamicRectification
