"""torchdistill (github.com/yoshitomo-matsubara/torchdistill): the `train` section of its YAML."""

from collections.abc import Callable
from typing import Any

from kd.config import TrainConfig
from tuning.exporters._values import Values
from tuning.exporters._writers import as_yaml

_LOGITS = {
    "student_module_path": ".",
    "student_module_io": "output",
    "teacher_module_path": ".",
    "teacher_module_io": "output",
}


def export(config: TrainConfig) -> str:
    """The criterion, optimiser and schedule of `kd`, `dist` or `ce`, to merge under `train:`.

    Raises:
        UserError: another method, or a schedule that torchdistill cannot be given as kwargs.
    """
    values = Values(config, "torchdistill")
    values.require_method(*_TERMS)
    values.sgd()
    train = {
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


def _kd(values: Values) -> dict[str, Any]:
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


def _dist(values: Values) -> dict[str, Any]:
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


def _ce(values: Values) -> dict[str, Any]:
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


_TERMS: dict[str, Callable[[Values], dict[str, Any]]] = {"ce": _ce, "kd": _kd, "dist": _dist}
"""The terms of the loss, by name, of each method that torchdistill has."""


def _scheduler(values: Values) -> dict[str, Any]:
    values.require("optimizer.warmup", 0.0, "its scheduler is one of PyTorch's, without warm-up")
    values.require("optimizer.schedule", "step", "its cosine needs the number of steps in an epoch")
    kwargs = {"milestones": values.milestones(), "gamma": values.take("optimizer.gamma")}
    return {"key": "MultiStepLR", "kwargs": kwargs}
