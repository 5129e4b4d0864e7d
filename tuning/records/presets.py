"""What is searched when nothing else is said: the paper's setting, or one for a laptop."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kd.config import SplitConfig, TrainConfig

Preset = Literal["auto", "laptop", "paper"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A cell's training run as the paper would have it, and how long to search."""

    preset: Preset
    base: TrainConfig
    trials: int
    grace_period: int


def choose(preset: Preset, gpus: float) -> Literal["laptop", "paper"]:
    """The preset that `auto` stands for: the paper's where there are GPUs."""
    if preset == "auto":
        return "paper" if gpus else "laptop"
    return preset


def setting(
    preset: Literal["laptop", "paper"],
    method: str,
    *,
    backbone: str | None = None,
    dataset: str | None = None,
    trials: int | None = None,
    epochs: int | None = None,
) -> Setting:
    """The setting of `preset`, with what the user asked for in place of its choices.

    laptop: few-shot digits on resnet8, minutes on two cores. The training set is cut to 15
    images a class so that there is something left to find, and val is large enough that its
    standard error is about one point. paper: CIFAR-100 on ResNet-18 with the paper's recipe.
    """
    if preset == "paper":
        base = TrainConfig.paper(method, backbone or "resnet18", dataset or "cifar100")
        chosen = replace(base, epochs=epochs or base.epochs)
        # Rungs at 1/27, 1/9 and 1/3 of the training.
        grace = max(1, chosen.epochs // 27)
        return Setting(preset=preset, base=chosen, trials=trials or 64, grace_period=grace)
    base = TrainConfig.paper(method, backbone or "resnet8", dataset or "digits")
    if base.dataset == "digits":
        few_shot = SplitConfig(val_fraction=0.6, train_size=150)
        base = replace(base, batch_size=10, split=few_shot)
    base = replace(base, epochs=epochs or 9)
    # After the first epochs every few-shot trial still guesses.
    grace = max(1, base.epochs // 3)
    return Setting(preset=preset, base=base, trials=trials or 16, grace_period=grace)


def local_gpus() -> int:
    """How many NVIDIA GPUs this machine shows, found without importing torch or Ray."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([v for v in visible.split(",") if v.strip() not in ("", "-1")])
    return len(list(Path("/dev").glob("nvidia[0-9]*")))
