"""The former name of `kd.training.trainer`, for code that says so."""

from kd.training.trainer import DivergedError, Place, Trainer

__all__ = ["DivergedError", "Place", "Trainer"]
