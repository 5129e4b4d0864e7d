"""mdistiller (github.com/megvii-research/mdistiller): a YAML for its tools/train.py --cfg."""

from collections.abc import Callable

from kd.backbones import backbone_spec, build_backbone
from kd.config import TrainConfig
from tuning.exporters._values import Values
from tuning.exporters._writers import as_yaml

# Its networks of the same shape as ours, by our names.
_NETWORKS = {
    "resnet8": "resnet8",
    "resnet20": "resnet20",
    "resnet32": "resnet32",
    "resnet56": "resnet56",
    "resnet110": "resnet110",
    "resnet8x4": "resnet8x4",
    "resnet32x4": "resnet32x4",
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "wrn_16_2": "wrn_16_2",
    "wrn_40_1": "wrn_40_1",
    "wrn_40_2": "wrn_40_2",
    "vgg8": "vgg8",
    "vgg11": "vgg11",
    "vgg13": "vgg13",
    "vgg16": "vgg16",
    "mobilenetv2_half_s2": "MobileNetV2",
    "shufflenetv1": "ShuffleV1",
    "shufflenetv2": "ShuffleV2",
}


_SAME_STAGES = ("cifar_resnet", "resnet")
"""Families whose stages end where its own do: others have a norm or a pooling there."""

_OTHERS = {"vid": "its optimizer leaves the variances as they begin"}

Section = dict[str, object]


def export(config: TrainConfig) -> str:
    """The yacs keys of the method, or of its vanilla training for `ce`, with the solver.

    Raises:
        UserError: another method, network, schedule or momentum than mdistiller knows.
    """
    values = Values(config, "mdistiller")
    values.require_method("ce", *_SECTIONS, others=_OTHERS)
    values.sgd()
    values.require("optimizer.nesterov", False, "its SGD has no Nesterov momentum")
    values.require("optimizer.schedule", "step", "it knows the step schedule alone")
    values.require("optimizer.warmup", 0.0, "it has no warm-up")
    distiller = {"TYPE": "NONE", "STUDENT": _network(values, "backbone", values.take("backbone"))}
    sections: dict[str, Section] = {"DISTILLER": {**distiller}, "SOLVER": _solver(values)}
    notes = ["python3 tools/train.py --cfg THIS-FILE"]
    if config.method == "ce":
        values.plain_cross_entropy()
    else:
        name = config.method.upper()
        sections["DISTILLER"]["TYPE"] = name
        if teacher := values.teacher_backbone():
            sections["DISTILLER"]["TEACHER"] = _network(values, "teacher.backbone", teacher)
        else:
            notes.append("Set DISTILLER.TEACHER: the network of teacher.weights.")
        sections[name] = _SECTIONS[config.method](values)
    if config.method == "crd":
        sections["SOLVER"]["TRAINER"] = "crd"
    if config.dataset == "cifar100":
        sections["DATASET"] = {"TYPE": values.take("dataset")}
    return values.header(*notes) + as_yaml(sections)


def _kd(values: Values) -> Section:
    values.plain_logits()
    ce_weight, kd_weight = values.kd_weights()
    return {
        "TEMPERATURE": _whole(values, "kd.temperature"),
        "LOSS": {"CE_WEIGHT": ce_weight, "KD_WEIGHT": kd_weight},
    }


def _dkd(values: Values) -> Section:
    values.plain_logits()
    return {
        "CE_WEIGHT": 1.0,
        "ALPHA": float(values.take("kd.alpha")),
        "BETA": float(values.take("kd.beta")),
        "T": float(values.take("kd.temperature")),
        # It divides by this; 1 has the whole weight from the first epoch on, as 0 has here.
        "WARMUP": max(1, values.take("kd.warmup")),
    }


