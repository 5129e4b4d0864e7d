"""RLD, Knowledge Distillation with Refined Logits (Sun et al. 2024)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.rld.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.logits import one_and_rest_kl, only
from kd.parts.losses import cross_entropy, distillation_kl


class RefinedLogits(LogitDistillation[Config]):
    """CE + w_e·(α·SCD + β·MCD), w_e = min((e+1)/W, 1).

    SCD is T_α²·KL of (p, 1 − p), p of the label for the student and of its own highest class for
    the teacher. MCD is T²·KL_T over the classes that the teacher ranks strictly below the label;
    where there are fewer than two it is 0.
    """

    def scalars(self, epoch: int) -> dict[str, float]:
        """α, β, both temperatures, and w_e."""
        return {**super().scalars(epoch), "grown": self.config.grown(epoch)}

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        hard = cross_entropy(logits, labels).mean()
        temperature, sharp = self.numbers["temperature"], self.numbers["alpha_temperature"]
        student, teacher = self.compared(logits, teacher_logits)
        confident = one_and_rest_kl(student, teacher, labels, teacher.argmax(-1), sharp)
        below = teacher < teacher.gather(-1, labels.unsqueeze(-1))
        s, t = (only(z, below, temperature) for z in (student, teacher))
        scd = sharp**2 * confident.mean()
        mcd = temperature**2 * distillation_kl(s, t, temperature, soft=False).mean()
        taught = self.numbers["alpha"] * scd + self.numbers["beta"] * mcd
        total = hard + self.numbers["grown"] * taught
        return Loss(total, {"loss_ce": hard, "loss_scd": scd, "loss_mcd": mcd})


METHOD = RefinedLogits
