"""What a search may ask of its trials: val accuracy, and what a person weighs against it.

An objective is a row of `OBJECTIVES`. Within one sweep the backbone is the same, so what is a
backbone's alone tells sweeps apart, and neither draws nor stops a trial.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf, isfinite
from typing import Any, Literal

from kd.errors import UserError, unknown

Losses = tuple[float, ...]
"""What a trial came to in each objective, lower being better whatever its direction."""
Told = Mapping[int, Mapping[str, float]]
"""By 1-based epoch what a trial told of it, by the names of objectives."""

SAMPLERS = ("tpe", "random", "qmc", "grid")
"""Those that may draw for several objectives: by a ranking of trials, or without learning."""
SCHEDULERS = ("asha", "none")
"""Those that may stop by several objectives."""
ATTRIBUTE = "told."
"""What the attribute of a study's trial begins with that keeps one epoch of `Told`."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is asked for.

    `words` and `unit` are for people. `of` says where its value comes from: an `epoch`'s report,
    the sum over the `training` until an epoch, both under the key `metric`, or the `backbone`
    (`kd.cost`, under its `name`).
    """

    name: str
    words: str
    unit: str
    better: Literal["higher", "lower"] = "lower"
    of: Literal["epoch", "training", "backbone"]
    metric: str = ""

    @property
    def sign(self) -> float:
        """What a value is multiplied by to be a loss."""
        return -1.0 if self.better == "higher" else 1.0

    def shown(self, value: float) -> str:
        """`93.21 %`, `41.2 s`; a dash for what was not measured."""
        if not isfinite(value):
            return "–"
        return f"{value:.2f} %" if self.unit == "%" else f"{value:.4g} {self.unit}"

    def course(self, curve: Mapping[int, float], told: Told) -> dict[int, float]:
        """Its value by epoch, of a trial with that curve of val accuracies.

        Of a sum the mean stands for an epoch that a resumed trial did not tell.
        """
        if self.name == VAL_ACC.name:
            return dict(curve)
        values = {e: told[e][self.name] for e in sorted(told) if self.name in told[e]}
        if self.of != "training":
            return values
        sums = zip(values, accumulate(values.values()), strict=True)
        return {epoch: total / count * epoch for count, (epoch, total) in enumerate(sums, 1)}


VAL_ACC = Objective(
    name="val_acc", words="val accuracy", unit="%", better="higher", of="epoch", metric="val_acc"
)
"""The first objective of every search, and what is handed out goes by."""
OBJECTIVES = {
    objective.name: objective
    for objective in (
        VAL_ACC,
        # Guo et al. 2017, of val: kd.metrics.calibration_error.
        Objective(name="ece", words="calibration error", unit="%", of="epoch", metric="val_ece"),
        Objective(
            name="train_seconds",
            words="training time",
            unit="s",
            of="training",
            metric="train_seconds",
        ),
        Objective(name="params", words="parameters", unit="M", of="backbone"),
        Objective(name="macs", words="multiply-adds of an image", unit="M", of="backbone"),
        Objective(name="latency", words="time of an image", unit="ms", of="backbone"),
    )
}
"""By its name every objective that there is."""
Objectives = Sequence[Objective]


def chosen(names: Iterable[str]) -> tuple[Objective, ...]:
    """The objectives of those names, in the order of `OBJECTIVES`; val accuracy in any case.

    Raises `UserError` for a name that is not registered.
    """
    asked = {VAL_ACC.name, *names}
    for name in asked:
        if name not in OBJECTIVES:
            raise unknown("objective", name, OBJECTIVES)
    return tuple(one for one in OBJECTIVES.values() if one.name in asked)


def searched(objectives: Objectives) -> tuple[Objective, ...]:
    """Those in which the trials of one sweep differ."""
    return tuple(objective for objective in objectives if objective.of != "backbone")


def check_objectives(
    names: Iterable[str], sampler: str, scheduler: str, samplers: Iterable[str]
) -> None:
    """Raise `UserError` for names that there are not, and for what knows one objective alone.

    `samplers` are the names of all that there are.
    """
    several = searched(chosen(names))
    if len(several) < 2:
        return
    asked = " and ".join(objective.name for objective in several)
    usual = [name for name in SAMPLERS if name in samplers]
    for flag, given, able in (("sampler", sampler, usual), ("scheduler", scheduler, SCHEDULERS)):
        if given not in able:
            raise UserError(
                f"--{flag} {given} knows val accuracy alone, and {asked} are asked for; give "
                f"--{flag} {' or '.join(able)}, or leave --objective away."
            )


def told_of(report: Mapping[str, Any], objectives: Objectives) -> dict[str, float]:
    """What a report tells beside val accuracy that the objectives need."""
    needed = [one for one in searched(objectives) if one.name != VAL_ACC.name]
    found = {one.name: report.get(one.metric) for one in needed}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and isfinite(value)
    }


def kept_told(attributes: Mapping[str, Any], epochs: Iterable[int]) -> dict[int, dict[str, float]]:
    """What a trial of a study told, from its attributes; of other epochs than those nothing."""
    kept = {epoch: attributes.get(f"{ATTRIBUTE}{epoch}") for epoch in epochs}
    return {epoch: dict(told) for epoch, told in kept.items() if told}


def losses(objectives: Objectives, curve: Mapping[int, float], told: Told) -> dict[int, Losses]:
    """The losses of every epoch of the curve; what an epoch did not tell is infinitely bad."""
    courses = [(one.sign, one.course(curve, told)) for one in objectives]
    return {
        epoch: tuple(sign * course[epoch] if epoch in course else inf for sign, course in courses)
        for epoch in curve
    }
