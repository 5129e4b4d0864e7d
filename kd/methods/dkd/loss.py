"""DKD, Decoupled Knowledge Distillation (Zhao et al. 2022)."""

from torch import Tensor

from kd.methods.base import Loss
from kd.methods.dkd.config import Config
from kd.methods.taught import LogitDistillation
from kd.parts.logits import one_and_rest_kl, without
from kd.parts.losses import cross_entropy, distillation_kl


class DecoupledDistillation(LogitDistillation[Config]):
    """CE + w_e·(α·TCKD + β·NCKD), equation 7, with the authors' warm-up w_e = min((e+1)/W, 1).

    TCKD is T²·KL of (p_y, 1 − p_y), NCKD T²·KL_T over the classes but the label's. With two
    classes NCKD is 0.
    """

    def scalars(self, epoch: int) -> dict[str, float]:
        """α, β, T, and w_e."""
        return {**super().scalars(epoch), "grown": self.config.grown(epoch)}

    def loss(self, logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Loss:
        """Both logits (B, C), labels (B,)."""
        hard = cross_entropy(logits, labels).mean()
        temperature = self.numbers["temperature"]
        student, teacher = self.compared(logits, teacher_logits)
        label = one_and_rest_kl(student, teacher, labels, labels, temperature)
        s, t = (without(z, labels, temperature) for z in (student, teacher))
        tckd = temperature**2 * label.mean()
        nckd = temperature**2 * distillation_kl(s, t, temperature, soft=False).mean()
        taught = self.numbers["alpha"] * tckd + self.numbers["beta"] * nckd
        total = hard + self.numbers["grown"] * taught
        return Loss(total, {"loss_ce": hard, "loss_tckd": tckd, "loss_nckd": nckd})


METHOD = DecoupledDistillation
