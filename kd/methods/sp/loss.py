"""SP, Similarity-Preserving distillation (Tung & Mori 2019)."""

from torch import Tensor

from kd.backbones.staged import Outputs
from kd.methods.base import Batch
from kd.methods.sp.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.relations import similarity_distance


class SimilarityPreserving(FeatureDistillation[Config]):
    """L compares the similarities of samples in the last stage."""

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        return similarity_distance(own.stages[-1], taught.stages[-1])


METHOD = SimilarityPreserving
