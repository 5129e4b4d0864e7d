"""Exports given to the projects that they are for: their own loaders, losses and schedules."""

import json
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from kd.config import OptimizerConfig, TrainConfig
from kd.methods import method_names
from kd.optimizer import learning_rate
from kd.parts.logits import correlation_loss, standardised
from kd.parts.losses import cross_entropy, distillation_kl
from tuning.exporters import export

REASON = "{0} is not installed; pip install -e '.[dev]' brings it."


def package(name: str) -> Any:
    return pytest.importorskip(name, reason=REASON.format(name.partition(".")[0]))


def paper(method: str, **changes: Any) -> TrainConfig:
    return TrainConfig.paper(method, "resnet20", "cifar100", **changes)


# -- the same loss ----------------------------------------------------------------------------


class Says(nn.Module):
    """A network that says the same of every image."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.num_classes, self.in_chans = logits.shape[1], 3
        self.pretrained_cfg = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
        self.default_cfg = self.pretrained_cfg

    def forward(self, images: Tensor) -> Tensor:
        return self.logits


def torchdistill_loss(text: str, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    package("torchdistill.losses")
    from torchdistill.losses import high_level, mid_level  # noqa: F401
    from torchdistill.losses.registry import get_high_level_loss

    criterion = get_high_level_loss(yaml.safe_load(text)["train"]["criterion"])
    outputs = {
        "student": {".": {"output": student}},
        "teacher": {".": {"output": teacher}},
    }
    loss: Tensor = criterion(outputs, {}, labels)
    return loss


def timm_loss(text: str, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    package("timm.task")
    from timm.task import LogitDistillationTask

    options = yaml.safe_load(text)
    task = LogitDistillationTask(
        Says(student),
        Says(teacher),
        criterion=nn.CrossEntropyLoss(label_smoothing=options["smoothing"]),
        distill_loss_weight=options["distill_loss_weight"],
        task_loss_weight=options["task_loss_weight"],
        temperature=options["kd_temperature"],
        dtype=torch.float64,
        verbose=False,
    )
    loss: Tensor = task(torch.zeros(len(labels), 3, 4, 4), labels)["loss"]
    return loss


LOSSES = {"torchdistill": torchdistill_loss, "timm": timm_loss}


WEIGHTS: list[dict[str, float]] = [
    *({"alpha": alpha} for alpha in (0.0, 0.1, 0.83, 1.0)),
    {"alpha": 0.9, "multiplier": 10.0},
    {"alpha": 0.5, "multiplier": 2.0, "ce_weight": 0.0},
    {"alpha": 0.5, "ce_weight": 1.0},
]


@pytest.mark.parametrize("values", WEIGHTS)
@pytest.mark.parametrize("target", sorted(LOSSES))
def test_its_own_loss_is_ours(target: str, values: dict[str, float]) -> None:
    config = paper("kd")
    config = replace(config, kd=replace(config.kd, temperature=3.0, **values))
    hard_weight, soft_weight = config.kd.weights
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 10, generator=generator, dtype=torch.float64)
    labels = torch.arange(8)
    hard = cross_entropy(student, labels).mean()
    soft = distillation_kl(student, teacher, 3.0).mean()
    ours = hard_weight * hard + soft_weight * 3.0**2 * soft
    theirs = LOSSES[target](export(config, target), student, teacher, labels)
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=0)


@pytest.mark.parametrize("values", WEIGHTS)
def test_torchdistill_standardises_logits_as_we_do(values: dict[str, float]) -> None:
    config = paper("kd")
    config = replace(config, kd=replace(config.kd, temperature=2.0, standardise=True, **values))
    hard_weight, soft_weight = config.kd.weights
    student, teacher = torch.randn(2, 8, 10, dtype=torch.float64)
    labels = torch.arange(8)
    soft = distillation_kl(standardised(student), standardised(teacher), 2.0).mean()
    ours = hard_weight * cross_entropy(student, labels).mean() + soft_weight * 2.0**2 * soft
    theirs = torchdistill_loss(export(config, "torchdistill"), student, teacher, labels)
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=0)


def test_torchdistill_correlates_predictions_as_we_do() -> None:
    config = paper("dist")
    config = replace(
        config, kd=replace(config.kd, beta=0.7, gamma=1.3, weight=2.5, temperature=3.0)
    )
    student, teacher = torch.randn(2, 8, 10, dtype=torch.float64)
    labels = torch.arange(8)
    inter, intra = correlation_loss(student, teacher, 3.0)
    ours = cross_entropy(student, labels).mean() + 2.5 * (0.7 * inter + 1.3 * intra)
    theirs = torchdistill_loss(export(config, "torchdistill"), student, teacher, labels)
    torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_torchdistill_smooths_labels_as_we_do(smoothing: float) -> None:
    config = paper("ce")
    config = replace(config, kd=replace(config.kd, label_smoothing=smoothing))
    student, labels = torch.randn(8, 10, dtype=torch.float64), torch.arange(8)
    theirs = torchdistill_loss(export(config, "torchdistill"), student, student, labels)
    torch.testing.assert_close(theirs, cross_entropy(student, labels, smoothing).mean())


# -- the same schedule ------------------------------------------------------------------------


def torchdistill_rates(tree: Any, epochs: int) -> list[float]:
    package("torchdistill.optim")
    from torchdistill.optim.registry import get_optimizer, get_scheduler

    train = tree["train"]
    optimizer = get_optimizer(
        nn.Linear(1, 1), train["optimizer"]["key"], **train["optimizer"]["kwargs"]
    )
    scheduler = get_scheduler(optimizer, train["scheduler"]["key"], **train["scheduler"]["kwargs"])
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def timm_rates(tree: Any, epochs: int) -> list[float]:
    package("timm.scheduler")
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler

    optimizer = create_optimizer_v2(
        nn.Linear(1, 1), opt=tree["opt"], lr=tree["lr"], momentum=tree["momentum"]
    )
    arguments = {
        **{"warmup_lr": 1e-5, "cooldown_epochs": 0, "min_lr": 0.0, "patience_epochs": 10},
        **{"decay_epochs": 90, "warmup_prefix": False, "lr_noise": None},
        **tree,
    }
    scheduler, count = create_scheduler(SimpleNamespace(**arguments), optimizer)
    assert count == epochs
    rates = []
    for epoch in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(epoch + 1)
    return rates


RATES = {"torchdistill": torchdistill_rates, "timm": timm_rates}


@pytest.mark.parametrize("epochs", [9, 37, 300])
@pytest.mark.parametrize("target", sorted(RATES))
def test_its_own_schedule_is_ours(target: str, epochs: int) -> None:
    schedule = OptimizerConfig(milestones=(0.34, 0.62), gamma=0.2)
    tree = yaml.safe_load(export(paper("ce", epochs=epochs, optimizer=schedule), target))
    ours = [learning_rate(schedule, epoch, epochs) for epoch in range(epochs)]
    assert RATES[target](tree, epochs) == pytest.approx(ours, rel=1e-12)


# -- its own loader ---------------------------------------------------------------------------


def test_yacs_takes_what_mdistiller_is_given() -> None:
    package("yacs")
    from yacs.config import CfgNode

    # The keys and the types of mdistiller/engine/cfg.py; yacs refuses any other.
    defaults = {
        "DATASET": {"TYPE": "cifar100", "NUM_WORKERS": 2},
        "DISTILLER": {"TYPE": "NONE", "TEACHER": "ResNet50", "STUDENT": "resnet32"},
        "SOLVER": {
            "TRAINER": "base",
            "BATCH_SIZE": 64,
            "EPOCHS": 240,
            "LR": 0.05,
            "LR_DECAY_STAGES": [150, 180, 210],
            "LR_DECAY_RATE": 0.1,
            "WEIGHT_DECAY": 0.0001,
            "MOMENTUM": 0.9,
            "TYPE": "SGD",
        },
        "KD": {"TEMPERATURE": 4, "LOSS": {"CE_WEIGHT": 0.1, "KD_WEIGHT": 0.9}},
        "DKD": {"CE_WEIGHT": 1.0, "ALPHA": 1.0, "BETA": 8.0, "T": 4.0, "WARMUP": 20},
        "AT": {"P": 2, "LOSS": {"CE_WEIGHT": 1.0, "FEAT_WEIGHT": 1000.0}},
        "SP": {"LOSS": {"CE_WEIGHT": 1.0, "FEAT_WEIGHT": 3000.0}},
        "FITNET": {"HINT_LAYER": 2, "LOSS": {"CE_WEIGHT": 1.0, "FEAT_WEIGHT": 100.0}},
        "RKD": {
            "DISTANCE_WEIGHT": 25,
            "ANGLE_WEIGHT": 50,
            "LOSS": {"CE_WEIGHT": 1.0, "FEAT_WEIGHT": 1.0},
        },
        "CRD": {
            "MODE": "exact",
            "FEAT": {"DIM": 128, "STUDENT_DIM": 256, "TEACHER_DIM": 256},
            "LOSS": {"CE_WEIGHT": 1.0, "FEAT_WEIGHT": 0.8},
            "NCE": {"K": 16384, "MOMENTUM": 0.5, "TEMPERATURE": 0.07},
        },
    }
    config = replace(paper("kd"), batch_size=96)
    cfg = CfgNode(defaults)
    cfg.merge_from_other_cfg(CfgNode.load_cfg(export(config, "mdistiller")))
    assert (cfg.DISTILLER.TYPE, cfg.DISTILLER.STUDENT) == ("KD", "resnet20")
    assert cfg.SOLVER.BATCH_SIZE == 96
    assert cfg.KD.TEMPERATURE == 4
    assert cfg.KD.LOSS.KD_WEIGHT == 0.9
    decoupled = paper("dkd")
    values = replace(decoupled.kd, alpha=2.0, beta=3.0, temperature=2.5, warmup=0)
    decoupled = replace(decoupled, kd=values)
    cfg.merge_from_other_cfg(CfgNode.load_cfg(export(decoupled, "mdistiller")))
    assert cfg.DISTILLER.TYPE == "DKD"
    assert dict(cfg.DKD) == {"CE_WEIGHT": 1.0, "ALPHA": 2.0, "BETA": 3.0, "T": 2.5, "WARMUP": 1}
    for method in ("at", "sp", "fitnet", "rkd", "crd"):
        cfg.merge_from_other_cfg(CfgNode.load_cfg(export(paper(method), "mdistiller")))
        assert method.upper() == cfg.DISTILLER.TYPE


@pytest.mark.parametrize("method", method_names())
def test_hydra_composes_a_tuned_configuration(method: str, tmp_path: Path) -> None:
    package("hydra")
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    config = paper(method)
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "best.yaml").write_text(export(config, "hydra"))
    (tmp_path / "config.yaml").write_text("epochs: 1\n")
    with initialize_config_dir(str(tmp_path), version_base=None):
        composed = compose("config", overrides=["+tuned=best"])
    read = OmegaConf.to_container(composed)
    assert isinstance(read, dict)
    assert TrainConfig.from_dict({str(name): value for name, value in read.items()}) == config


LIGHTNING = """
import torch
from lightning.pytorch import LightningDataModule, LightningModule


