"""LSR, label smoothing (Szegedy et al. 2016)."""

from kd.methods.ce.loss import CrossEntropy


class LabelSmoothing(CrossEntropy):
    """CE(z, y), y smoothed by ε."""


METHOD = LabelSmoothing
