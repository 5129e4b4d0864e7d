"""Small methods, each of which needs one thing of the training core that no shipped one needs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

import kd.methods
from kd.data.needs import Needs
from kd.methods import MethodConfig
from kd.methods.base import MAIN, Batch, Loss, Method, ParameterGroup, Phase
from kd.optimizer import OptimizerConfig
from kd.parts.gather import gathered
from kd.parts.losses import cross_entropy, distillation_kl, probabilities, soft_cross_entropy


@dataclass(frozen=True, kw_only=True)
class PlainConfig(MethodConfig):
    weight: float = 0.5


@dataclass(frozen=True, kw_only=True)
class PairsConfig(PlainConfig):
    @property
    def needs(self) -> Needs:
        return Needs(views=2, partner=True)


@dataclass(frozen=True, kw_only=True)
class TaughtConfig(PlainConfig):
    teacher: ClassVar[Literal["none", "self", "network"]] = "network"
    most_teachers: ClassVar[int] = 3


class Pairs(Method[Any]):
    """The predictions for a partner and for another view teach those for the image."""

    def forward(self, batch: Batch) -> Loss:
        assert batch.partners is not None
        logits = self.student(batch.images)
        hard = cross_entropy(logits, batch.labels).mean()
        soft: Tensor = torch.zeros_like(hard)
        for other in (batch.partners, *batch.views):
            with torch.no_grad():
                target = probabilities(self.student(other))
            soft = soft + soft_cross_entropy(logits, target).mean()
        return Loss(hard + self.numbers["weight"] * soft, {"loss_pairs": soft})


class Peers(Method[Any]):
    """A second network learns beside the student, and each from the other (DML)."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.peer = self.task.build_network()
        widths = [stage.shape[1] for stage in self.peer.shapes(*self.task.images).stages]
        assert widths == list(self.peer.channels)

    def forward(self, batch: Batch) -> Loss:
        one, two = self.student(batch.images), self.peer(batch.images)
        hard = cross_entropy(one, batch.labels).mean() + cross_entropy(two, batch.labels).mean()
        both = distillation_kl(one, two.detach(), 1.0) + distillation_kl(two, one.detach(), 1.0)
        return Loss(hard + self.numbers["weight"] * both.mean())


class Hinted(Method[Any]):
    """First stem, first stage and a regressor meet the teacher; then the rest learns (FitNet)."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        width = self.student.channels[0]
        self.regressor = nn.Conv2d(width, width, 1)

    def phases(self) -> tuple[Phase, ...]:
        optimizer = OptimizerConfig(lr=0.02, milestones=(0.5,))
        return (Phase(name="hint", epochs=2, optimizer=optimizer),)

    def parameter_groups(self) -> list[ParameterGroup]:
        if self.phase == "hint":
            first = [self.student.stem, self.student.stages[0], self.regressor]
            return [ParameterGroup(parameters=[p for m in first for p in m.parameters()])]
        head = list(self.student.classifier.parameters())
        rest = [p for p in self.student.parameters() if not any(p is own for own in head)]
        return [
            ParameterGroup(parameters=rest),
            ParameterGroup(parameters=head, lr=2.0, weight_decay=0.0),
        ]

    def forward(self, batch: Batch) -> Loss:
        if self.phase != MAIN:
            taught = self.teachers[0].outputs(batch.images).pre_activations[0]
            own = self.regressor(self.student.stages[0](self.student.stem(batch.images)))
            return Loss((own - taught).square().mean() * self.numbers["weight"])
        return Loss(cross_entropy(self.student(batch.images), batch.labels).mean())


class Averaged(Method[Any]):
    """The student learns from the moving average of its own weights, and remembers features."""

    memory: Tensor

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.average = deepcopy(self.student).requires_grad_(False)
        self.register_buffer("memory", torch.zeros(self.task.num_classes))
        assert self.task.labels is not None
        assert len(self.task.labels) == self.task.num_samples

    def forward(self, batch: Batch) -> Loss:
        logits = self.student(batch.images)
        with torch.no_grad():
            target = probabilities(self.average(batch.images))
        hard = cross_entropy(logits, batch.labels).mean()
        soft = soft_cross_entropy(logits, target).mean() + 0 * self.memory.sum()
        return Loss(hard + self.numbers["weight"] * soft, {"loss_average": soft})

    def after_step(self, batch: Batch) -> None:
        pairs = zip(self.average.parameters(), self.student.parameters(), strict=True)
        for kept, now in pairs:
            kept.lerp_(now, 0.1)
        self.memory.index_add_(0, batch.labels, torch.ones_like(batch.labels, dtype=torch.float))


class Ensemble(Method[Any]):
    """The mean of all teachers' predictions teaches (You et al. 2017)."""

    def forward(self, batch: Batch) -> Loss:
        logits = self.student(batch.images)
        taught = torch.stack([teacher(batch.images) for teacher in self.teachers])
        mean = probabilities(taught).mean(0)
        hard = cross_entropy(logits, batch.labels).mean()
        return Loss(hard + self.numbers["weight"] * soft_cross_entropy(logits, mean).mean())


class Related(Method[Any]):
    """The similarity of a batch's features to each other meets the teacher's (SP)."""

    def forward(self, batch: Batch) -> Loss:
        own = self.student.outputs(batch.images)
        taught = self.teachers[0].outputs(batch.images)
        grams = []
        for outputs in (own, taught):
            rows = gathered(outputs.pooled)
            grams.append(nn.functional.normalize(rows @ rows.T))
        apart = (grams[0] - grams[1]).square().mean()
        hard = cross_entropy(own.logits, batch.labels).mean()
        return Loss(hard + 100 * self.numbers["weight"] * apart, {"loss_related": apart})


SMALL: dict[str, tuple[type[MethodConfig], type[Method[Any]]]] = {
    "pairs": (PairsConfig, Pairs),
    "peers": (PlainConfig, Peers),
    "hinted": (TaughtConfig, Hinted),
    "averaged": (PlainConfig, Averaged),
    "ensemble": (TaughtConfig, Ensemble),
    "related": (TaughtConfig, Related),
}


@contextmanager
def registered() -> Iterator[None]:
    """The small methods are known by their names, as long as the `with` lasts."""
    known, own = kd.methods.method_names(), kd.methods._own()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kd.methods, "method_names", lambda pattern="*": (*known, *SMALL))
        patch.setattr(kd.methods, "_own", lambda: (*own, *SMALL))
        for name, (config, method) in SMALL.items():
            modules = {"": {}, ".config": {"Config": config}, ".loss": {"METHOD": method}}
            for part, content in modules.items():
                module = ModuleType(f"kd.methods.{name}{part}")
                vars(module).update(content)
                patch.setitem(sys.modules, module.__name__, module)
        yield
    kd.methods.config_class.cache_clear()
