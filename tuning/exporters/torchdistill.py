"""torchdistill (github.com/yoshitomo-matsubara/torchdistill): the `train` section of its YAML."""

from collections.abc import Callable
from typing import Any

from kd.backbones import backbone_spec
from kd.config import TrainConfig
from tuning.exporters._values import Values
from tuning.exporters._writers import as_yaml

_LOGITS = {
    "student_module_path": ".",
    "student_module_io": "output",
    "teacher_module_path": ".",
    "teacher_module_io": "output",
}

VID_EPS = 1e-5
"""What VID adds to a variance, here and there."""
_STAGES = ("layer1", "layer2", "layer3")
_POOLED = "avgpool"
_WIDTHS = (16, 32, 64)
"""The modules of its own CIFAR ResNets whose outputs are our features, and their channels."""

_OTHERS = {
    "ab": "it has the loss of its first stage alone",
    "cc": "its CCKDLoss relates all samples, not those that follow each other",
    "crd": "its CRDLoss has to know how many images there are",
    "fitnet": "it has no regressor with a norm",
    "sp": "its SPKDLoss divides rows by their sums, not by their lengths",
    "sskd": "its SSKDLoss has no stage for the teacher's head",
}

Terms = dict[str, dict[str, Any]]


def export(config: TrainConfig) -> str:
    """The criterion, optimiser and schedule of the method, to merge under `train:`.

    Of a method that compares features, which modules' outputs are kept too.

    Raises:
        UserError: another method, a schedule that torchdistill cannot be given as kwargs, or
            features of networks that it does not have.
    """
    values = Values(config, "torchdistill")
    values.require_method(*_TERMS, others=_OTHERS)
    values.sgd()
    train = {
        **_hooks(values),
        "num_epochs": values.take("epochs"),
        "train_data_loader": {"batch_size": values.take("batch_size")},
        "optimizer": {
            "key": "SGD",
            "kwargs": {
                name: values.take(f"optimizer.{name}")
                for name in ("lr", "momentum", "weight_decay", "nesterov")
            },
        },
        "scheduler": _scheduler(values),
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": _TERMS[config.method](values)},
        },
    }
    return values.header("Merge into a torchdistill YAML.") + as_yaml({"train": train})


def _kd(values: Values) -> Terms:
    """KDLoss, or LogitStdKDLoss of standardised logits: `alpha` weighs CE, `beta` weighs T²·KL.

    With `alpha` 0, both return KL alone, without `beta` and T²; the term's own weight then
    stands for both.
    """
    (ce_weight, kd_weight), temperature = values.kd_weights(), values.take("kd.temperature")
    kwargs = {**_LOGITS, "temperature": temperature, "alpha": ce_weight, "beta": kd_weight}
    key = "LogitStdKDLoss" if values.take("kd.standardise") else "KDLoss"
    term = {
        "criterion": {"key": key, "kwargs": {**kwargs, "reduction": "batchmean"}},
        "weight": 1.0 if ce_weight else kd_weight * temperature**2,
    }
    return {"kd": term}


def _dist(values: Values) -> Terms:
    """DISTLoss, which has no cross-entropy of its own."""
    kwargs = {
        "beta": values.take("kd.beta"),
        "gamma": values.take("kd.gamma"),
        "tau": values.take("kd.temperature"),
    }
    term = {
        "criterion": {"key": "DISTLoss", "kwargs": {**_LOGITS, **kwargs}},
        "weight": values.take("kd.weight"),
    }
    return {"ce": _cross_entropy(0.0), "dist": term}


def _ce(values: Values) -> Terms:
    return {"ce": _cross_entropy(values.label_smoothing())}


def _cross_entropy(label_smoothing: float) -> dict[str, Any]:
    wrapper = {
        "input": {"is_from_teacher": False, "module_path": ".", "io": "output"},
        "target": {"uses_label": True},
    }
    return {
        "criterion": {
            "key": "CrossEntropyLoss",
            "kwargs": {"reduction": "mean", "label_smoothing": label_smoothing},
        },
        "criterion_wrapper": {"key": "SimpleLossWrapper", "kwargs": wrapper},
        "weight": 1.0,
    }


def _at(values: Values) -> Terms:
    pairs = {path: {side: _at_path(path) for side in ("student", "teacher")} for path in _STAGES}
    return _beside(values, "ATLoss", {"at_pairs": pairs, "mode": "code"})


