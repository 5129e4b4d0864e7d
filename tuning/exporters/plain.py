"""Formats that hold any configuration whole."""

import json
import pprint
import shlex
from typing import Any

from kd.config import Section, TrainConfig
from kd.errors import UserError


def yaml_text(config: TrainConfig) -> str:
    """YAML, which kd.train runs as it is."""
    return config.to_yaml()


def json_text(config: TrainConfig) -> str:
    """JSON, which kd.train runs as it is."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def toml_text(config: TrainConfig) -> str:
    """TOML; a value of None, which TOML lacks, is left out and read as the default."""
    tree = _without_none(config, "toml")
    top = {name: value for name, value in tree.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    for name, section in tree.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    return "\n".join(lines) + "\n"


def python_text(config: TrainConfig) -> str:
    """A Python module that builds the same `TrainConfig` under the name `config`."""
    sections = sorted(
        type(value).__name__
        for name, value in vars(config).items()
        if isinstance(value, Section) and name != "kd"
    )
    return (
        f"from kd.config import {', '.join([*sections, 'TrainConfig'])}\n"
        f"from {type(config.kd).__module__} import Config\n\n"
        f"config = {pprint.pformat(config, width=88)}\n"
    )


def env_text(config: TrainConfig) -> str:
    """Lines for a shell or a .env file: `KD_OPTIMIZER__LR=0.05`.

    Names as pydantic-settings reads them with `env_prefix="KD_"` and
    `env_nested_delimiter="__"`; lists are JSON.
    """
    lines = []
    for name, value in _leaves(_without_none(config, "env")).items():
        text = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"KD_{name.upper().replace('.', '__')}={shlex.quote(text)}")
    return "\n".join(lines) + "\n"


def flags_text(config: TrainConfig) -> str:
    """One line of flags as tyro and argparse read them: `--optimizer.lr 0.05 --kd.lambda_b 3 1`."""
    words: list[str] = []
    for name, value in _leaves(_without_none(config, "flags")).items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name}", *(str(v) for v in values)]
    return shlex.join(words) + "\n"


def hydra_text(config: TrainConfig) -> str:
    """A Hydra config-group file, for example conf/tuned/NAME.yaml, merged at the root."""
    return f"# @package _global_\n{config.to_yaml()}"


def _without_none(config: TrainConfig, target: str) -> dict[str, Any]:
    """The configuration's tree without the values of None, which must be defaults."""
    tree = {
        name: {k: v for k, v in value.items() if v is not None}
        if isinstance(value, dict)
        else value
        for name, value in config.to_dict().items()
        if value is not None
    }
    if TrainConfig.from_dict(tree) != config:
        missing = next(name for name, value in config.flat().items() if value is None)
        raise UserError(f"{target} cannot express {missing}=None; export to yaml instead.")
    return tree


def _leaves(tree: dict[str, Any]) -> dict[str, Any]:
    """Dotted names to values; lists stay whole."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            leaves[name] = value
    return leaves
