"""What is searched when nothing else is said: the paper's setting, or one for a laptop."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from kd.config import ImagesConfig, SplitConfig, TeacherConfig, TrainConfig
from tuning.study.rules import first_rung

Preset = Literal["auto", "laptop", "paper"]


class Setting(NamedTuple):
    """A cell's training run as the paper would have it, and how long to search."""

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
    teachers: Sequence[TeacherConfig] = (),
    images: ImagesConfig | None = None,
) -> Setting:
    """The setting of `preset`, with what the user asked for in place of its choices.

    laptop: few-shot digits on resnet8, minutes on two cores. The training set is cut to 15
    images a class so that there is something left to find, and val is large enough that its
    standard error is about one point. paper: CIFAR-100 on ResNet-18 with the paper's recipe. What
    a paper publishes for a pair of backbones goes by the first of the `teachers`.
    """
    first, *others = teachers or (TeacherConfig(),)
    given = {
        "teacher": first,
        "further_teachers": tuple(others),
        "images": images or ImagesConfig(),
    }
    if preset == "paper":
        base = TrainConfig.paper(method, backbone or "resnet18", dataset or "cifar100", **given)
        return _setting(base.lasting(epochs or base.epochs), trials or 64)
    base = TrainConfig.paper(method, backbone or "resnet8", dataset or "digits", **given)
    if base.dataset == "digits":
        few_shot = SplitConfig(val_fraction=0.6, train_size=150)
        base = replace(base, batch_size=10, split=few_shot)
    return _setting(base.lasting(epochs or 9), trials or 16)


def _setting(base: TrainConfig, trials: int) -> Setting:
    return Setting(base=base, trials=trials, grace_period=first_rung(base.epochs))
