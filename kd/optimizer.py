"""An optimizer's settings, and its learning rate as a function of training progress."""

import math
from dataclasses import dataclass
from math import inf
from typing import Literal

from kd.errors import UserError
from kd.section import Section


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section):
    """SGD with momentum or AdamW, and the course of its learning rate.

    `momentum` and `nesterov` are SGD's, `betas` AdamW's. `decay_norms` says whether weight decay
    holds for biases and the parameters of norms too. `milestones` and `warmup` are fractions of
    the training (0.625 of 240 epochs is epoch 150).
    """

    _prefix = "optimizer."

    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[float, ...] = (0.625, 0.875)
    gamma: float = 0.1
    warmup: float = 0.0
    name: Literal["sgd", "adamw"] = "sgd"
    betas: tuple[float, float] = (0.9, 0.999)
    decay_norms: bool = True

    def __post_init__(self) -> None:
        self.check("lr", 0, inf, open_low=True)
        self.check("gamma", 0, inf, open_low=True)
        self.check("momentum", 0, 1, open_high=True)
        self.check("warmup", 0, 1)
        self.check("weight_decay", 0, inf)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(
                f"optimizer.betas is {list(self.betas)}; give two numbers, at least 0 and below 1."
            )
        if self.nesterov and not self.momentum:
            raise UserError(
                "nesterov is true, but momentum is 0; give a momentum above 0, or nesterov false."
            )
        if list(self.milestones) != sorted(self.milestones) or not all(
            0 < m <= 1 for m in self.milestones
        ):
            raise UserError(
                f"milestones are {list(self.milestones)}; they must be rising fractions of the "
                "training, for example [0.625, 0.875]."
            )


def cycle(epoch: int, epochs: int, cycles: int) -> tuple[int, int]:
    """The first epoch of the cycle that `epoch` is in, and of the next, where so many share all.

    Cycles are as even as whole epochs go; where they are more than the epochs, some have none.
    """
    number = min(((epoch + 1) * cycles - 1) // epochs, cycles - 1)
    return number * epochs // cycles, (number + 1) * epochs // cycles


def learning_rate(config: OptimizerConfig, progress: float, epochs: int, cycles: int = 1) -> float:
    """The learning rate after `progress` epochs (fractions count) of `epochs`.

    `step` multiplies by gamma at every milestone, at whole epochs, as the papers do; `cosine`
    follows ½(1 + cos(π·t)) to zero, step by step. Either rises linearly during the warm-up.
    Each of several cycles has the whole course of it.
    """
    begin, end = cycle(math.floor(progress), epochs, cycles)
    progress, epochs = progress - begin, end - begin
    warmup = config.warmup * epochs
    if progress < warmup:
        return config.lr * max(progress, 1e-3 * warmup) / warmup
    if config.schedule == "cosine":
        done = (progress - warmup) / (epochs - warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    passed = sum(math.floor(progress) >= m * epochs - 1e-9 for m in config.milestones)
    return config.lr * config.gamma**passed
