"""What methods that compare features become elsewhere: the same loss of the same networks."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from kd.backbones import build_backbone
from kd.config import TeacherConfig, TrainConfig
from kd.errors import UserError
from kd.methods import build_method
from kd.methods.base import Batch, Method, Task
from kd.parts.teacher import Teacher
from tuning.exporters import export

STUDENT, TEACHER = "resnet8", "resnet20"
TASK = Task(num_classes=10, num_samples=8, epochs=1, steps=1, batch_size=8)


def config_of(method: str, teacher: str = TEACHER, **values: Any) -> TrainConfig:
    config = TrainConfig.paper(method, STUDENT, "cifar100", teacher=TeacherConfig(backbone=teacher))
    return replace(config, kd=replace(config.kd, **values))


def ours(config: TrainConfig) -> tuple[Method[Any], Batch, Tensor]:
    """Its method in float64, a batch, and its loss of that."""
    torch.manual_seed(0)
    student, teacher = (build_backbone(name, 10) for name in (STUDENT, TEACHER))
    method = build_method(config.method, config.kd, student, TASK, [Teacher(teacher)]).double()
    images = torch.randn(8, 3, 32, 32, dtype=torch.float64)
    batch = Batch(images, torch.arange(8), torch.arange(8))
    return method, batch, method(batch).total


# -- torchdistill -----------------------------------------------------------------------------


def theirs(depth: int, own: nn.Module) -> nn.Module:
    """torchdistill's ResNet with the weights of ours, which come in the same order."""
    resnet = pytest.importorskip("torchdistill.models.classification.resnet")
    network: nn.Module = resnet.resnet(depth, num_classes=10, pretrained=False, progress=False)
    pairs = zip(network.state_dict(), own.state_dict().values(), strict=True)
    network.load_state_dict(dict(pairs))
    return network.double()


def hooked(module: nn.Module, paths: list[str]) -> Any:
    """What torchdistill keeps of the outputs of its modules."""
    from torchdistill.core.forward_hook import ForwardHookManager

    manager = ForwardHookManager(torch.device("cpu"))
    for path in paths:
        manager.add_hook(module, path, requires_input=False, requires_output=True)
    return manager


@pytest.mark.parametrize("kd_weight", [0.0, 0.7])
@pytest.mark.parametrize("method", ["at", "rkd", "vid"])
def test_torchdistill_computes_our_loss_of_its_own_networks(method: str, kd_weight: float) -> None:
    pytest.importorskip("torchdistill.losses.mid_level")
    from torchdistill.losses import high_level
    from torchdistill.losses.registry import get_high_level_loss
    from torchdistill.models.wrapper import build_auxiliary_model_wrapper

    assert high_level
    config = config_of(method, beta=2.5, ce_weight=0.3, kd_weight=kd_weight, temperature=2.0)
    mine, batch, expected = ours(config)
    train = yaml.safe_load(export(config, "torchdistill"))["train"]
    student, teacher = theirs(8, mine.student), theirs(20, mine.teachers[0].network)  # type: ignore[arg-type]
    teacher.eval()
    outer: Any = student.train()
    if method == "vid":
        outer = build_auxiliary_model_wrapper(
            train["student"], student_model=student, device="cpu", device_ids=None,
            distributed=False,
        ).double()  # fmt: skip
        regressors: Any = outer.regressor_dict
        for regressor, gaussian in zip(regressors.values(), mine.gaussians, strict=True):  # type: ignore[arg-type]
            begun = regressor.soft_plus_param
            torch.testing.assert_close(begun.float(), gaussian.log_scale.float())
            regressor.regressor.load_state_dict(gaussian.mean.state_dict())
            regressor.soft_plus_param = gaussian.log_scale
    managers = [
        hooked(module, train[side]["forward_hook"]["output"])
        for side, module in (("student", outer), ("teacher", teacher))
    ]
    logits = [outer(batch.images), teacher(batch.images)]
    kept = [manager.pop_io_dict() for manager in managers]
    if method == "vid":
        outer.secondary_forward(kept[0])
        kept[0] |= managers[0].pop_io_dict()
    for io, said in zip(kept, logits, strict=True):
        io["."] = {"output": said}
    criterion = get_high_level_loss(train["criterion"])
    found = criterion(dict(zip(("student", "teacher"), kept, strict=True)), {}, batch.labels)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


# -- mdistiller -------------------------------------------------------------------------------


def _maps(features: Tensor) -> Tensor:
    return F.normalize(features.square().mean(1).flatten(1))


def _apart(features: Tensor) -> Tensor:
    return F.normalize(features.unsqueeze(0) - features.unsqueeze(1), dim=2)


