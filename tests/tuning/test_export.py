import json
import os
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones import backbone_names
from kd.config import OptimizerConfig, TeacherConfig, TrainConfig
from kd.errors import UserError
from kd.methods import method_names
from kd.optimizer import learning_rate
from kd.parts.losses import cross_entropy, distillation_kl
from tuning.export import Flags, write
from tuning.exporters import FORMATS, export
from tuning.exporters._values import Values

WHOLE = ("yaml", "json", "toml", "python", "env", "flags", "hydra")


def paper(method: str, **changes: Any) -> TrainConfig:
    return TrainConfig.paper(method, "resnet20", "cifar100", **changes)


def tuned(method: str) -> TrainConfig:
    """No value is left at a round default, so that a lost one is seen."""
    config = paper(method, seed=3)
    optimizer = replace(config.optimizer, lr=0.0371, weight_decay=1e-5)
    return replace(config, optimizer=optimizer, batch_size=96)


# -- the contract -----------------------------------------------------------------------------


def documented() -> dict[tuple[str, str], bool]:
    """Whether docs/export.md says that a format can carry a method."""
    lines = (Path(__file__).parents[2] / "docs" / "export.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| format | methods "))
    table = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return table
        formats, which = [cell.strip() for cell in line.split("|")[1:-1]]
        every = which.startswith("all")
        named = set(which.removeprefix("all").removeprefix(" but ").split(", ")) - {""}
        assert named <= set(method_names())
        for target in formats.split(", "):
            table |= {(target, m): (m in named) != every for m in method_names()}
    raise AssertionError("the table has no end")


def test_the_table_in_the_documentation_is_complete() -> None:
    assert set(documented()) == {(t, m) for t in FORMATS for m in method_names()}


@pytest.mark.parametrize(("target", "method"), sorted(documented()))
def test_a_format_holds_every_hyperparameter_or_refuses(target: str, method: str) -> None:
    config = tuned(method)
    if documented()[target, method]:
        text = export(config, target)
        for value in (config.optimizer.lr, config.batch_size, config.epochs):
            assert str(value) in text
        return
    with pytest.raises(UserError) as error:
        export(config, target)
    assert target in str(error.value)
    assert "\n" not in str(error.value)


def test_the_form_of_memories_is_a_circumstance_that_is_told() -> None:
    config = replace(paper("pskd"), history="compressed")
    assert "history=compressed" in export(config, "pskd")
    assert TrainConfig.from_dict(yaml.safe_load(export(config, "yaml"))) == config


def test_a_forgotten_hyperparameter_is_named() -> None:
    values = Values(paper("lsskd"), "elsewhere")
    for name in ("kd.alpha", "kd.alpha_schedule", "kd.beta", "kd.gamma", "kd.feature_target"):
        values.take(name)
    with pytest.raises(UserError, match=r"elsewhere cannot express epochs=240"):
        values.header()
    for name in ("epochs", "batch_size"):
        values.take(name)
    with pytest.raises(UserError, match=r"elsewhere cannot express kd.temperature=3.0"):
        values.check()


@pytest.mark.parametrize(
    ("target", "method", "section", "changes", "named"),
    [
        ("torchdistill", "kd", "optimizer", {"warmup": 0.1}, "optimizer.warmup=0.1"),
        ("torchdistill", "kd", "optimizer", {"schedule": "cosine"}, "optimizer.schedule=cosine"),
        (
            "torchdistill",
            "ce",
            "kd",
            {"label_smoothing": 0.1, "smoothing_spread": "others"},
            "kd.smoothing_spread=others",
        ),
        ("mdistiller", "kd", "kd", {"temperature": 3.5}, "kd.temperature=3.5"),
        ("timm", "kd", "kd", {"standardise": True}, "kd.standardise=true"),
        ("mdistiller", "kd", "optimizer", {"nesterov": True}, "optimizer.nesterov=true"),
        ("mdistiller", "ce", "kd", {"label_smoothing": 0.1}, "kd.label_smoothing=0.1"),
        (
            "mdistiller",
            "kd",
            "teacher",
            {"backbone": "mobilenetv2"},
            "teacher.backbone=mobilenetv2",
        ),
        ("pskd", "pskd", "optimizer", {"momentum": 0.8}, "optimizer.momentum=0.8"),
        ("timm", "kd", "optimizer", {"warmup": 0.1}, "optimizer.warmup=0.1"),
        ("lightning", "lsskd", "optimizer", {"schedule": "cosine"}, "optimizer.schedule=cosine"),
    ],
)
def test_what_a_target_cannot_express_is_named(
    target: str, method: str, section: str, changes: dict[str, Any], named: str
) -> None:
    config = paper(method)
    changed = replace(config, **{section: replace(getattr(config, section), **changes)})
    with pytest.raises(UserError) as error:
        export(changed, target)
    assert f"{target} cannot express {named}" in str(error.value)


