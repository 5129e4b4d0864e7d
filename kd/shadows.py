"""Files of a person's own that Python imports instead of what this project needs.

Where Python is started with -m, or on a script, it looks into that folder before any other: a
yaml.py there, or a kd.py, ends every command with an error that names neither.
"""

import os
import sys
from typing import NoReturn

_OTHERS = (
    "boto3 jinja2 markupsafe matplotlib mlflow numpy onnx onnxscript optuna pandas "
    "PIL pyarrow pydantic ray rich safetensors scipy sklearn torch torchvision tyro "
    "yaml"
)
_UNUSED = ("antigravity", "idlelib", "test", "this", "tkinter", "turtle", "turtledemo")


def hiding() -> str | None:
    """A file or folder that hides a library, Python's own among them; None if there is none."""
    if sys.flags.safe_path or not sys.path:
        return None
    folder = sys.path[0] or os.getcwd()
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isdir(folder) or os.path.realpath(folder) == os.path.realpath(own):
        return None
    names = {*sys.stdlib_module_names, *_OTHERS.split()} - {*sys.builtin_module_names, *_UNUSED}
    for entry in os.listdir(folder):
        path = os.path.join(folder, entry)
        name, suffix = os.path.splitext(entry)
        file = path if suffix == ".py" else os.path.join(path, "__init__.py")
        # One that was imported before is out of the file's reach, unless it is the file.
        known = getattr(sys.modules[name], "__file__", None) if name in sys.modules else file
        if name in names and known == file and os.path.isfile(file):
            return path
    return None


def refuse(path: object, hidden: str) -> NoReturn:
    """Say that `path` hides `hidden`, and end: a command with one sentence, else ImportError."""
    sentence = (
        f"{path} hides {hidden}; rename it, work in another folder, or type kd-search, kd-train "
        "and so on instead of python -m."
    )
    # Python puts the name of a command there only after it imported the command's package.
    if sys.argv[:1] != ["-m"]:
        raise ImportError(sentence)
    sys.stderr.write(f"error: {sentence}\n")
    sys.exit(2)
