"""A method on a backbone, as `kd.testing` checks it: built on few random images."""

from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from kd.backbones import build_backbone
from kd.methods import MethodConfig, build_method, config_class
from kd.methods.base import MAIN, Batch, Method, Task
from kd.parts.history import Histories
from kd.parts.teacher import Teacher

LABELS = torch.tensor([4, 1, 0, 2, 0, 1, 2, 3, 4, 2, 1, 3])
TASK = Task(num_classes=5, num_samples=12, epochs=10, steps=3, batch_size=4, labels=LABELS)
AnyMethod = Method[MethodConfig]
SEVERAL = 3
"""Teachers from which a method learns here that may have several."""


@dataclass(frozen=True)
class Case:
    """A method on a backbone, for random images of `image_size` pixels a side, in a phase.

    `histories` makes its soft-label memories.
    """

    method: str
    backbone: str
    image_size: int
    phase: str = MAIN
    histories: Histories = field(default_factory=Histories)

    def build(self, seed: int = 0, config: MethodConfig | None = None) -> AnyMethod:
        """The method with the paper's values, its weights drawn from `seed`, in train mode.

        It learns from several networks where it can, each of another weight.
        """
        torch.manual_seed(seed)
        config = config or config_class(self.method).paper(self.backbone, "digits")
        size = (self.image_size, self.image_size)
        task = replace(TASK, image_size=size, backbone=self.backbone, histories=self.histories)
        student = build_backbone(self.backbone, TASK.num_classes)
        teachers = []
        if config.teacher != "none":
            teachers = [Teacher(deepcopy(student))]
            few = range(1, min(config.most_teachers, SEVERAL))
            teachers += [Teacher(task.build_network(), weight=1.0 + n) for n in few]
        method = build_method(self.method, config, student, task, teachers)
        method.begin_phase(self.phase)
        return method

    def batch(self) -> Batch:
        """Four of the samples, two of them of the same class, and what the method needs."""
        config = config_class(self.method).paper(self.backbone, "digits")
        generator = torch.Generator().manual_seed(0)
        shape = (4, 3, self.image_size, self.image_size)

        def drawn() -> Tensor:
            return torch.randn(shape, generator=generator)

        indices = torch.tensor([7, 2, 11, 0])
        first, partners = drawn(), drawn() if config.needs.partner else None
        views = tuple(drawn() for _ in range(config.needs.views - 1))
        return Batch(first, LABELS[indices], indices, views, partners)
