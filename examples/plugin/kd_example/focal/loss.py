"""Focal loss (Lin et al. 2017)."""

from kd.methods.base import Batch, Loss, Method
from kd.parts.losses import cross_entropy
from kd_example.focal.config import Config


class Focal(Method[Config]):
    """Mean over the batch of (1 − p_y)^γ · CE(z, y)."""

    def scalars(self, epoch: int) -> dict[str, float]:
        """γ."""
        return {"focus": self.config.focus}

    def forward(self, batch: Batch) -> Loss:
        """The same in every epoch."""
        entropy = cross_entropy(self.student(batch.images), batch.labels)
        return Loss(((1 - (-entropy).exp()) ** self.numbers["focus"] * entropy).mean())


METHOD = Focal
