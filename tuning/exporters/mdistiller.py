"""mdistiller (github.com/megvii-research/mdistiller): a YAML for its tools/train.py --cfg."""

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


def export(config: TrainConfig) -> str:
    """The yacs keys of `kd`, `dkd` or `ce` (its vanilla training), with the solver.

    Raises:
        UserError: another method, network, schedule or momentum than mdistiller knows.
    """
    values = Values(config, "mdistiller")
    values.require_method("ce", "kd", "dkd")
    values.sgd()
    values.require("optimizer.nesterov", False, "its SGD has no Nesterov momentum")
    values.require("optimizer.schedule", "step", "it knows the step schedule alone")
    values.require("optimizer.warmup", 0.0, "it has no warm-up")
    distiller = {"TYPE": "NONE", "STUDENT": _network(values, "backbone", values.take("backbone"))}
    sections = {"DISTILLER": distiller, "SOLVER": _solver(values)}
    notes = ["python3 tools/train.py --cfg THIS-FILE"]
    if config.method == "ce":
        values.plain_cross_entropy()
    else:
        distiller["TYPE"] = config.method.upper()
        if teacher := values.teacher_backbone():
            distiller["TEACHER"] = _network(values, "teacher.backbone", teacher)
        else:
            notes.append("Set DISTILLER.TEACHER: the network of teacher.weights.")
        values.plain_logits()
        sections[config.method.upper()] = _kd(values) if config.method == "kd" else _dkd(values)
    if config.dataset == "cifar100":
        sections["DATASET"] = {"TYPE": values.take("dataset")}
    return values.header(*notes) + as_yaml(sections)


def _kd(values: Values) -> dict[str, object]:
    ce_weight, kd_weight = values.kd_weights()
    return {
        "TEMPERATURE": _whole(values, "kd.temperature"),
        "LOSS": {"CE_WEIGHT": ce_weight, "KD_WEIGHT": kd_weight},
    }


def _dkd(values: Values) -> dict[str, object]:
    return {
        "CE_WEIGHT": 1.0,
        "ALPHA": float(values.take("kd.alpha")),
        "BETA": float(values.take("kd.beta")),
        "T": float(values.take("kd.temperature")),
        # It divides by this; 1 has the whole weight from the first epoch on, as 0 has here.
        "WARMUP": max(1, values.take("kd.warmup")),
    }


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
