"""torchdistill (github.com/yoshitomo-matsubara/torchdistill): the `train` section of its YAML."""

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
    """The criterion, optimiser and schedule of `kd` or `ce`, to merge under `train:`.

    Raises:
        UserError: another method, or a schedule that torchdistill cannot be given as kwargs.
    """
    values = Values(config, "torchdistill")
    values.require_method("ce", "kd")
    values.sgd()
    term = _kd_term(values) if config.method == "kd" else _ce_term(values)
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
            "kwargs": {"sub_terms": {config.method: term}},
        },
    }
    return values.header("Merge into a torchdistill YAML.") + as_yaml({"train": train})


def _kd_term(values: Values) -> dict[str, Any]:
    """KDLoss: `alpha` weighs CE, `beta` weighs T²·KL.

    With `alpha` 0, KDLoss returns KL alone, without `beta` and T²; the term's own weight then
    stands for both.
    """
    (ce_weight, kd_weight), temperature = values.kd_weights(), values.take("kd.temperature")
    kwargs = {**_LOGITS, "temperature": temperature, "alpha": ce_weight, "beta": kd_weight}
    return {
        "criterion": {"key": "KDLoss", "kwargs": {**kwargs, "reduction": "batchmean"}},
        "weight": 1.0 if ce_weight else kd_weight * temperature**2,
    }


def _ce_term(values: Values) -> dict[str, Any]:
    wrapper = {
        "input": {"is_from_teacher": False, "module_path": ".", "io": "output"},
        "target": {"uses_label": True},
    }
    return {
        "criterion": {
            "key": "CrossEntropyLoss",
            "kwargs": {"reduction": "mean", "label_smoothing": values.label_smoothing()},
        },
        "criterion_wrapper": {"key": "SimpleLossWrapper", "kwargs": wrapper},
        "weight": 1.0,
    }


def _scheduler(values: Values) -> dict[str, Any]:
    values.require("optimizer.warmup", 0.0, "its scheduler is one of PyTorch's, without warm-up")
    values.require("optimizer.schedule", "step", "its cosine needs the number of steps in an epoch")
    kwargs = {"milestones": values.milestones(), "gamma": values.take("optimizer.gamma")}
    return {"key": "MultiStepLR", "kwargs": kwargs}
