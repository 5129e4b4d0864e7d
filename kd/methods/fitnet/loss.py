"""FitNet, hints for thin deep nets (Romero et al. 2015)."""

from collections.abc import Sequence

from torch import Tensor, nn

from kd.backbones.staged import Outputs, StagedBackbone
from kd.methods.base import MAIN, Batch, Loss, ParameterGroup, Phase, Task
from kd.methods.fitnet.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.relations import wide
from kd.parts.teacher import Teacher


class Hints(FeatureDistillation[Config]):
    """L is the mean squared error of a regressor on the student's stage (equation 3).

    Raises UserError where a network has no such stage.
    """

    def __init__(
        self, config: Config, student: StagedBackbone, task: Task, teachers: Sequence[Teacher] = ()
    ) -> None:
        super().__init__(config, student, task, teachers)
        own, taught = student.shapes(*task.images), self.teacher_shapes
        config.check_stages(len(own.stages), len(taught.stages))
        self.own = config.hint_stage - 1
        self.its = self.own - len(own.stages) + len(taught.stages)
        self.regressor = regressor(own.stages[self.own], taught.stages[self.its])

    def phases(self) -> tuple[Phase, ...]:
        """The hint's own stage, where it has epochs."""
        optimizer = self.config.recipe.optimizer
        return (Phase(name="hint", epochs=self.config.hint_epochs, optimizer=optimizer),)

    def parameter_groups(self) -> list[ParameterGroup]:
        """In the hint's stage the student up to there, and the regressor."""
        if self.phase == MAIN:
            return super().parameter_groups()
        first = [self.student.stem, *self.student.stages[: self.own + 1], self.regressor]
        return [ParameterGroup(parameters=[p for part in first for p in part.parameters()])]

    def forward(self, batch: Batch) -> Loss:
        """The hint alone in its own stage."""
        if self.phase == MAIN:
            return super().forward(batch)
        x = self.student.stem(batch.images)
        for stage in self.student.stages[: self.own + 1]:
            x = stage(x)
        apart = self._apart(x, self.taught(batch).stages[self.its])
        return Loss(self.numbers["beta"] * apart, {"loss_features": apart})

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        return self._apart(own.stages[self.own], taught.stages[self.its])

    def _apart(self, own: Tensor, taught: Tensor) -> Tensor:
        return (wide(self.regressor(own)) - wide(taught)).square().mean()


def regressor(own: Tensor, taught: Tensor) -> nn.Module:
    """A convolution from one shape to the other, with BN and ReLU, as in RepDistiller."""
    (_, channels, height, _), (_, wanted, size, _) = own.shape, taught.shape
    if height == 2 * size:
        first: nn.Module = nn.Conv2d(channels, wanted, 3, stride=2, padding=1)
    elif 2 * height == size:
        first = nn.ConvTranspose2d(channels, wanted, 4, stride=2, padding=1)
    elif height >= size:
        first = nn.Conv2d(channels, wanted, 1 + height - size)
    else:
        up = nn.Upsample(size=tuple(taught.shape[2:]))
        first = nn.Sequential(up, nn.Conv2d(channels, wanted, 1))
    return nn.Sequential(first, nn.BatchNorm2d(wanted), nn.ReLU(inplace=True))


METHOD = Hints
