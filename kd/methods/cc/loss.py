"""CC, Correlation Congruence (Peng et al. 2019)."""

from collections.abc import Sequence

from torch import Tensor, nn

from kd.backbones.staged import Outputs, StagedBackbone
from kd.methods.base import Batch, Task
from kd.methods.cc.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.relations import adjacent_correlation
from kd.parts.teacher import Teacher


class CorrelationCongruence(FeatureDistillation[Config]):
    """L relates how two samples that follow each other differ from the teacher's.

    A linear layer embeds the pooled features of each network.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        self.of_student = nn.Linear(student.channels[-1], config.width)
        self.of_teacher = nn.Linear(self.teacher_shapes.pooled.shape[1], config.width)

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        return adjacent_correlation(self.of_student(own.pooled), self.of_teacher(taught.pooled))


METHOD = CorrelationCongruence
