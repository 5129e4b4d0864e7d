"""The search: Ray Tune and Ray Train, Optuna, MLflow, and the command lines.

For other projects and notebooks: `from tuning import best_config, run_compare,
run_confirm, run_search`.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any


def _check_neighbours() -> None:
    """Raise, as `kd.shadows` does, unless this project's other packages are found beside this one.

    Before any of them is imported: a person's own kd.py would run, and lack everything.
    """
    for name in ("kd", "search_spaces"):
        spec = find_spec(name)
        found = Path((spec and spec.origin) or ".").absolute()
        if spec is None or found.parent.parent == Path(__file__).absolute().parent.parent:
            continue
        sentence = (
            f"{found} hides this project's package {name}; rename it, work in another folder, or "
            "type kd-search, kd-train and so on instead of python -m."
        )
        if sys.argv[:1] != ["-m"]:
            raise ImportError(sentence)
        sys.stderr.write(f"error: {sentence}\n")
        sys.exit(2)


_check_neighbours()
# It looks for others that are hidden, which only here ends a command without a traceback.
import kd  # noqa: E402, F401

if TYPE_CHECKING:
    from tuning.python.compared import run_compare
    from tuning.python.result import run_confirm
    from tuning.python.search import run_search
    from tuning.tracking.lookup import best_config

__all__ = ["best_config", "run_compare", "run_confirm", "run_search"]
_HOMES = {
    "best_config": "tuning.tracking.lookup",
    "run_compare": "tuning.python.compared",
    "run_confirm": "tuning.python.result",
    "run_search": "tuning.python.search",
}


def __getattr__(name: str) -> Any:
    # Submodules that need neither Ray nor MLflow must not pay for the registry's import.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
