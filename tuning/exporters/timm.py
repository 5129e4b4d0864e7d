"""timm (github.com/huggingface/pytorch-image-models): a YAML for its train.py --config."""

from kd.backbones.names import BackboneName, short
from kd.config import TrainConfig, networks_of
from tuning.exporters._values import Values
from tuning.exporters._writers import as_yaml


def export(config: TrainConfig) -> str:
    """The arguments of `kd` (logit distillation) or `ce`, with the optimiser and schedule.

    Raises:
        UserError: another method, or a warm-up.
    """
    values = Values(config, "timm")
    values.require_method("ce", "kd")
    values.sgd(spares_norms=True)
    values.require("optimizer.warmup", 0.0, "its warm-up starts from another learning rate")
    arguments: dict[str, object] = {}
    if config.method == "kd":
        values.plain_logits()
        ce_weight, kd_weight = values.kd_weights()
        arguments["kd_distill_type"] = "logit"
        arguments["kd_temperature"] = values.take("kd.temperature")
        arguments["distill_loss_weight"] = kd_weight
        arguments["task_loss_weight"] = ce_weight
        arguments["smoothing"] = 0.0
        # Of a name that it does not know timm says so; of none it would train without a teacher.
        teacher = values.teacher_backbone() or "the network of teacher.weights"
        arguments["kd_model_name"] = _own(teacher)
    else:
        arguments["smoothing"] = values.label_smoothing()
    arguments |= {
        "model": _own(values.take("backbone")),
        "epochs": values.take("epochs"),
        "batch_size": values.take("batch_size"),
        "seed": values.take("seed"),
        # timm's `sgd` has Nesterov momentum, its `momentum` has not.
        "opt": "sgd" if values.take("optimizer.nesterov") else "momentum",
        "momentum": values.take("optimizer.momentum"),
        "lr": values.take("optimizer.lr"),
        "weight_decay": values.take("optimizer.weight_decay"),
        "warmup_epochs": 0,
        **_schedule(values),
    }
    notes = ["python train.py DATA --config THIS-FILE"]
    if any(BackboneName.parse(name).kind != "timm" for name in networks_of(config)):
        notes.append(
            "Give timm's names of model and kd_model_name; what it calls as we do is ImageNet's "
            "form."
        )
    if config.optimizer.decay_norms:
        notes.append("timm spares biases and norms from weight_decay, which was not so here.")
    return values.header(*notes) + as_yaml(arguments)


def _own(backbone: str) -> str:
    """Timm's own name of a network of its own."""
    name = BackboneName.parse(backbone)
    return name.network if name.kind == "timm" else short(backbone)


def _schedule(values: Values) -> dict[str, object]:
    if values.take("optimizer.schedule") == "cosine":
        for name in ("milestones", "gamma"):
            values.take(f"optimizer.{name}")
        return {"sched": "cosine", "sched_on_updates": True, "min_lr": 0.0, "cooldown_epochs": 0}
    return {
        "sched": "multistep",
        # timm drops the rate one epoch before a milestone.
        "decay_milestones": [epoch + 1 for epoch in values.milestones()],
        "decay_rate": values.take("optimizer.gamma"),
    }