class Student(LightningModule):
    def __init__(self, method, backbone, {arguments}):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 2)

    def training_step(self, batch, index):
        return self.layer(batch[0]).sum()


class Data(LightningDataModule):
    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        images = torch.utils.data.TensorDataset(torch.zeros(self.batch_size, 2))
        return torch.utils.data.DataLoader(images, self.batch_size)
"""


@pytest.mark.parametrize("method", ["ce", "dtskd", "kd", "lsskd", "pskd"])
@pytest.mark.filterwarnings("ignore")
def test_lightnings_command_line_trains_by_its_file(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package("lightning")
    from lightning.pytorch import Callback, LightningDataModule, LightningModule
    from lightning.pytorch.cli import LightningCLI

    config = replace(paper(method), epochs=24)
    names = ", ".join(field.name for field in fields(config.kd))
    (tmp_path / f"their_{method}.py").write_text(LIGHTNING.replace("{arguments}", names))
    (tmp_path / "tuned.yaml").write_text(export(config, "lightning"))
    monkeypatch.syspath_prepend(tmp_path)
    seen: list[float] = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    cli = LightningCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,
        trainer_defaults={**quiet, "callbacks": [Watch()], "default_root_dir": tmp_path},
        args=["fit", f"--model=their_{method}.Student", f"--data=their_{method}.Data",
              f"--config={tmp_path / 'tuned.yaml'}"],
    )  # fmt: skip
    given = {name: v for name, v in cli.model.hparams.items() if not name.startswith("_")}
    assert (given.pop("method"), given.pop("backbone")) == (method, "resnet20")
    plain = json.loads(json.dumps(given))
    assert plain == config.to_dict()["kd"]
    assert cli.datamodule.batch_size == config.batch_size
    assert seen == pytest.approx([learning_rate(config.optimizer, e, 24) for e in range(24)])
    group = cli.trainer.optimizers[0].param_groups[0]
    for name in ("momentum", "weight_decay", "nesterov"):
        assert group[name] == getattr(config.optimizer, name)
