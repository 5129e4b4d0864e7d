"""The one update of the weights that a training repeats."""

import torch
from torch import Tensor, nn

from kd.config import Precision, TrainConfig
from kd.data.batch import Batch
from kd.methods.base import Loss
from kd.optimizer import OptimizerConfig, learning_rate
from kd.training.compiling import compiled_loss


class Step:
    """Forward, backward and SGD on one batch, operation by operation.

    Another way to make the same update takes the same arguments and offers the same names.

    Args:
        model: takes a batch and gives its `Loss`; all its parameters that need a gradient are
            trained.
        config: the optimizer, the precision and the number of epochs.
        device: where the parameters lie.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, device: torch.device) -> None:
        self.model = model
        self.config = config
        self.device = device
        self.precision = dtype_for(config.precision, device)
        self.optimizer = sgd(model, config.optimizer)
        self.compiled_size: int | None = None
        """Of how many images a batch is whose loss is compiled; None if none is."""

    def __call__(self, batch: Batch, progress: float, weight: float = 1.0) -> Loss:
        """Update the weights on one batch, `progress` epochs after the start of the training.

        `weight` is how much the batch counts among those of other workers.
        """
        self.at(progress)
        return self.update(batch, weight)

    def rate(self, progress: float) -> float:
        """The learning rate after `progress` epochs."""
        return learning_rate(self.config.optimizer, progress, self.config.epochs)

    def at(self, progress: float) -> None:
        """Set the learning rate to that after `progress` epochs."""
        rate = self.rate(progress)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def use_rate(self, rate: Tensor) -> None:
        """Let the learning rate lie in `rate`, of no dimensions, from now on."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def momenta(self) -> list[Tensor]:
        """The optimizer's momentum; where it has not begun, zeros, which begin as it does."""
        for group in self.optimizer.param_groups:
            if group["momentum"]:
                for parameter in group["params"]:
                    state = self.optimizer.state[parameter]
                    if state.get("momentum_buffer") is None:
                        state["momentum_buffer"] = torch.zeros_like(parameter)
        states = self.optimizer.state.values()
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def update(self, batch: Batch, weight: float = 1.0) -> Loss:
        """Update the weights on one batch, at the learning rate that is set."""
        loss = self.gradients(batch, weight)
        self.optimizer.step()
        return loss

    def gradients(self, batch: Batch, weight: float = 1.0) -> Loss:
        """The loss of the batch, whose gradients lie in the parameters then."""
        with self.autocast():
            if len(batch.labels) == self.compiled_size:
                loss = compiled_loss(self.model, batch)
            else:
                loss = self.model(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward(torch.full_like(loss.total, weight))  # type: ignore[no-untyped-call]
        return loss

    def autocast(self) -> torch.autocast:
        """The context in which the network computes in `precision`."""
        half = self.precision is torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)


def sgd(model: nn.Module, config: OptimizerConfig) -> torch.optim.SGD:
    """The optimizer of all parameters of `model` that need a gradient."""
    return torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        # One call for all parameters: on small networks the step is mostly calls.
        fused=True,
    )


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that `precision` stands for: `auto` is bfloat16 on a GPU that computes in it.

    One that emulates it (T4, V100) would be slower than in float32.
    """
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
