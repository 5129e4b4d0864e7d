"""A hyperparameter's domain in Optuna's words."""

from typing import TYPE_CHECKING, Any

from search_spaces import Choice, Range

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution


def suggest(trial: "Trial", name: str, domain: Range | Choice) -> Any:
    """A value of `domain` for the trial's hyperparameter `name`."""
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.values)
    if domain.integer:
        low, high = map(int, domain.corners())
        step = int(domain.step or 1)
        return trial.suggest_int(name, low, high, log=domain.log, step=step)
    low, high = domain.corners()
    value = trial.suggest_float(name, low, high, log=domain.log, step=domain.step)
    # Optuna adds steps up in floats: 0.1 and two of 0.1 are 0.30000000000000004 to it.
    return value if domain.step is None else domain.nearest(value)


def distribution(domain: Range | Choice) -> "BaseDistribution":
    """What `suggest` draws from, as Optuna has it."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    low, high = domain.corners()
    if domain.integer:
        return IntDistribution(int(low), int(high), log=domain.log, step=int(domain.step or 1))
    return FloatDistribution(low, high, log=domain.log, step=domain.step)
