"""HSSAKD: two networks with heads for labels and rotations learn beside each other."""

from dataclasses import dataclass

from kd.methods.config import TurnedConfig


@dataclass(frozen=True, kw_only=True)
class Config(TurnedConfig):
    """The weights of Yang et al. 2021, of two networks that learn from each other."""
