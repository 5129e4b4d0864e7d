"""The one update of the weights that a training repeats."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kd.config import Precision
from kd.data.batch import Batch
from kd.methods.base import Loss, Method, ParameterGroup, Phase
from kd.methods.config import MethodConfig
from kd.optimizer import OptimizerConfig, learning_rate
from kd.training.compiling import compiled_loss


class Step:
    """Forward, backward and update on one batch, operation by operation.

    Another way to make the same update takes the same arguments and offers the same names.

    Args:
        model: takes a batch and gives its `Loss`: `method`, or what runs it on several workers.
        method: is told after each step, and has entered the phase.
        phase: the optimizer and the number of epochs.
        groups: what is trained.
        precision: what the network computes in.
        device: where the parameters lie.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method[MethodConfig],
        phase: Phase,
        groups: Sequence[ParameterGroup],
        precision: torch.dtype,
        device: torch.device,
    ) -> None:
        self.model = model
        self.method = method
        self.phase = phase
        self.precision = precision
        self.device = device
        parts = list(_parts(groups, phase.optimizer))
        self._factors = [factor for factor, _ in parts]
        self.optimizer = _optimizer([part for _, part in parts], phase.optimizer, device)
        self.compiled_size: int | None = None
        """Of how many images a batch is whose loss is compiled; None if none is."""

    def __call__(self, batch: Batch, progress: float, weight: float = 1.0) -> Loss:
        """Update the weights on one batch, `progress` epochs after the start of the phase.

        `weight` is how much the batch counts among those of other workers.
        """
        self.at(progress)
        return self.update(batch, weight)

    def rate(self, progress: float) -> float:
        """The learning rate after `progress` epochs."""
        return learning_rate(self.phase.optimizer, progress, self.phase.epochs, self.phase.cycles)

    def at(self, progress: float) -> None:
        """Set the learning rate to that after `progress` epochs."""
        rate = self.rate(progress)
        for group, factor in zip(self.optimizer.param_groups, self._factors, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * factor)
            else:
                group["lr"] = rate * factor

    def use_rate(self, rate: Tensor) -> None:
        """Let the learning rate follow `rate`, of no dimensions, at each `spread` from now on."""
        for group in self.optimizer.param_groups:
            group["lr"] = torch.zeros_like(rate)
        self.spread(rate)

    def spread(self, rate: Tensor) -> None:
        """Set the learning rate to `rate` on the device."""
        for group, factor in zip(self.optimizer.param_groups, self._factors, strict=True):
            group["lr"].copy_(rate if factor == 1 else rate * factor)

    def momenta(self) -> list[Tensor]:
        """The optimizer's memory; where it has not begun, zeros, which begin as it does."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                state = self.optimizer.state[parameter]
                if self.phase.optimizer.name == "adamw" and not state:
                    state["step"] = torch.zeros((), device=parameter.device)
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                elif group.get("momentum") and state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
        states = self.optimizer.state.values()
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def update(self, batch: Batch, weight: float = 1.0) -> Loss:
        """Update the weights on one batch, at the learning rate that is set."""
        loss = self.gradients(batch, weight)
        self.optimizer.step()
        with torch.no_grad():
            self.method.after_step(batch)
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
        return autocast(self.device, self.precision)


def _parts(
    groups: Sequence[ParameterGroup], config: OptimizerConfig
) -> Iterator[tuple[float, dict[str, Any]]]:
    """The optimizer's groups, each with what its learning rate is multiplied by."""
    for group in groups:
        decay = config.weight_decay if group.weight_decay is None else group.weight_decay
        parts = [(list(group.parameters), decay)]
        if not config.decay_norms:
            # Biases and the parameters of norms are the ones of one dimension.
            kept = [p for p in group.parameters if p.ndim > 1]
            parts = [(kept, decay), ([p for p in group.parameters if p.ndim <= 1], 0.0)]
        for parameters, its in parts:
            if parameters:
                lr = config.lr * group.lr
                yield group.lr, {"params": parameters, "lr": lr, "weight_decay": its}


def _optimizer(
    parts: list[dict[str, Any]], config: OptimizerConfig, device: torch.device
) -> torch.optim.Optimizer:
    """What updates `parts`; one call for all parameters, as small networks' steps are calls."""
    if config.name == "adamw":
        on_gpu = device.type == "cuda"
        return torch.optim.AdamW(parts, betas=config.betas, fused=True, capturable=on_gpu)
    return torch.optim.SGD(
        parts, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True
    )


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """The context in which a network on `device` computes in `precision`."""
    half = precision is torch.bfloat16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def dtype_for(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that `precision` stands for: `auto` is bfloat16 on a GPU that computes in it.

    One that emulates it (T4, V100) would be slower than in float32.
    """
    if precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
