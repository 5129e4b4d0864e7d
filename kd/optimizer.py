"""The course of the learning rate, as a function of training progress."""

import math

from kd.config import OptimizerConfig


def learning_rate(config: OptimizerConfig, progress: float, epochs: int) -> float:
    """The learning rate after `progress` epochs (fractions count) of `epochs`.

    `step` multiplies by gamma at every milestone, at whole epochs, as the papers do; `cosine`
    follows ½(1 + cos(π·t)) to zero, step by step. Either rises linearly during the warm-up.
    """
    warmup = config.warmup * epochs
    if progress < warmup:
        return config.lr * max(progress, 1e-3 * warmup) / warmup
    if config.schedule == "cosine":
        done = (progress - warmup) / (epochs - warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    passed = sum(math.floor(progress) >= m * epochs - 1e-9 for m in config.milestones)
    return config.lr * config.gamma**passed
