"""What the configuration of every method has in common."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeVar

from kd.data.needs import Needs
from kd.optimizer import OptimizerConfig
from kd.section import Section

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone

EPOCHS = 1_000_000
"""As many as a run, or a part of it, may have."""
TEMPERATURES = (1e-3, 1e12)
"""Between which a loss is computed with the precision of the logits: `kd.parts.losses`."""
USUAL_TEMPERATURES = (1e-3, 64.0)
"""Between which that holds for what is no divergence of all classes."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a paper trains: epochs, batch size, the optimizer and its schedule.

    The optimizer's milestones and warm-up are fractions of the training, so that a recipe keeps
    its shape when it is shortened.
    """

    epochs: int = 240
    batch_size: int = 64
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(milestones=(150 / 240, 180 / 240, 210 / 240))
    )


IMAGENET = Recipe(
    epochs=90,
    batch_size=256,
    optimizer=OptimizerConfig(lr=0.1, weight_decay=1e-4, milestones=(30 / 90, 60 / 90)),
)
"""ImageNet's usual recipe: DTSKD trains all that it compares so (Li et al. 2024, section 4.1)."""


@dataclass(frozen=True, kw_only=True)
class MethodConfig(Section):
    """The hyperparameters of one method; frozen, checked when built.

    A subclass is named `Config`, stands alone in the `config.py` of the method's folder, gives
    every field the paper's default, and raises `UserError` from `__post_init__` for a value
    that makes no sense: `self.check("alpha", 0, 1)`.
    """

    _prefix = "kd."

    recipe: ClassVar[Recipe] = Recipe()
    """The paper's training recipe; `recipe_for` may change it for a backbone."""
    teacher: ClassVar[Literal["none", "self", "network"]] = "none"
    """Whether training needs a trained copy of the student, or a network of its own choice."""
    most_teachers: ClassVar[int] = 1
    """How many networks it can learn from at once, where it learns from any."""
    least_stages: ClassVar[int] = 0
    """How many stages networks must have at least: the student's, and those of its teachers. What
    watches nothing but logits needs none, and can be trained on a network taken as a whole."""
    takes_mixed: ClassVar[bool] = False
    """Whether it takes labels (B, C) that are probabilities, of images that are mixed."""
    in_epochs: ClassVar[tuple[str, ...]] = ()
    """Fields that count epochs of a training as long as the recipe's."""
    beginning: ClassVar[tuple[str, ...] | None] = None
    """The fields that the phases before the main one depend on, where they depend on nothing else
    that a search varies: then one training of them is every trial's. None where they may."""

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """The paper's training recipe for this backbone and data set.

        On `imagenet` it is `IMAGENET`, unless the method's own paper says otherwise.
        """
        return IMAGENET if dataset == "imagenet" else cls.recipe

    @classmethod
    def paper(cls, backbone: str, dataset: str) -> Self:
        """The paper's values for this backbone and data set."""
        return cls()

    @property
    def needs(self) -> Needs:
        """What the loss takes of a batch; most need nothing beside images and labels."""
        return Needs()

    @property
    def cycles(self) -> int:
        """How often the main phase goes through the course of its learning rate."""
        return 1

    def memories(self, num_classes: int, stages: int) -> tuple[tuple[int, ...], ...]:
        """The shape (*rows, C) of every soft-label memory, on a backbone of so many stages.

        So what they cost is known before anything is built.
        """
        return ()

    def check_stages(self, own: int, taught: int) -> None:
        """Raise UserError where it makes no sense for a student and a teacher of so many stages.

        So that no teacher is trained before that is found. Most fit all that have `least_stages`.
        """

    def check_teacher(self, network: "StagedBackbone") -> None:
        """Raise UserError where a teacher of that form cannot be learnt from.

        So that none is trained before that is found.
        """

    @property
    def embeddings(self) -> int:
        """How many numbers are kept of every training sample beside soft labels, in float32."""
        return 0


TAUGHT_IMAGENET = Recipe(
    epochs=100,
    batch_size=512,
    optimizer=OptimizerConfig(lr=0.2, weight_decay=1e-4, milestones=(0.3, 0.6, 0.9)),
)