# The keys of mdistiller's `cifar_model_dict` whose networks are here too.
MDISTILLER = {
    *("resnet8", "resnet20", "resnet32", "resnet56", "resnet110", "resnet8x4", "resnet32x4"),
    *("ResNet18", "ResNet50", "wrn_16_2", "wrn_40_1", "wrn_40_2", "vgg8", "vgg11", "vgg13"),
    *("vgg16", "MobileNetV2", "ShuffleV1", "ShuffleV2"),
}


def test_mdistiller_knows_a_backbone_by_its_own_name_or_it_is_refused() -> None:
    names, refusals = [], []
    for backbone in backbone_names():
        try:
            text = export(replace(paper("ce"), backbone=backbone), "mdistiller")
            names.append(yaml.safe_load(text)["DISTILLER"]["STUDENT"])
        except UserError as error:
            refusals.append(f"mdistiller cannot express backbone={backbone}" in str(error))
    assert sorted(names) == sorted(MDISTILLER)
    assert all(refusals)


def test_a_method_that_the_target_lacks_is_named() -> None:
    with pytest.raises(
        UserError, match="torchdistill has no lsskd, only at, ce, dist, kd, rkd and vid"
    ):
        export(paper("lsskd"), "torchdistill")


# -- formats that hold everything, read back --------------------------------------------------


def read_back(target: str, text: str, folder: Path, config: TrainConfig) -> TrainConfig:
    if target in ("yaml", "json", "hydra"):
        path = folder / f"config.{target}"
        path.write_text(text)
        return TrainConfig.load(path)
    if target == "toml":
        return TrainConfig.from_dict(tomllib.loads(text))
    if target == "python":
        scope: dict[str, Any] = {}
        exec(text, scope)
        made: TrainConfig = scope["config"]
        return made
    if target == "env":
        return TrainConfig.from_dict(read_env(text))
    # A command line over the same dataclasses, with the method's own section.
    shape = make_dataclass(
        "Shape",
        [("kd", type(config.kd), field(default_factory=type(config.kd)))],
        bases=(TrainConfig,),
        frozen=True,
        kw_only=True,
    )
    options = (tyro.conf.FlagConversionOff,)
    read: TrainConfig = tyro.cli(shape, args=shlex.split(text), config=options)
    return TrainConfig.from_dict(read.to_dict())


def read_env(text: str) -> dict[str, Any]:
    """As a shell passes it on and pydantic-settings nests it."""
    tree: dict[str, Any] = {}
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    script = f"set -a; . /dev/stdin; exec python3 -c '{show}'"
    own = {name: value for name, value in os.environ.items() if not name.startswith("KD_")}
    shell = subprocess.run(
        ["sh", "-c", script], input=text, env=own, capture_output=True, text=True, check=True
    )
    for name, value in json.loads(shell.stdout).items():
        if not name.startswith("KD_"):
            continue
        *sections, last = name.removeprefix("KD_").lower().split("__")
        section = tree
        for part in sections:
            section = section.setdefault(part, {})
        try:
            section[last] = json.loads(value)
        except ValueError:
            section[last] = value
    return tree


@pytest.mark.parametrize("method", method_names())
@pytest.mark.parametrize("target", WHOLE)
def test_the_whole_configuration_comes_back(target: str, method: str, tmp_path: Path) -> None:
    config = tuned(method)
    assert read_back(target, export(config, target), tmp_path, config) == config


