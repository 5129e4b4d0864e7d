"""PS-KD (github.com/lgcnsai/PS-KD-Pytorch): the command line of its main.py."""

from kd.config import TrainConfig
from tuning.exporters._values import Values
from tuning.exporters._writers import as_command


def export(config: TrainConfig) -> str:
    """The command for `pskd`, or for `ce` without its `--PSKD`.

    Raises:
        UserError: another method, or an optimiser that main.py cannot be given.
    """
    values = Values(config, "pskd")
    values.require_method("ce", "pskd")
    values.sgd()
    values.require("optimizer.momentum", 0.9, "its main.py fixes the momentum")
    values.require("optimizer.nesterov", True, "its main.py fixes Nesterov momentum")
    values.require("optimizer.schedule", "step", "its main.py knows the step schedule alone")
    values.require("optimizer.warmup", 0.0, "its main.py has no warm-up")
    words = ["python3", "main.py"]
    if config.method == "pskd":
        words += ["--PSKD", "--alpha_T", str(values.take("kd.alpha"))]
    else:
        values.plain_cross_entropy()
    words += ["--lr", str(values.take("optimizer.lr"))]
    words += ["--lr_decay_schedule", *(str(epoch) for epoch in values.milestones())]
    words += ["--lr_decay_rate", str(values.take("optimizer.gamma"))]
    words += ["--weight_decay", str(values.take("optimizer.weight_decay"))]
    words += ["--end_epoch", str(values.take("epochs"))]
    words += ["--batch_size", str(values.take("batch_size"))]
    if config.dataset == "cifar100":
        words += ["--data_type", values.take("dataset")]
    note = "Add --classifier_type, --data_path and, unless it is there, --data_type."
    return values.header(note) + as_command(words)
