"""CRD, Contrastive Representation Distillation (Tian et al. 2020)."""

from dataclasses import dataclass
from typing import ClassVar

from kd.data.needs import Needs
from kd.methods.config import FeatureConfig


@dataclass(frozen=True, kw_only=True)
class Config(FeatureConfig):
    """The paper's weight, and what is contrasted.

    Attributes:
        beta: β; 0.8.
        negatives: K, samples of other classes that each sample is contrasted with.
        width: of the embeddings, of which two are kept of every training sample.
        contrast_temperature: τ of the contrast; `temperature` is that of KD beside it.
        momentum: what stays of a sample's embedding when it is seen again.
    """

    takes_mixed: ClassVar[bool] = False

    beta: float = 0.8
    negatives: int = 16384
    width: int = 128
    contrast_temperature: float = 0.07
    momentum: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("negatives", 1, 2**20)
        self.check("width", 1, 2**16)
        self.check("contrast_temperature", 0.01, 100)
        self.check("momentum", 0, 1, open_high=True)

    @property
    def needs(self) -> Needs:
        """Images of several classes."""
        return Needs(others=True)

    @property
    def embeddings(self) -> int:
        """One of the student's and one of the teacher's."""
        return 2 * self.width
