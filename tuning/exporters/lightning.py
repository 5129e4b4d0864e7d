"""PyTorch Lightning: a YAML for a LightningCLI with the user's own LightningModule."""

from dataclasses import asdict
from typing import Any

from kd.config import TrainConfig
from tuning.exporters._values import Values
from tuning.exporters._writers import as_yaml


def export(config: TrainConfig) -> str:
    """Trainer, optimiser and schedule, and the method's values as the module's `init_args`.

    Raises:
        UserError: a warm-up, cycles, or a cosine schedule, which Lightning's YAML cannot step by
            batch.
    """
    values = Values(config, "lightning")
    values.sgd()
    values.require("optimizer.warmup", 0.0, "its lr_scheduler is one of PyTorch's, without warm-up")
    values.require("kd.cycles", 1, "its lr_scheduler does not begin anew")
    values.require("optimizer.schedule", "step", "its lr_scheduler steps once an epoch")
    for name in vars(config.kd):
        values.take(f"kd.{name}")
    init_args: dict[str, Any] = {
        "method": values.take("method"),
        "backbone": values.take("backbone"),
        **asdict(config.kd),
    }
    sections = {
        "seed_everything": values.take("seed"),
        "trainer": {"max_epochs": values.take("epochs")},
        "model": {"init_args": init_args},
        "data": {"init_args": {"batch_size": values.take("batch_size")}},
        "optimizer": {
            "class_path": "torch.optim.SGD",
            "init_args": {
                name: values.take(f"optimizer.{name}")
                for name in ("lr", "momentum", "weight_decay", "nesterov")
            },
        },
        "lr_scheduler": {
            "class_path": "torch.optim.lr_scheduler.MultiStepLR",
            "init_args": {
                "milestones": values.milestones(),
                "gamma": values.take("optimizer.gamma"),
            },
        },
    }
    note = "python main.py fit --model YourModule --data YourData --config THIS-FILE"
    return values.header(note) + as_yaml(sections)
