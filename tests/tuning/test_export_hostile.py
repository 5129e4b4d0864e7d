"""Names that are code somewhere, through every exporter, read by the target's own reader."""

import json
import os
import random
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_export import WHOLE, read_back

from kd.config import TeacherConfig, TrainConfig
from kd.errors import UserError
from tuning.exporters import FORMATS, export

METHODS = {"pskd": "pskd"}
"""What a format that holds no `kd` is given."""
MOST_REFUSED = {"toml": 20, "hydra": 1, "env": 92, "flags": 70}
"""Of about 110 texts; the other formats hold all."""
PIECES = [
    *("\n", "\r", "\t", "\0", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029"),
    *(
        "touch canary",
        "$(touch canary)",
        "`touch canary`",
        "';touch canary;'",
        "open('canary','w')",
    ),
    *("${oc.env:HOME}", "\\${x}", "${", "}", "\\", "'", '"', "'''", "#", " #", ": ", "- ", "--"),
    *("\U0001f600", "\U0010ffff", "\udc80", "é", "\ufeff", "%", "{", "[", "&a", "*a", "!!python/x"),
]
WORDS = ["", "None", "null", "true", "on", "1e5", "0x1f", "1_0", "~", "???", "=", "--help", "-1"]


def hostile() -> Iterator[str]:
    """Every piece among harmless text, every special word, and pieces at random."""
    draw = random.Random(0)
    yield "parquet:/data\ntouch canary\n"
    yield from WORDS
    yield from (f"a{piece}b" for piece in PIECES)
    yield from ("".join(draw.choices(PIECES, k=draw.randint(2, 6))) for _ in range(60))


def config_of(target: str, text: str) -> TrainConfig:
    """A configuration with `text` wherever a person's own text can be."""
    config = TrainConfig.paper(METHODS.get(target, "kd"), "resnet20", "cifar100")
    return replace(config, dataset=text, teacher=TeacherConfig(weights=f"{text}.safetensors"))


def exported(target: str) -> list[tuple[TrainConfig, str]]:
    """What the format holds; whatever it cannot hold is refused in one printable sentence."""
    held: list[tuple[TrainConfig, str]] = []
    refused: list[str] = []
    for text in hostile():
        config = config_of(target, text)
        try:
            held.append((config, export(config, target)))
        except UserError as error:
            refused.append(str(error))
    assert all(sentence.isprintable() and "export to yaml" in sentence for sentence in refused)
    assert len(refused) <= MOST_REFUSED.get(target, 0)
    return held


def without_none(config: TrainConfig) -> dict[str, Any]:
    plain = config.to_dict()
    return {
        name: {k: v for k, v in value.items() if v is not None}
        if isinstance(value, dict)
        else value
        for name, value in plain.items()
    }


@pytest.mark.parametrize("target", sorted(set(FORMATS) - set(WHOLE)))
def test_a_comment_stays_a_comment(target: str) -> None:
    usual = export(config_of(target, "cifar10"), target)
    code = [line for line in usual.splitlines() if not line.startswith("#")]
    for _, text in exported(target):
        assert [line for line in text.splitlines() if not line.startswith("#")] == code
        if target != "pskd":
            assert yaml.safe_load(text) == yaml.safe_load(usual)


def test_a_shell_runs_the_command_alone(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "python3"
    stub.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    stub.chmod(0o700)
    (tmp_path / "empty").mkdir()
    for _, text in exported("pskd"):
        done = shell(text, tmp_path / "empty", PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
        assert done == shlex.split(text.splitlines()[-1])[1:]


def shell(script: str, folder: Path, **environment: str) -> list[str]:
    """The words that the script prints, each with a NUL after it; it may leave nothing behind."""
    file = folder.with_name("script.sh")
    file.write_bytes(script.encode("utf-8"))
    assert subprocess.run(["sh", "-n", file], capture_output=True).returncode == 0
    done = subprocess.run(
        ["sh", file], cwd=folder, capture_output=True, env=os.environ | environment, check=True
    )
    assert not any(folder.iterdir())
    return done.stdout.decode().split("\0")[:-1]


def test_a_shell_and_a_env_reader_find_the_same_values(tmp_path: Path) -> None:
    from dotenv import dotenv_values

    (tmp_path / "empty").mkdir()
    for config, text in exported("env"):
        file = tmp_path / "tuned.env"
        file.write_text(text)
        names = ["KD_DATASET", "KD_TEACHER__WEIGHTS", "KD_OPTIMIZER__LR"]
        show = "".join(f'printf "%s\\0" "${name}"\n' for name in names)
        expected = [config.dataset, config.teacher.weights, str(config.optimizer.lr)]
        assert shell(text + show, tmp_path / "empty") == expected
        read = dotenv_values(file)
        assert [read[name] for name in names] == expected


def test_flags_reach_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    held = exported("flags")
    for config, text in held:
        words = shell(f'printf "%s\\0" {text}', tmp_path / "empty")
        assert words == shlex.split(text)
        assert words[words.index("--dataset") + 1] == config.dataset
    for config, text in held[::8]:
        assert read_back("flags", text, tmp_path, config) == config


@pytest.mark.parametrize("target", ["yaml", "json", "toml"])
def test_a_file_of_values_is_read_back(target: str) -> None:
    readers = {
        "yaml": [yaml.safe_load],
        # A JSON file is read as YAML here, and as JSON elsewhere.
        "json": [yaml.safe_load, json.loads],
        "toml": [tomllib.loads],
    }
    for config, text in exported(target):
        plain = without_none(config) if target == "toml" else config.to_dict()
        for read in readers[target]:
            assert read(text) == plain


def test_hydras_reader_fills_nothing_in(tmp_path: Path) -> None:
    omegaconf = pytest.importorskip("omegaconf")
    for config, text in exported("hydra"):
        read = omegaconf.OmegaConf.create(text)
        assert omegaconf.OmegaConf.to_container(read, resolve=True) == config.to_dict()


def test_jsonargparse_and_yacs_find_the_same_values() -> None:
    yacs = pytest.importorskip("yacs.config")
    jsonargparse = pytest.importorskip("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    for section in ("seed_everything", "trainer", "model", "data", "optimizer", "lr_scheduler"):
        parser.add_argument(f"--{section}", type=Any)
    usual = parser.parse_string(export(config_of("lightning", "cifar10"), "lightning"))
    for _, text in exported("lightning"):
        assert parser.parse_string(text) == usual
    usual = yacs.CfgNode.load_cfg(export(config_of("mdistiller", "cifar10"), "mdistiller"))
    for _, text in exported("mdistiller"):
        assert yacs.CfgNode.load_cfg(text) == usual


RUN = """
import json, sys
for text in json.load(sys.stdin):
    scope = {}
    exec(compile(text.encode(), "tuned.py", "exec"), scope)
    print(json.dumps(scope["config"].to_dict()))
"""


def test_a_module_builds_the_configuration_and_does_nothing_else(tmp_path: Path) -> None:
    held = exported("python")
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([text for _, text in held]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [c.to_dict() for c, _ in held]
    assert not any(tmp_path.iterdir())