def _features(values: Values, scale: int = 1) -> Section:
    """The weights that its feature methods have in common, β over `scale`."""
    values.require("kd.kd_weight", 0.0, "it has no KD beside it")
    values.take("kd.temperature")
    ce_weight, beta = (float(values.take(f"kd.{name}")) for name in ("ce_weight", "beta"))
    return {"LOSS": {"CE_WEIGHT": ce_weight, "FEAT_WEIGHT": beta / scale}}


def _stages(values: Values) -> Section:
    """The same, of a method that compares stages."""
    student, teacher = values.take("backbone"), _teacher(values)
    for name, network in (("backbone", student), ("teacher.backbone", teacher)):
        if backbone_spec(network).family not in _SAME_STAGES:
            raise values.refusal(name, network, "its network's stages end elsewhere")
    # It pairs them from the first on, where here the last ones are a pair.
    if backbone_spec(student).stages != backbone_spec(teacher).stages:
        raise values.refusal("teacher.backbone", teacher, "it pairs stages of equal numbers")
    return _features(values)


def _fitnet(values: Values) -> Section:
    values.require("kd.hint_epochs", 0, "it trains hint and network at once")
    return {"HINT_LAYER": values.take("kd.hint_stage"), **_stages(values)}


def _rkd(values: Values) -> Section:
    """Its two weights are whole numbers; what is not is scaled until it is, and β down again."""
    weights = {
        key: float(values.take(f"kd.{name}"))
        for key, name in (("DISTANCE_WEIGHT", "distance_weight"), ("ANGLE_WEIGHT", "angle_weight"))
    }
    scale = 1 if all(weight.is_integer() for weight in weights.values()) else 10**6
    whole = {key: round(weight * scale) for key, weight in weights.items()}
    return {**whole, **_features(values, scale)}


def _crd(values: Values) -> Section:
    widths = (_width(values.take("backbone")), _width(_teacher(values)))
    return {
        "MODE": "exact",
        "FEAT": {
            "DIM": values.take("kd.width"),
            "STUDENT_DIM": widths[0],
            "TEACHER_DIM": widths[1],
        },
        "NCE": {
            "K": values.take("kd.negatives"),
            "MOMENTUM": float(values.take("kd.momentum")),
            "TEMPERATURE": float(values.take("kd.contrast_temperature")),
        },
        **_features(values),
    }


_SECTIONS: dict[str, Callable[[Values], Section]] = {
    "at": _stages,
    "crd": _crd,
    "dkd": _dkd,
    "fitnet": _fitnet,
    "kd": _kd,
    "rkd": _rkd,
    "sp": _stages,
}
"""What it calls the values of each method that it has as we have it, beside plain training."""


def _teacher(values: Values) -> str:
    if teacher := values.teacher_backbone():
        return teacher
    file = values.config.teacher.weights
    raise values.refusal("teacher.weights", file, "it has to know the teacher's network")


def _width(backbone: str) -> int:
    return build_backbone(backbone, num_classes=2).channels[-1]


def _solver(values: Values) -> dict[str, object]:
    return {
        "TRAINER": "base",
        "TYPE": "SGD",
        "BATCH_SIZE": values.take("batch_size"),
        "EPOCHS": values.take("epochs"),
        "LR": values.take("optimizer.lr"),
        # Its epochs count from 1, but it compares with `>`: the same epochs as ours.
        "LR_DECAY_STAGES": values.milestones(),
        "LR_DECAY_RATE": values.take("optimizer.gamma"),
        "WEIGHT_DECAY": values.take("optimizer.weight_decay"),
        "MOMENTUM": values.take("optimizer.momentum"),
    }


def _network(values: Values, name: str, ours: str) -> str:
    if ours not in _NETWORKS:
        raise values.refusal(name, ours, "it has no network of that shape")
    return _NETWORKS[ours]


def _whole(values: Values, name: str) -> int:
    """Its default is an integer, and yacs takes no float in the place of one."""
    value: float = values.take(name)
    if value != int(value):
        raise values.refusal(name, value, "it takes a whole number there")
    return int(value)
