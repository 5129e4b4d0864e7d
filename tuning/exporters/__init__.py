"""A tuned configuration in other projects' formats: one function per format.

The contract of an exporter, checked for every one of them by the same tests: a
`TrainConfig` goes in, text comes out that means the same training there. Whatever of the
method, the optimiser, the epochs or the batch size the target cannot express raises
`UserError` by name; what describes the data and the run is listed in a comment where the
target has no place for it. `Values` keeps the account.
"""

from collections.abc import Callable

from kd import plugins
from kd.config import TrainConfig
from kd.errors import unknown
from tuning.exporters import lightning, mdistiller, plain, pskd, timm, torchdistill

FORMATS: dict[str, Callable[[TrainConfig], str]] = {
    "yaml": plain.yaml_text,
    "json": plain.json_text,
    "toml": plain.toml_text,
    "python": plain.python_text,
    "env": plain.env_text,
    "flags": plain.flags_text,
    "hydra": plain.hydra_text,
    "lightning": lightning.export,
    "torchdistill": torchdistill.export,
    "mdistiller": mdistiller.export,
    "pskd": pskd.export,
    "timm": timm.export,
}


def export(config: TrainConfig, target: str) -> str:
    """The text of `config` in the format `target`.

    Raises:
        UserError: there is no such format, or it cannot express the configuration.
    """
    if target in FORMATS:
        return FORMATS[target](config)
    if target not in plugins.added(plugins.FORMATS):
        raise unknown("format", target, [*FORMATS, *plugins.added(plugins.FORMATS)])
    text = plugins.made(plugins.FORMATS, target, config)
    if not isinstance(text, str):
        why = f"gives {type(text).__name__}, and a format gives the text of a file"
        raise plugins.wrong(plugins.FORMATS, target, why)
    return text
