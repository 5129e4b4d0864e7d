"""The checks of the files of golden numbers, by families of methods."""

from importlib import import_module
from pathlib import Path


def load_checks() -> None:
    """Let every module beside this one say which files it checks."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        import_module(f"{__name__}.{path.stem}")
