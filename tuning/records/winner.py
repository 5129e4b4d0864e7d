"""The best configuration of a sweep, as its folder holds it."""

from pathlib import Path

from kd.config import TrainConfig
from kd.errors import UserError, unknown
from tuning.records.settings import BEST_CONFIG


def sweep_config(storage: Path, name: str) -> TrainConfig:
    """The best configuration that the sweep `name` wrote into its folder.

    Raises:
        UserError: there is no such sweep, or it has no best configuration, or a damaged one.
    """
    path = storage / name / BEST_CONFIG
    if not path.exists():
        known = [found.parent.name for found in storage.glob(f"*/{BEST_CONFIG}")]
        if not known:
            raise UserError(
                f"No sweep under {storage} has a best configuration; run one, or give --storage."
            )
        raise unknown("sweep with a best configuration", name, known)
    return TrainConfig.load(path)
