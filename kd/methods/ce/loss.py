"""Plain cross-entropy, with label smoothing if asked."""

from kd.methods.base import Batch, Loss, Method
from kd.methods.ce.config import Config
from kd.parts.losses import cross_entropy


class CrossEntropy(Method[Config]):
    """Mean over the batch of CE(z, y), y smoothed by ε."""

    def forward(self, batch: Batch, epoch: int) -> Loss:
        """The same in every epoch."""
        smoothing = self.config.label_smoothing
        if self.config.smoothing_spread == "others":
            # ε/(C−1) on the others is ε′/C everywhere with this ε′; a single class has no others.
            smoothing *= self.task.num_classes / max(self.task.num_classes - 1, 1)
        return Loss(cross_entropy(self.student(batch.images), batch.labels, smoothing).mean())


METHOD = CrossEntropy
