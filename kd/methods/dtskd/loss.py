"""DTSKD, Dual Teachers for Self-Knowledge Distillation (Li et al. 2024)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone, pool
from kd.errors import UserError
from kd.methods.base import Batch, Loss, Method, Task
from kd.methods.dtskd.config import Config
from kd.parts.losses import distillation_kl, probabilities, soft_targets, target_kl
from kd.parts.teacher import Teacher


class DualTeachers(Method[Config]):
    """α1·L_his + α2·L_stru (equation 9), with a branch on every stage but the last.

    Raises UserError if λ_b has not one weight for the backbone and one for every branch.
    """

    lambda_b: Tensor

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        *shallow, width = student.channels
        count = 1 + len(shallow)
        if len(config.lambda_b) != count:
            raise UserError(
                f"kd.lambda_b holds {len(config.lambda_b)} weights, but this backbone has {count} "
                f"stages; give {count}, for example {[3.0] + [1.0] * (count - 1)}."
            )
        self.register_buffer("lambda_b", torch.tensor(config.lambda_b), persistent=False)
        self.branches = nn.ModuleList(
            Branch(channels, width, task.num_classes, config.fusion) for channels in shallow
        )
        self.history = task.soft_label_history((count, task.num_classes))

    def forward(self, batch: Batch) -> Loss:
        """Branches are fused from the deepest to the shallowest, on pooled features."""
        features = self.student.features(batch.images)
        logits = [self.student.classify(features[-1])]
        *shallow, fused = [pool(feature) for feature in features]
        for branch, feature in zip(reversed(self.branches), reversed(shallow), strict=True):
            fused, branch_logits = branch(feature, fused)
            logits.insert(1, branch_logits)
        return self.loss(torch.stack(logits, dim=1), batch.labels, batch.indices)

    def loss(self, logits: Tensor, labels: Tensor, indices: Tensor) -> Loss:
        """The loss of logits (B, branches, C), which the history then keeps.

        Branch 0 is the backbone, the others follow from the shallowest to the deepest.
        """
        labels = labels.unsqueeze(1)
        past = self.history.read(indices, labels)
        targets = soft_targets(labels, past, 1 - self.numbers["beta"])
        self.history.write(indices, probabilities(logits))
        his = (self.lambda_b * target_kl(logits, targets).mean(0)).sum()
        alpha, temperature = self.numbers["alpha"], self.numbers["temperature"]
        teacher = logits[:, :1].detach() if self.config.detach_teacher else logits[:, :1]
        kl = distillation_kl(logits[:, 1:], teacher, temperature, soft=self.soft)
        stru = temperature**2 * kl.mean(0).sum()
        return Loss(alpha * his + (1 - alpha) * stru, {"loss_his": his, "loss_stru": stru})

    def scalars(self, epoch: int) -> dict[str, float]:
        """α, T, and β_e."""
        return {**super().scalars(epoch), "beta": self.beta(epoch)}

    def beta(self, epoch: int) -> float:
        """β_e, the label's weight in epoch `epoch`, counted from 0 (equation 7, table 9)."""
        high, low = self.config.beta_max, self.config.beta_min
        progress = epoch / self.task.epochs
        left = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "linear": 1 - progress,
            "fixed": 1.0,
        }[self.config.beta_schedule]
        return low + (high - low) * left


class Branch(nn.Module):
    """A stage's pooled feature, fused with the deeper branch's, and a linear classifier.

    `mixed` is the Mixed Fusion Module, fuse(f_t(T) + f_s(F) ‖ f_s(F)) (equation 8), `add`
    f_t(T) + f_s(F), `concat` fuse(f_t(T) ‖ f_s(F)), `none` f_t(T) alone (tables 7 and 8).

    Args:
        channels: of the stage's feature T.
        width: D, of the deeper feature F and of the fused one.
        num_classes: of the classifier.
        fusion: as above.
    """

    def __init__(self, channels: int, width: int, num_classes: int, fusion: str) -> None:
        super().__init__()
        self.fusion = fusion
        self.lateral = _block(channels, width)
        if fusion != "none":
            self.top_down = _block(width, width)
        if fusion in ("mixed", "concat"):
            self.fuse = _block(2 * width, width)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, feature: Tensor, deeper: Tensor) -> tuple[Tensor, Tensor]:
        """T (B, channels) and F_{b+1} (B, D) to F_b (B, D) and logits (B, num_classes)."""
        fused = self.lateral(feature)
        if self.fusion != "none":
            guide = self.top_down(deeper)
            if self.fusion in ("mixed", "add"):
                fused = fused + guide
            if self.fusion in ("mixed", "concat"):
                fused = self.fuse(torch.cat([fused, guide], dim=1))
        return fused, self.classifier(fused)


def _block(in_features: int, features: int) -> nn.Sequential:
    """The paper's 1×1 convolution with BN and ReLU; on a pooled feature it is a linear layer."""
    return nn.Sequential(
        nn.Linear(in_features, features, bias=False),
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
    )


METHOD = DualTeachers
