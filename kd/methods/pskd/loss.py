"""PS-KD, Progressive Self-Knowledge Distillation (Kim et al. 2021)."""

from collections.abc import Sequence

from torch import Tensor

from kd.backbones.staged import StagedBackbone
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.pskd.config import Config
from kd.parts.losses import probabilities, soft_cross_entropy, soft_targets
from kd.parts.teacher import Teacher


class ProgressiveSelfDistillation(Method[Config]):
    """CE to (1−α_e)·y + α_e·p_{e−1}, where p_{e−1} was predicted for the image an epoch ago."""

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.history = task.soft_label_history((task.num_classes,))

    def scalars(self, epoch: int) -> dict[str, float]:
        """α_e = α_T·(e+1)/E."""
        return {"alpha": self.config.alpha * (epoch + 1) / self.task.epochs}

    def forward(self, batch: Batch) -> Loss:
        """Of the batch as it comes."""
        return self.loss(self.student(batch.images), batch.labels, batch.indices)

    def loss(self, logits: Tensor, labels: Tensor, indices: Tensor) -> Loss:
        """The loss of logits (B, C), which the history then keeps for the next epoch."""
        past = self.history.read(indices, labels)
        targets = soft_targets(labels, past, self.numbers["alpha"])
        self.history.write(indices, probabilities(logits))
        return Loss(soft_cross_entropy(logits, targets).mean())


METHOD = ProgressiveSelfDistillation
