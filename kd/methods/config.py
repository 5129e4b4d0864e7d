"""What the configuration of every method has in common."""

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal, Self

from kd.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a paper trains: epochs, SGD and its schedule on CIFAR-sized images.

    `milestones` and `warmup` are fractions of the training, so that a recipe keeps its shape
    when it is shortened.
    """

    epochs: int = 240
    batch_size: int = 64
    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    milestones: tuple[float, ...] = (150 / 240, 180 / 240, 210 / 240)
    gamma: float = 0.1
    warmup: float = 0.0


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """The hyperparameters of one method; frozen, checked when built.

    A subclass is named `Config`, stands alone in the file named after the method, gives every
    field the paper's default, and raises `UserError` from `__post_init__` for a value that
    makes no sense.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    recipe: ClassVar[Recipe] = Recipe()
    """The paper's training recipe; `recipe_for` may change it for a backbone."""
    teacher: ClassVar[Literal["none", "self", "network"]] = "none"
    """Whether training needs a trained copy of the student, or a network of its own choice."""

    @classmethod
    def recipe_for(cls, backbone: str) -> Recipe:
        """The paper's training recipe for this backbone."""
        return cls.recipe

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The paper's values for this backbone and data set."""
        return cls()

    def check(self, name: str, low: float, high: float, *, open_low: bool = False) -> None:
        """Raise `UserError` unless field `name` is finite and in [low, high] (or (low, high])."""
        value = getattr(self, name)
        if not (low < value if open_low else low <= value) or not value <= high or value == inf:
            bound = f"above {low:g}" if open_low else f"at least {low:g}"
            top = " and finite" if high == inf else f" and at most {high:g}"
            raise UserError(f"kd.{name} is {value}; it must be {bound}{top}.")
