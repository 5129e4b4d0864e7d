"""WKD-L: the teacher's predictions are moved to the student's, at the price of class distances."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from kd.methods.config import USUAL_TEMPERATURES, TaughtConfig

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone

PUBLISHED = {
    ("resnet32x4", "resnet8x4"): (8.0, 600.0),
    ("wrn_40_2", "shufflenetv1"): (6.0, 200.0),
}
"""T and γ of the pairs in the authors' `configs/cifar100/wkd_l`."""


@dataclass(frozen=True, kw_only=True)
class Config(TaughtConfig):
    """The weights of Lv et al. 2024, section 3.1.

    Attributes:
        gamma: γ, the weight of the Wasserstein distance.
        temperature: T of both networks' other classes.
        sharpness: κ; moving from class to class costs 1 − exp(−κ·D).
        regularisation: ε of Sinkhorn's iterations.
        iterations: how many there are.
        decay_start: after which fraction of the epochs γ falls to 0, by half a cosine.
        class_distance: what D is: `features` 1 − CKA of two classes' features, `weights` 1 − the
            cosine of their rows of the classifier; both are the teacher's.
    """

    least_stages: ClassVar[int] = 1

    gamma: float = 600.0
    temperature: float = 8.0
    sharpness: float = 1.0
    regularisation: float = 0.05
    iterations: int = 10
    decay_start: float = 150 / 240
    class_distance: Literal["features", "weights"] = "features"

    def __post_init__(self) -> None:
        self.check("gamma", 0, float("inf"))
        self.check("temperature", *USUAL_TEMPERATURES)
        self.check("sharpness", 0, 100, open_low=True)
        # Below it exp(−cost/ε) is 0 in single precision.
        self.check("regularisation", 0.02, 100)
        self.check("iterations", 1, 1000)
        self.check("decay_start", 0, 1)

    def check_teacher(self, network: "StagedBackbone") -> None:
        """UserError where D is to be of a classifier that it does not have."""
        if self.class_distance == "weights":
            from kd.parts.classes import weight_distances

            weight_distances(network)

    @classmethod
    def paper(cls, backbone: str, dataset: str, teacher: str | None = None) -> Self:
        """The values of the authors' configurations, by the pair, and on `imagenet`."""
        if dataset == "imagenet":
            if backbone == "resnet18":
                return cls(gamma=30.0, temperature=2.0, decay_start=0.0)
            return cls(gamma=25.0, temperature=2.0, sharpness=2.0, decay_start=0.0)
        if backbone == "shufflenetv1" and teacher is None:
            teacher = "wrn_40_2"
        temperature, gamma = PUBLISHED.get((teacher or "", backbone), (8.0, 600.0))
        return cls(temperature=temperature, gamma=gamma)
