"""One update of the weights, against its closed form."""

import pytest
import torch
from torch import nn

from kd.config import OptimizerConfig, TrainConfig
from kd.data.batch import Batch
from kd.methods.base import Loss, ParameterGroup, Phase
from kd.training.step import Step, dtype_for


class Line(nn.Module):
    """The loss is w·x, so that its gradient is x; one more parameter takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.tensor(5.0), requires_grad=False)

    def forward(self, batch: Batch) -> Loss:
        return Loss(self.w * batch.images.sum() + 0 * self.frozen)

    def after_step(self, batch: Batch) -> None:
        self.seen = self.w.item()


def made(model: nn.Module, config: TrainConfig, **group: object) -> Step:
    phase = Phase(name="main", epochs=config.epochs, optimizer=config.optimizer)
    groups = [
        ParameterGroup(parameters=[p for p in model.parameters() if p.requires_grad], **group)
    ]
    device = torch.device("cpu")
    return Step(model, model, phase, groups, dtype_for(config.precision, device), device)


def batch(x: float) -> Batch:
    return Batch(torch.tensor([x]), torch.tensor([0]), torch.tensor([0]))


def test_two_steps_are_momentum_sgd_at_the_rate_of_their_progress():
    optimizer = OptimizerConfig(lr=0.1, momentum=0.5, weight_decay=0.01, milestones=(0.5,))
    config = TrainConfig.paper("ce", "resnet8", "digits", epochs=4, optimizer=optimizer)
    model = Line()
    step = made(model, config)
    first = step(batch(3.0), 1.5)
    second = step(batch(3.0), 2.5, weight=0.5)

    velocity = 3.0 + 0.01 * 2.0
    w = 2.0 - 0.1 * velocity
    velocity = 0.5 * velocity + 0.5 * 3.0 + 0.01 * w
    assert first.total.item() == 6.0
    assert second.total.item() == pytest.approx(3 * w)
    assert model.w.item() == pytest.approx(w - 0.01 * velocity)
    assert model.frozen.item() == 5.0
    assert model.seen == model.w.item()
    assert step.optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("precision", "computed"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)],
)
def test_the_network_computes_in_the_precision_that_is_asked_for(precision, computed):
    config = TrainConfig.paper("ce", "resnet8", "digits", precision=precision)
    step = made(Line(), config)
    assert step.precision is computed
    with step.autocast():
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype is computed
