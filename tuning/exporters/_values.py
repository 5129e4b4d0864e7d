"""The account of a configuration's values while they are given places in a target's format."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from math import ceil
from typing import Any

from kd.backbones.names import short
from kd.config import ImagesConfig, TeacherConfig, TrainConfig
from kd.errors import UserError
from kd.text import as_json, visible
from tuning.exporters._writers import commented

# They describe the data and the run; everything else is a hyperparameter.
_CIRCUMSTANCES = (
    *("method", "backbone", "dataset", "seed", "precision", "history"),
    "further_teachers",
)
_CIRCUMSTANCE_SECTIONS = ("images", "augment", "split", "teacher")


class Values:
    """The values of a configuration, by dotted names such as `optimizer.lr`.

    An exporter takes each one that it writes and requires each one that the target fixes;
    `check` then raises for a hyperparameter that was forgotten, so none is lost in silence.
    """

    def __init__(self, config: TrainConfig, target: str) -> None:
        self.config = config
        self.target = target
        self._left = dict(_named(config))

    def take(self, name: str) -> Any:
        """The value of `name`, which the exporter writes."""
        self._left.pop(name, None)
        value: Any = self.config
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def require(self, name: str, only: object, why: str) -> None:
        """Raise `UserError` unless `name` is `only`, which the target does anyhow."""
        if (value := self.take(name)) != only:
            raise self.refusal(name, value, why)

    def refusal(self, name: str, value: object, why: str) -> UserError:
        """The error for a value that the target has no word for."""
        return UserError(
            f"{self.target} cannot express {name}={visible(_plain(value))}: {why}; export to yaml "
            "instead."
        )

    def require_method(self, *methods: str, others: Mapping[str, str] | None = None) -> None:
        """Raise `UserError` unless the target implements the method, with one teacher at most.

        `others` are those that it has in another form, and what is other in them.
        """
        if why := (others or {}).get(self.config.method):
            raise UserError(
                f"{self.target} has another {self.config.method}: {why}; export to yaml, json or "
                "lightning instead."
            )
        if self.config.method not in methods:
            *first, last = methods
            only = f"{', '.join(first)} and {last}" if first else last
            raise UserError(
                f"{self.target} has no {self.config.method}, only {only}; export to yaml, json or "
                "lightning instead."
            )
        self.take("method")
        if (count := len(self.config.teachers)) > 1:
            raise UserError(
                f"{self.target} has one teacher, and this configuration has {count}; export to "
                "yaml instead."
            )
        if self.config.teacher.teacher is not None:
            raise UserError(
                f"{self.target} has no teacher that another one taught, and this configuration has "
                "an assistant; export to yaml instead."
            )

    def check(self) -> None:
        """Raise `UserError` naming the first hyperparameter that found no place."""
        for name, value in self._left.items():
            if not _is_circumstance(name):
                raise self.refusal(name, value, "it has no such value")

    def header(self, *notes: str) -> str:
        """Comment lines: `notes`, and what the target's own files must say."""
        self.check()
        if self.config.needs_teacher and "teacher.backbone" in self._left:
            self._left["teacher.backbone"] = self.teacher_backbone(take=False)
        lines = [
            f"Tuned {self.config.method} for {short(self.config.backbone)} on "
            f"{self.config.dataset}.",
            *notes,
        ]
        untaught = replace(self.config, teacher=TeacherConfig(), further_teachers=())
        usual = dict(_named(replace(untaught, images=ImagesConfig())))
        aside = [
            f"{name}={_plain(value)}"
            for name, value in self._left.items()
            if value is not None
            and not (("teacher" in name or "images." in name) and value == usual[name])
        ]
        if aside:
            lines.append("Not in this file: " + ", ".join(aside))
        return commented(lines)

    def milestones(self) -> list[int]:
        """The 0-based epochs at whose start a step schedule drops the learning rate."""
        marks = self.take("optimizer.milestones")
        return [ceil(mark * self.config.epochs - 1e-9) for mark in marks]

    def teacher_backbone(self, *, take: bool = True) -> str | None:
        """The network that teaches; None if only its file of weights tells.

        Where it is not to `take`, it is looked at alone, and not written.
        """
        teacher = self.config.teacher.backbone
        if take:
            self.take("teacher.backbone")
        if teacher is None and self.config.teacher.weights is None:
            return self.config.teacher_recipe().backbone
        return str(teacher) if teacher else None

    def plain_logits(self) -> None:
        """Raise `UserError` if the method standardises its logits."""
        self.require("kd.standardise", False, "it does not standardise logits")

    def kd_weights(self) -> tuple[float, float]:
        """The weights of CE and of T²·KL of `kd`."""
        for name in ("alpha", "multiplier", "ce_weight"):
            self.take(f"kd.{name}")
        ce_weight, kd_weight = self.take("kd.weights")
        return round(ce_weight, 12), kd_weight

    def sgd(self, *, spares_norms: bool = False) -> None:
        """Raise UserError for another optimizer than SGD that decays all parameters.

        Where the target `spares_norms`, it may spare biases and norms, and may not.
        """
        self.require("optimizer.name", "sgd", "what is written for it is SGD")
        self.take("optimizer.betas")
        if spares_norms:
            self.take("optimizer.decay_norms")
            return
        self.require("optimizer.decay_norms", True, "its weight decay holds for all parameters")

    def plain_cross_entropy(self) -> None:
        """Raise `UserError` if `ce` smooths its labels."""
        self.require("kd.label_smoothing", 0.0, "it has no label smoothing")
        self.take("kd.smoothing_spread")

    def label_smoothing(self) -> float:
        """The ε of `ce`, spread over all classes as PyTorch does."""
        if epsilon := float(self.take("kd.label_smoothing")):
            self.require("kd.smoothing_spread", "uniform", "its smoothing includes the label")
        self.take("kd.smoothing_spread")
        return epsilon


def _named(config: TrainConfig) -> Iterator[tuple[str, Any]]:
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            section = config.to_dict()[entry.name]
            for f in fields(value):
                own = getattr(value, f.name)
                yield f"{entry.name}.{f.name}", section[f.name] if is_dataclass(own) else own
        else:
            yield entry.name, config.to_dict()[entry.name]


def _is_circumstance(name: str) -> bool:
    return name in _CIRCUMSTANCES or name.partition(".")[0] in _CIRCUMSTANCE_SECTIONS


def _plain(value: object) -> str:
    return value if isinstance(value, str) else as_json(value)