def _similarities(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    return F.normalize(flat @ flat.T)


def _relations(section: dict[str, Any], own: Tensor, taught: Tensor) -> Tensor:
    far = [torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist") for f in (own, taught)]
    scaled = [d / d[d > 0].mean() for d in far]
    angles = [torch.bmm(_apart(f), _apart(f).transpose(1, 2)) for f in (own, taught)]
    distance = section["DISTANCE_WEIGHT"] * F.smooth_l1_loss(*scaled)
    return distance + section["ANGLE_WEIGHT"] * F.smooth_l1_loss(*angles)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("at", {"beta": 700.0}),
        ("sp", {"beta": 1234.5, "ce_weight": 0.5}),
        ("rkd", {"distance_weight": 25.0, "angle_weight": 50.0}),
        ("rkd", {"distance_weight": 12.345678, "angle_weight": 77.7, "beta": 1.5}),
        ("fitnet", {"hint_stage": 3}),
    ],
)
def test_mdistiller_is_told_our_weights(method: str, values: dict[str, float]) -> None:
    """Its formulas, as its distillers have them, with the keys of the file."""
    config = config_of(method, **values)
    mine, batch, expected = ours(config)
    section = yaml.safe_load(export(config, "mdistiller"))[method.upper()]
    own, taught = mine.student.outputs(batch.images), mine.teachers[0].outputs(batch.images)  # type: ignore[operator]
    its: Any = mine
    if method == "at":
        pairs = zip(own.stages, taught.stages, strict=True)
        apart = torch.stack([(_maps(s) - _maps(t)).square().mean() for s, t in pairs]).sum()
    elif method == "sp":
        first, second = (_similarities(each.stages[-1]) for each in (own, taught))
        apart = (first - second).square().sum() / len(first) ** 2
    elif method == "rkd":
        apart = _relations(section, own.pooled, taught.pooled)
    else:
        layer = section["HINT_LAYER"]
        kept = [[each.stem, *each.stages][layer] for each in (own, taught)]
        apart = F.mse_loss(its.regressor(kept[0]), kept[1])
    hard = F.cross_entropy(own.logits, batch.labels)
    loss = section["LOSS"]["CE_WEIGHT"] * hard + section["LOSS"]["FEAT_WEIGHT"] * apart
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


def test_mdistiller_contrasts_as_we_do() -> None:
    text = export(config_of("crd", negatives=512, width=64, momentum=0.4), "mdistiller")
    tree = yaml.safe_load(text)
    assert tree["SOLVER"]["TRAINER"] == "crd"
    assert tree["CRD"] == {
        "MODE": "exact",
        "FEAT": {"DIM": 64, "STUDENT_DIM": 64, "TEACHER_DIM": 64},
        "NCE": {"K": 512, "MOMENTUM": 0.4, "TEMPERATURE": 0.07},
        "LOSS": {"CE_WEIGHT": 1.0, "FEAT_WEIGHT": 0.8},
    }


@pytest.mark.parametrize(
    ("target", "config", "why"),
    [
        ("mdistiller", config_of("at", kd_weight=0.5), "kd.kd_weight=0.5: it has no KD beside it"),
        ("mdistiller", config_of("sp", "vgg13"), "teacher.backbone=vgg13: its network's stages"),
        ("mdistiller", config_of("at", "resnet50"), "teacher.backbone=resnet50: it pairs stages"),
        ("mdistiller", config_of("fitnet", hint_epochs=2), "it trains hint and network at once"),
        ("mdistiller", config_of("vid"), "has another vid: its optimizer leaves the variances"),
        ("torchdistill", config_of("at", "resnet8x4"), "teacher.backbone=resnet8x4: its networks"),
        (
            "torchdistill",
            config_of("sp"),
            "has another sp: its SPKDLoss divides rows by their sums",
        ),
        ("torchdistill", config_of("crd"), "has another crd: its CRDLoss has to know"),
    ],
)
def test_what_is_other_there_is_said(target: str, config: TrainConfig, why: str) -> None:
    with pytest.raises(UserError) as error:
        export(config, target)
    assert why in str(error.value)


# -- what is not in a file --------------------------------------------------------------------


@pytest.mark.parametrize("method", ["at", "rkd", "vid", "kd", "dist"])
def test_torchdistills_file_names_both_networks(method: str) -> None:
    """Of a teacher that is not named, the one that the registry pairs with the student."""
    named = config_of(method)
    lines = [line for line in export(named, "torchdistill").splitlines() if line.startswith("#")]
    assert f"backbone={STUDENT}, " in " ".join(lines)
    assert f"teacher.backbone={TEACHER}" in " ".join(lines)
    config = TrainConfig.paper(method, "resnet20", "cifar100")
    assert "teacher.backbone=resnet56" in export(config, "torchdistill")


def test_timm_spares_norms_and_says_where_that_was_otherwise() -> None:
    config = config_of("kd")
    assert "which was not so here" in export(config, "timm")
    spared = replace(config, optimizer=replace(config.optimizer, decay_norms=False))
    assert "spares" not in export(spared, "timm")
    with pytest.raises(UserError, match="its weight decay holds for all parameters"):
        export(spared, "mdistiller")


def test_timm_does_not_train_without_a_teacher_that_is_a_file() -> None:
    config = replace(config_of("kd"), teacher=TeacherConfig(weights="t.safetensors"))
    assert yaml.safe_load(export(config, "timm"))["kd_model_name"] == (
        "the network of teacher.weights"
    )


@pytest.mark.parametrize("target", ["torchdistill", "mdistiller", "timm", "env", "flags"])
def test_several_teachers_are_refused_in_words(target: str) -> None:
    first = TeacherConfig(
        backbone="resnet20", method="kd", teacher=TeacherConfig(backbone="resnet32")
    )
    beside = replace(config_of("kd"), further_teachers=(TeacherConfig(backbone="resnet32"),))
    for several in (beside, replace(config_of("kd"), teacher=first)):
        with pytest.raises(UserError) as refused:
            export(several, target)
        assert "teacher" in str(refused.value)
        assert "{" not in str(refused.value)


def test_timm_gets_its_own_names_of_its_own_networks() -> None:
    config = TrainConfig.paper(
        "kd",
        "timm:resnet18",
        "cifar100",
        teacher=TeacherConfig(backbone="timm:resnet34"),
    )
    text = export(config, "timm")
    written = yaml.safe_load(text)
    assert (written["model"], written["kd_model_name"]) == ("resnet18", "resnet34")
    assert "Give timm's names" not in text
    assert "Give timm's names" in export(replace(config, backbone="resnet20"), "timm")
