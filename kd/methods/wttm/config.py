"""WTTM: Transformed Teacher Matching, each sample weighted by how soft its teacher is."""

from dataclasses import dataclass

from kd.methods.ttm.config import Config as TransformedTeacher


@dataclass(frozen=True, kw_only=True)
class Config(TransformedTeacher):
    """As TTM (Zheng and Yang 2024, equation 15); b is about ten times smaller."""

    gamma: float = 0.2
    beta: float = 4.0
