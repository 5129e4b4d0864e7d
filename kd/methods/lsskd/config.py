"""LSSKD, Layered Self-Supervised Knowledge Distillation: auxiliary heads, rotations, history."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from kd.data.needs import Needs
from kd.methods.config import TEMPERATURES, MethodConfig, Recipe
from kd.optimizer import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class Config(MethodConfig):
    """LSSKD's weights. The published values are lost; these are this project's.

    Attributes:
        alpha: α_T, the weight that the past predictions have in the soft labels of the last
            epoch (equations 1 and 2).
        alpha_schedule: `linear` is α_e = α_T·(e+1)/E in epoch e of E; `constant` is α_T.
        beta: β, the weight of L_kl, from the deepest head to the others (equation 7).
        gamma: γ, the weight of L_feat, the distance between pooled features (equation 8).
        temperature: T of L_kl (equation 7).
        feature_target: what the heads' features are drawn to: the backbone's last feature, or
            the deepest head's.
        hierarchical_labels: whether the heads tell the joint label of class and turn. Without,
            they are C wide and tell the class of each view, turned or not: equations 2, 5, 7 and
            8 stay, over all stages and views, with y for 4y + j. So the views and the heads are
            the same, and what is left away is the self-supervised label alone.
    """

    least_stages: ClassVar[int] = 1
    recipe: ClassVar[Recipe] = Recipe(optimizer=OptimizerConfig(milestones=(150 / 240, 210 / 240)))

    alpha: float = 0.8
    alpha_schedule: Literal["linear", "constant"] = "linear"
    beta: float = 1.0
    gamma: float = 0.05
    temperature: float = 3.0
    feature_target: Literal["backbone", "deepest"] = "backbone"
    hierarchical_labels: bool = True

    def __post_init__(self) -> None:
        self.check("alpha", 0, 1)
        self.check("beta", 0, float("inf"))
        self.check("gamma", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)

    @property
    def needs(self) -> Needs:
        """Images that can be turned by quarters."""
        return Needs(square=True)

    def memories(self, num_classes: int, stages: int) -> tuple[tuple[int, ...], ...]:
        """Of the classes; and of what every head tells, of each of the 4 views."""
        width = 4 * num_classes if self.hierarchical_labels else num_classes
        return (num_classes,), (stages, 4, width)
