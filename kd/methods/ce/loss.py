"""Plain cross-entropy, with label smoothing if asked."""

from kd.methods.base import Batch, Loss, Method
from kd.methods.ce.config import Config
from kd.parts.losses import cross_entropy


class CrossEntropy(Method[Config]):
    """Mean over the batch of CE(z, y), y smoothed by ε."""

    def scalars(self, epoch: int) -> dict[str, float]:
        """ε′: ε/(C−1) on the other classes is ε′/C on all; a single class has no others."""
        smoothing = self.config.label_smoothing
        if self.config.smoothing_spread == "others":
            smoothing *= self.task.num_classes / max(self.task.num_classes - 1, 1)
        return {"smoothing": smoothing}

    def forward(self, batch: Batch) -> Loss:
        """The same in every epoch."""
        smoothing = self.numbers["smoothing"] if self.config.label_smoothing else None
        return Loss(cross_entropy(self.student(batch.images), batch.labels, smoothing).mean())


METHOD = CrossEntropy