def for_compact(recipe: Recipe, backbone: str) -> Recipe:
    """The recipe of Tian et al. 2020 (CRD), who train compact networks at a smaller rate."""
    if not backbone.startswith(("mobilenet", "shufflenet")):
        return recipe
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=0.01))


C = TypeVar("C", bound=MethodConfig)


def stretched(config: C, epochs: int, usual: int) -> C:
    """The same for `epochs` instead of the `usual`: what counts epochs keeps its part of them."""
    share = min(max(epochs, 1), EPOCHS) / usual
    counts = {name: getattr(config, name) for name in config.in_epochs}
    return replace(config, **{n: max(1, round(c * share)) if c else 0 for n, c in counts.items()})


@dataclass(frozen=True, kw_only=True)
class TaughtConfig(MethodConfig):
    """Of a method that learns from a network of another form, trained before."""

    teacher: ClassVar[Literal["none", "self", "network"]] = "network"

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """The recipe of Tian et al. 2020 (CRD), whose compact networks have a smaller rate.

        On `imagenet` that of mdistiller's `configs/imagenet`.
        """
        return TAUGHT_IMAGENET if dataset == "imagenet" else for_compact(cls.recipe, backbone)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The paper's values for this pair of backbones and data set.

        `teacher` None is one whose backbone is not known.
        """
        return cls()


@dataclass(frozen=True, kw_only=True)
class LogitConfig(TaughtConfig):
    """Of a method that takes nothing of a teacher but its logits: several teach by their mean."""

    most_teachers: ClassVar[int] = 8


@dataclass(frozen=True, kw_only=True)
class FeatureConfig(TaughtConfig):
    """Of a method that learns from a teacher's features: γ·CE + α·T²·KL_T + β·L.

    Tian et al. 2020 (CRD) compare all of them so, with γ 1 and α 0; α 0.9 with γ 0.1 adds KD.

    Attributes:
        beta: β, the weight of what the method learns.
        ce_weight: γ.
        kd_weight: α.
        temperature: T.
    """

    least_stages: ClassVar[int] = 1
    takes_mixed: ClassVar[bool] = True

    beta: float = 1.0
    ce_weight: float = 1.0
    kd_weight: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        for name in ("beta", "ce_weight", "kd_weight"):
            self.check(name, 0, float("inf"))
        self.check("temperature", *TEMPERATURES)


@dataclass(frozen=True, kw_only=True)
class TurnedConfig(MethodConfig):
    """Of HSAKD and HSSAKD: auxiliary heads tell labels and rotations, and networks compare both.

    Attributes:
        alpha: the weight of the divergence of all views' logits.
        beta: the weight of the divergences of the heads.
        temperature: T of both.
    """

    recipe: ClassVar[Recipe] = replace(
        Recipe(), optimizer=replace(Recipe().optimizer, nesterov=True)
    )
    least_stages: ClassVar[int] = 1

    alpha: float = 1.0
    beta: float = 1.0
    temperature: float = 3.0

    def __post_init__(self) -> None:
        self.check("alpha", 0, float("inf"))
        self.check("beta", 0, float("inf"))
        self.check("temperature", *TEMPERATURES)

    @property
    def needs(self) -> Needs:
        """Images that can be turned by quarters."""
        return Needs(square=True)

    @classmethod
    def recipe_for(cls, backbone: str, dataset: str) -> Recipe:
        """The authors' commands: compact networks have a smaller rate."""
        return for_compact(super().recipe_for(backbone, dataset), backbone)


@dataclass(frozen=True, kw_only=True)
class WarmedConfig(LogitConfig):
    """Of a logit method whose distillation grows over the first epochs."""

    in_epochs: ClassVar[tuple[str, ...]] = ("warmup",)

    warmup: int = 20

    def grown(self, epoch: int) -> float:
        """W epochs' share: min((e+1)/W, 1) in epoch e, counted from 0."""
        return min((epoch + 1) / self.warmup, 1.0) if self.warmup else 1.0
