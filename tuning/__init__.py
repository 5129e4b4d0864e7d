"""The search: Ray Tune and Ray Train, Optuna, MLflow, and the command lines.

For other projects: `from tuning import best_config`.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # Submodules that need neither Ray nor MLflow must not pay for the registry's import.
    if name == "best_config":
        from tuning.tracking.lookup import best_config

        return best_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