def test_hydra_merges_at_the_root() -> None:
    assert export(paper("lsskd"), "hydra").startswith("# @package _global_\n")


# -- the same loss ----------------------------------------------------------------------------


def mdistiller_loss(text: str, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """The sum of the terms of its KD."""
    options = yaml.safe_load(text)["KD"]
    temperature = options["TEMPERATURE"]
    log_student = F.log_softmax(student / temperature, dim=1)
    target = F.softmax(teacher / temperature, dim=1)
    soft = F.kl_div(log_student, target, reduction="none").sum(1).mean() * temperature**2
    loss: Tensor = options["LOSS"]["CE_WEIGHT"] * F.cross_entropy(student, labels)
    return loss + options["LOSS"]["KD_WEIGHT"] * soft


WEIGHTS: list[dict[str, float]] = [
    *({"alpha": alpha} for alpha in (0.0, 0.1, 0.83, 1.0)),
    {"alpha": 0.9, "multiplier": 10.0},
    {"alpha": 0.5, "multiplier": 2.0, "ce_weight": 0.0},
    {"alpha": 0.5, "ce_weight": 1.0},
]


@pytest.mark.parametrize("values", WEIGHTS)
def test_mdistiller_computes_our_loss(values: dict[str, float]) -> None:
    config = paper("kd")
    config = replace(config, kd=replace(config.kd, temperature=3.0, **values))
    hard_weight, soft_weight = config.kd.weights
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 10, generator=generator, dtype=torch.float64)
    labels = torch.arange(8)
    hard = cross_entropy(student, labels).mean()
    soft = distillation_kl(student, teacher, 3.0).mean()
    ours = hard_weight * hard + soft_weight * 3.0**2 * soft
    theirs = mdistiller_loss(export(config, "mdistiller"), student, teacher, labels)
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=0)


# -- the same schedule ------------------------------------------------------------------------


def torch_rates(kwargs: dict[str, Any], lr: float, epochs: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, **kwargs)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def rates_of(target: str, text: str, epochs: int) -> list[float]:
    """The learning rate of every epoch, as the target sets it."""
    if target == "pskd":
        words = shlex.split(text.splitlines()[-1])
        begin, end = words.index("--lr_decay_schedule") + 1, words.index("--lr_decay_rate")
        marks, lr = [int(w) for w in words[begin:end]], float(words[words.index("--lr") + 1])
        rate = float(words[end + 1])
        return [lr * rate ** sum(epoch >= mark for mark in marks) for epoch in range(epochs)]
    tree = yaml.safe_load(text)
    if target == "mdistiller":
        solver = tree["SOLVER"]
        return [
            solver["LR"]
            * solver["LR_DECAY_RATE"] ** sum(epoch > mark for mark in solver["LR_DECAY_STAGES"])
            for epoch in range(1, epochs + 1)
        ]
    lr = tree["optimizer"]["init_args"]["lr"]
    return torch_rates(tree["lr_scheduler"]["init_args"], lr, epochs)


@pytest.mark.parametrize("epochs", [9, 37, 300])
@pytest.mark.parametrize("target", ["lightning", "mdistiller", "pskd"])
def test_the_target_lowers_the_rate_in_our_epochs(target: str, epochs: int) -> None:
    schedule = OptimizerConfig(nesterov=target == "pskd", milestones=(0.34, 0.62), gamma=0.2)
    config = paper("ce", epochs=epochs, optimizer=schedule)
    ours = [learning_rate(schedule, epoch, epochs) for epoch in range(epochs)]
    assert rates_of(target, export(config, target), epochs) == pytest.approx(ours, rel=1e-12)


# -- what else a target must be told ----------------------------------------------------------


def test_lightning_gets_the_methods_values_as_arguments() -> None:
    config = paper("dtskd")
    tree = yaml.safe_load(export(config, "lightning"))
    arguments = tree["model"]["init_args"]
    assert arguments.pop("method") == "dtskd"
    assert arguments.pop("backbone") == "resnet20"
    assert type(config.kd)(**arguments | {"lambda_b": tuple(arguments["lambda_b"])}) == config.kd


