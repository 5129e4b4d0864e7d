"""USKD, Universal Self-Knowledge Distillation (Yang et al. 2023)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, pool
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.uskd.config import Config
from kd.parts.gather import gathered
from kd.parts.logits import without
from kd.parts.losses import cross_entropy, log_probabilities, probabilities
from kd.parts.teacher import Teacher

SMOOTHING = 0.1
"""Of the weak output's labels."""
SMALL = 1e-6


class UniversalSelfDistillation(Method[Config]):
    """CE + α·L_t + β·L_n + L_w (equations 9 to 12), in the form of the authors' code.

    u is a linear layer on the pooled feature of the last stage but one, the weak output. L_t is
    CE of each sample times 1 + p[y]² − mean p[y]². L_n is the cross-entropy of the classes but the
    label's with 1/k, renormalised, k the rank of a class by both outputs together. L_w is μ·CE of u
    with smoothed labels.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.weak = nn.Linear(student.channels[-2], task.num_classes)

    def forward(self, batch: Batch) -> Loss:
        """One pass; of the stage before the last the weak output is made."""
        features = self.student.features(batch.images)
        logits = self.student.classify(features[-1])
        return self.loss(logits, self.weak(pool(features[-2])), batch.labels)

    def loss(self, logits: Tensor, weak_logits: Tensor, labels: Tensor) -> Loss:
        """Both outputs (B, C), labels (B,)."""
        each = cross_entropy(logits, labels)
        hard = each.mean()
        label = (target_weights(each.detach()) * each).mean()
        others = log_probabilities(without(logits, labels))
        rest = -(zipf_targets(logits, weak_logits, labels) * others).sum(-1).mean()
        weak = self.numbers["mu"] * cross_entropy(weak_logits, labels, SMOOTHING).mean()
        taught = self.numbers["alpha"] * label + self.numbers["beta"] * rest + weak
        terms = {"loss_ce": hard, "loss_label": label, "loss_rest": rest, "loss_weak": weak}
        return Loss(hard + taught, terms)


def target_weights(hard: Tensor) -> Tensor:
    """1 + p[y]² − the batch's mean p[y]² of each sample's cross-entropy −log p[y], (B,)."""
    squares = torch.exp(-2 * hard)
    return 1 + squares - gathered(squares).mean()


def zipf_targets(logits: Tensor, weak_logits: Tensor, labels: Tensor) -> Tensor:
    """What the classes but the label's are to be, (B, C), without gradient; the label has 0.

    The k-th class has 1/k, renormalised without the label, which keeps its rank. Classes are
    ordered by p_u[c]/(1 − p_u[y]) + log p[c]/(1 − log p[y]): of the second output the logarithms
    count, as in the authors' code.
    """
    index = labels.unsqueeze(-1)
    scores = []
    for values in (probabilities(weak_logits), log_probabilities(logits.detach())):
        scores.append(values / (1 - values.gather(-1, index) + SMALL))
    order = (scores[0] + scores[1]).argsort(dim=-1, descending=True, stable=True)
    places = torch.arange(1, order.shape[-1] + 1, device=order.device, dtype=scores[0].dtype)
    zipf = torch.zeros_like(scores[0]).scatter(-1, order, (1 / places).expand(order.shape))
    zipf = zipf.scatter(-1, index, 0.0)
    return zipf / zipf.sum(-1, keepdim=True)


METHOD = UniversalSelfDistillation