def _rkd(values: Values) -> Terms:
    factors = {
        "dist_factor": values.take("kd.distance_weight"),
        "angle_factor": values.take("kd.angle_weight"),
    }
    paths = {f"{side}_output_path": _POOLED for side in ("student", "teacher")}
    return _beside(values, "RKDLoss", {**paths, **factors, "reduction": "mean"})


def _vid(values: Values) -> Terms:
    """Each mean and variance is what one of the student's regressors says (`_regressors`)."""
    pairs = {
        path: {"student": _at_path(f"regressor_dict.{path}"), "teacher": _at_path(path)}
        for path in _STAGES
    }
    return _beside(values, "VIDLoss", {"feature_pairs": pairs})


def _beside(values: Values, key: str, kwargs: dict[str, Any]) -> Terms:
    """The method's term beside cross-entropy, and beside KL where that has a weight."""
    terms = {"ce": {**_cross_entropy(0.0), "weight": values.take("kd.ce_weight")}}
    weight, temperature = values.take("kd.kd_weight"), values.take("kd.temperature")
    if weight:
        # With alpha 0 it returns KL alone.
        kl = {**_LOGITS, "temperature": temperature, "alpha": 0.0, "reduction": "batchmean"}
        terms["kd"] = {
            "criterion": {"key": "KDLoss", "kwargs": kl},
            "weight": weight * temperature**2,
        }
    terms[values.config.method] = {
        "criterion": {"key": key, "kwargs": kwargs},
        "weight": values.take("kd.beta"),
    }
    return terms


def _at_path(path: str) -> dict[str, str]:
    return {"io": "output", "path": path}


_TERMS: dict[str, Callable[[Values], Terms]] = {
    "at": _at,
    "ce": _ce,
    "dist": _dist,
    "kd": _kd,
    "rkd": _rkd,
    "vid": _vid,
}
"""The terms of the loss, by name, of each method that torchdistill has as we have it."""

_FEATURES = {"at": _STAGES, "rkd": (_POOLED,), "vid": _STAGES}
"""The modules of both networks whose outputs a method compares."""


def _hooks(values: Values) -> dict[str, Any]:
    """Which outputs of its networks are kept; nothing where only logits are compared."""
    if not (paths := _FEATURES.get(values.config.method, ())):
        return {}
    student, teacher = values.config.backbone, values.teacher_backbone(take=False)
    for name, network in (("backbone", student), ("teacher.backbone", teacher)):
        if network is None or not _is_its_own(network):
            raise values.refusal(name, network, "its networks have no modules of these features")
    sides: dict[str, dict[str, Any]] = {
        side: {"forward_hook": {"input": [], "output": list(paths)}}
        for side in ("student", "teacher")
    }
    if values.config.method == "vid":
        kwargs = {"regressors": _regressors(values.take("kd.variance"))}
        wrapper = {"key": "VariationalDistributor4VID", "kwargs": kwargs}
        own = [f"student_model.{path}" for path in paths]
        own += [f"regressor_dict.{path}" for path in paths]
        sides["student"] = {
            "auxiliary_model_wrapper": wrapper,
            "forward_hook": {"input": [], "output": own},
        }
    return sides


def _regressors(variance: float) -> dict[str, Any]:
    """VID's network for each stage of the student, by the module that it reads."""
    found = {}
    for path, width in zip(_STAGES, _WIDTHS, strict=True):
        kwargs = {
            **{f"{end}_channels": width for end in ("in", "middle", "out")},
            "eps": VID_EPS,
            "init_pred_var": variance,
        }
        found[path] = {"io": "output", "path": f"student_model.{path}", "kwargs": kwargs}
    return found


def _is_its_own(network: str) -> bool:
    row = backbone_spec(network)
    return row.family == "cifar_resnet" and "channels" not in row.options


def _scheduler(values: Values) -> dict[str, Any]:
    values.require("optimizer.warmup", 0.0, "its scheduler is one of PyTorch's, without warm-up")
    values.require("optimizer.schedule", "step", "its cosine needs the number of steps in an epoch")
    kwargs = {"milestones": values.milestones(), "gamma": values.take("optimizer.gamma")}
    return {"key": "MultiStepLR", "kwargs": kwargs}