def test_a_teacher_known_by_its_file_is_left_to_the_user() -> None:
    config = replace(paper("kd"), teacher=TeacherConfig(weights="t.safetensors"))
    text = export(config, "mdistiller")
    assert "TEACHER" not in yaml.safe_load(text)["DISTILLER"]
    assert "teacher.weights=t.safetensors" in text
    named = replace(config, teacher=TeacherConfig(backbone="resnet56"))
    assert yaml.safe_load(export(named, "mdistiller"))["DISTILLER"]["TEACHER"] == "resnet56"


def test_pskd_is_a_command_of_its_own_main() -> None:
    config = replace(tuned("pskd"), kd=replace(paper("pskd").kd, alpha=0.77))
    command = shlex.split(export(config, "pskd").splitlines()[-1])
    assert command[:5] == ["python3", "main.py", "--PSKD", "--alpha_T", "0.77"]
    assert command[command.index("--end_epoch") + 1] == "300"


# -- the command line -------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    error: str


def command(*words: str) -> Done:
    arguments = [sys.executable, "-m", "tuning.export", *words]
    done = subprocess.run(arguments, capture_output=True, text=True)
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_sweeps_winner_and_a_file_are_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tuned("dtskd")
    (tmp_path / "monday").mkdir()
    best = tmp_path / "monday" / "best_config.yaml"
    best.write_text(config.to_yaml())
    write(Flags(sweep="monday", storage=tmp_path))
    assert capsys.readouterr().out == config.to_yaml()
    output = tmp_path / "best.json"
    write(Flags(config=best, to="json", output=output))
    assert TrainConfig.load(output) == config
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.json", "monday"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"sweep": "mondy"}, "did you mean 'monday'"),
        ({"sweep": "monday", "to": "torchdistil"}, "did you mean 'torchdistill'"),
        ({"sweep": "tuesday"}, "best_config.yaml has no 'dataset'"),
        ({"sweep": "monday", "config": Path("x.yaml")}, "Give one of"),
        ({"method": "lsskd"}, "Which cell"),
        ({"config": Path("gone.yaml")}, "gone.yaml cannot be read"),
        ({"sweep": "monday", "output": Path("gone/best.yaml")}, "gone/best.yaml cannot be written"),
        (
            {"sweep": "monday", "output": Path(".")},
            "cannot be written: it is a folder; give another -o",
        ),
        ({"sweep": "monday", "output": Path(__file__) / "x"}, "x cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, flags: dict[str, Any], complaint: str) -> None:
    for name, text in (
        ("monday", tuned("kd").to_yaml()),
        ("tuesday", "method: kd\nbackbone: resnet8"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best_config.yaml").write_text(text)
    with pytest.raises(UserError, match=complaint) as error:
        write(Flags(storage=tmp_path, **flags))
    assert "\n" not in str(error.value)


def test_the_command_line_ends_with_a_sentence(tmp_path: Path) -> None:
    done = command("--sweep", "none", "--storage", str(tmp_path))
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith("error: No sweep under")
    assert "Traceback" not in done.error


def test_text_is_written_without_ray_and_torch(tmp_path: Path) -> None:
    best = tmp_path / "best.yaml"
    best.write_text(paper("ce").to_yaml())
    (tmp_path / "monday").mkdir()
    (tmp_path / "monday" / "best_config.yaml").write_text(paper("kd").to_yaml())
    script = f"""
import sys
from pathlib import Path
from tuning.export import Flags, write
for target in {[t for t in FORMATS if t != "pskd"]}:
    write(Flags(config=Path({str(best)!r}), to=target))
    write(Flags(sweep="monday", storage=Path({str(tmp_path)!r}), to=target))
heavy = {{"torch", "ray", "mlflow", "optuna"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["best", "export", "report", "ui"])
def test_what_reads_a_sweep_starts_without_anything_heavy(module: str) -> None:
    heavy = {"torch", "ray", "mlflow", "optuna", "matplotlib", "sqlalchemy"}
    script = f"import sys, tuning.{module}; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == ""
