"""SP, Similarity-Preserving distillation (Tung & Mori 2019)."""

from torch import Tensor

from kd.backbones.staged import Outputs
from kd.methods.sp.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.relations import similarity_distance


class SimilarityPreserving(FeatureDistillation[Config]):
    """L compares the similarities of samples in the last stage."""

    def features(self, own: Outputs, taught: Outputs) -> Tensor:
        """L of both networks' outputs."""
        return similarity_distance(own.stages[-1], taught.stages[-1])


METHOD = SimilarityPreserving
