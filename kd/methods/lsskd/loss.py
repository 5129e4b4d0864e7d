"""LSSKD, Layered Self-Supervised Knowledge Distillation."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from kd.backbones.staged import StagedBackbone, pool
from kd.data.augment import rotate4
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.lsskd.config import Config
from kd.parts.losses import (
    distillation_kl,
    feature_distance,
    probabilities,
    soft_cross_entropy,
    soft_targets,
)
from kd.parts.rotations import JointHeads, M, by_image, joint_labels, sum_over_heads
from kd.parts.teacher import Teacher


class Outputs(NamedTuple):
    """What the network says of a batch, all M views of it.

    logits: z (B, C), of the view that is not turned. joint_logits: q (B, L, M, M·C), of every
    head, class M·y + j for view j; without hierarchical labels (B, L, M, C). features: F
    (B, L, M, D), the heads' pooled features. final_features: (B, M, D), the backbone's own.
    """

    logits: Tensor
    joint_logits: Tensor
    features: Tensor
    final_features: Tensor


class LayeredSelfSupervised(Method[Config]):
    """L_cls + L_hier + β·L_kl + γ·L_feat (equations 4 to 9), with a head after every stage.

    Soft labels are those of PS-KD, for the classes and, view by view, for every head. A head tells
    class and turn, or without hierarchical labels the class of every view, turned or not.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.heads = JointHeads(student, task.num_classes, turns=config.hierarchical_labels)
        own, joint = config.memories(task.num_classes, len(student.stages))
        self.history = task.soft_label_history(own)
        self.joint_history = task.soft_label_history(joint)

    def forward(self, batch: Batch) -> Loss:
        """One pass over the M·B views; only the backbone's logits of the unturned ones count."""
        features = self.student.features(rotate4(batch.images))
        logits = self.student.classify(features[-1][::M])
        final = by_image(pool(features[-1]))
        pooled, joint = self.heads(features)
        outputs = Outputs(logits, joint, pooled, final)
        return self.loss(outputs, batch.labels, batch.indices)

    def loss(self, outputs: Outputs, labels: Tensor, indices: Tensor) -> Loss:
        """The loss of `outputs`, whose predictions the history then keeps for the next epoch."""
        z, q = outputs.logits, outputs.joint_logits
        hierarchical = self.config.hierarchical_labels
        joint = joint_labels(labels) if hierarchical else labels.unsqueeze(1).expand(-1, M)
        joint = joint.unsqueeze(1)
        alpha, temperature = self.numbers["alpha"], self.numbers["temperature"]
        targets = soft_targets(labels, self.history.read(indices, labels), alpha)
        joint_past = self.joint_history.read(indices, joint)
        joint_targets = soft_targets(joint, joint_past, alpha)
        self.history.write(indices, probabilities(z))
        self.joint_history.write(indices, probabilities(q))

        classes = soft_cross_entropy(z, targets).mean()
        hierarchy = sum_over_heads(soft_cross_entropy(q, joint_targets))
        deepest = q[:, -1:].detach()
        kl = distillation_kl(q[:, :-1], deepest, temperature, soft=self.soft)
        kl = temperature**2 * sum_over_heads(kl)
        feature = sum_over_heads(self._feature_distance(outputs))
        beta, gamma = self.numbers["beta"], self.numbers["gamma"]
        total = classes + hierarchy + beta * kl + gamma * feature
        terms = {
            "loss_cls": classes,
            "loss_hier": hierarchy,
            "loss_kl": kl,
            "loss_feat": feature,
        }
        return Loss(total, terms)

    def scalars(self, epoch: int) -> dict[str, float]:
        """α_e, β, γ and T."""
        values = super().scalars(epoch)
        if self.config.alpha_schedule == "linear":
            values["alpha"] = self.config.alpha * (epoch + 1) / self.task.epochs
        return values

    def _feature_distance(self, outputs: Outputs) -> Tensor:
        """(B, L, M); (B, L−1, M) where the deepest head is the target itself."""
        if self.config.feature_target == "deepest":
            return feature_distance(outputs.features[:, :-1], outputs.features[:, -1:].detach())
        return feature_distance(outputs.features, outputs.final_features.unsqueeze(1).detach())


METHOD = LayeredSelfSupervised
