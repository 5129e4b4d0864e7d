"""RKD, Relational Knowledge Distillation (Park et al. 2019)."""

from torch import Tensor

from kd.backbones.staged import Outputs
from kd.methods.base import Batch
from kd.methods.rkd.config import Config
from kd.methods.taught import FeatureDistillation
from kd.parts.relations import angle_relation, distance_relation


class RelationalDistillation(FeatureDistillation[Config]):
    """L is the weighted sum of the distances' and the angles' relations of pooled features."""

    def features(self, own: Outputs, taught: Outputs, batch: Batch) -> Tensor:
        """L of both networks' outputs for a batch."""
        distance = self.numbers["distance_weight"] * distance_relation(own.pooled, taught.pooled)
        return distance + self.numbers["angle_weight"] * angle_relation(own.pooled, taught.pooled)


METHOD = RelationalDistillation
