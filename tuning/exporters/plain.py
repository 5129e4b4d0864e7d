"""Formats that hold any configuration whole."""

import pprint
import re
from collections.abc import Iterator
from typing import Any

from kd.config import Section, TrainConfig
from kd.errors import UserError
from kd.text import as_json
from tuning.exporters._writers import as_command, as_yaml, check_line


def yaml_text(config: TrainConfig) -> str:
    """YAML, which kd.train runs as it is."""
    return config.to_yaml()


def json_text(config: TrainConfig) -> str:
    """JSON, which kd.train runs as it is."""
    return config.to_json()


def toml_text(config: TrainConfig) -> str:
    """TOML; a value of None, which TOML lacks, is left out and read as the default."""
    tree = _without_none(config, "toml")
    for name, text in _texts(tree):
        if not text.isascii() and re.search("[\ud800-\udfff]", text):
            check_line("toml", name, text)
    top = {name: value for name, value in tree.items() if not isinstance(value, dict)}
    lines = [f"{name} = {as_json(value)}" for name, value in top.items()]
    for name, section in tree.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {as_json(value)}" for key, value in section.items()]
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

    Raises:
        UserError: a text means something else to a shell than to a reader of .env files.
    """
    lines = []
    for name, value in _leaves(_without_none(config, "env")).items():
        text = value if isinstance(value, str) else as_json(value)
        # Within '…' a shell has no escapes, and a .env file has them and fills in ${…}.
        check_line("env", name, text, r"['\\]|\$\{")
        lines.append(f"KD_{name.upper().replace('.', '__')}={as_command([text])}")
    return "".join(lines)


def flags_text(config: TrainConfig) -> str:
    """One line of flags as tyro and argparse read them: `--optimizer.lr 0.05 --kd.lambda_b 3 1`.

    Raises:
        UserError: a text has no place on a line, or means something else to tyro.
    """
    words: list[str] = []
    leaves = _leaves(_without_none(config, "flags"))
    # Empty, as it must be: to a reader of flags a list of sections is no flag at all.
    del leaves["further_teachers"]
    for name, value in leaves.items():
        values = value if isinstance(value, list) else [value]
        # A flag may have no value that looks like another one, and None is none.
        check_line("flags", name, str(value), "^-|^None$" if isinstance(value, str) else "")
        words += [f"--{name}", *(str(v) for v in values)]
    return as_command(words)


def hydra_text(config: TrainConfig) -> str:
    """A Hydra config-group file, for example conf/tuned/NAME.yaml, merged at the root."""
    tree = config.to_dict()
    for name, text in _texts(tree):
        if text == "???":
            check_line("hydra", name, text, re.escape(text))
    return f"# @package _global_\n{as_yaml(_literal(tree))}"


def _literal(value: Any) -> Any:
    """The same tree for OmegaConf, which would fill in what stands in `${…}`."""
    if isinstance(value, dict):
        return {name: _literal(inner) for name, inner in value.items()}
    if not isinstance(value, str) or "${" not in value:
        return value
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value)


def _texts(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names and values of those that are text."""
    return ((name, value) for name, value in _leaves(tree).items() if isinstance(value, str))


def _without_none(config: TrainConfig, target: str) -> dict[str, Any]:
    """The configuration's tree without the values of None, which must be defaults.

    UserError for several teachers too, and for assistants: neither a list of sections nor a
    section in another has a place there.
    """
    for name, there in (
        ("further_teachers", config.further_teachers),
        ("teacher.teacher", config.teacher.teacher),
    ):
        if there:
            raise UserError(
                f"{target} cannot express {name}: it has no word for one teacher beside or before "
                "another; export to yaml instead."
            )
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
