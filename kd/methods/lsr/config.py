"""LSR, label smoothing: cross-entropy with a target that is not sure."""

from dataclasses import dataclass

from kd.methods.ce.config import Config as CrossEntropy


@dataclass(frozen=True, kw_only=True)
class Config(CrossEntropy):
    """As CE, with the usual ε 0.1 (Szegedy et al. 2016, section 7)."""

    label_smoothing: float = 0.1
