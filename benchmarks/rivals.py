"""The searches that `benchmarks.search` compares, all over the same simulation.

Each begins with the paper's default, as a person would let it. `play` gives it slots and epochs
until the budget is spent, and hands out its best completed trial.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from search_spaces import Choice
from tuning.replaying.curves import Curves
from tuning.replaying.simulate import Simulated, play
from tuning.replaying.strategy import Plan, Strategy, StudyStrategy
from tuning.study.trials import TrialRecord

FACTOR = 3
"""Of every successive halving: one in so many goes on."""
Report = Mapping[str, Any]


def configured(source: Curves, number: int, values: Mapping[str, Any]) -> TrialRecord:
    """A trial of drawn values."""
    return TrialRecord(
        number=number, config=source.space.apply(source.base, dict(values)).to_dict()
    )


def random_configs(source: Curves, seed: int) -> Iterator[TrialRecord]:
    """The default, then configurations drawn evenly over the space."""
    rng, number = np.random.default_rng(seed), 0
    yield configured(source, 0, source.space.default_values(source.base))
    while number := number + 1:
        values: dict[str, Any] = {}
        for name, domain in source.space.parameters():
            if isinstance(domain, Choice):
                values[name] = domain.values[rng.integers(len(domain.values))]
            elif domain.log:
                drawn = rng.uniform(math.log(domain.low), math.log(domain.high))
                values[name] = min(max(math.exp(drawn), domain.low), domain.high)
            else:
                values[name] = float(rng.uniform(domain.low, domain.high))
        yield configured(source, number, values)


# -- libraries -------------------------------------------------------------------------------------


class OptunaLoop:
    """Optuna's TPESampler and MedianPruner in Optuna's own loop, as its documentation has it."""

    def __init__(self, source: Curves, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._source = source
        self._study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            pruner=optuna.pruners.MedianPruner(),
        )
        self._study.enqueue_trial(source.space.default_values(source.base))
        self._trials: dict[int, Any] = {}
        self._pruned = optuna.trial.TrialState.PRUNED

    def next(self) -> TrialRecord:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        values: dict[str, Any] = {}
        for name, domain in self._source.space.parameters():
            if isinstance(domain, Choice):
                values[name] = trial.suggest_categorical(name, domain.values)
            else:
                values[name] = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
        return configured(self._source, trial.number, values)

    def told(self, report: Report) -> bool:
        trial, value = self._trials[report["trial"]], report["val_acc"]
        trial.report(value, report["epoch"])
        if report["epoch"] == self._source.base.epochs:
            self._study.tell(trial, value)
            return True
        if trial.should_prune():
            self._study.tell(trial, state=self._pruned)
            return True
        return False


class RayTune:
    """What Ray Tune would do: its OptunaSearch and its ASHAScheduler, asked without a Ray."""

    def __init__(self, source: Curves, seed: int) -> None:
        from ray import tune
        from ray.tune.experiment import Trial
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        domains: dict[str, Any] = {}
        for name, domain in source.space.parameters():
            if isinstance(domain, Choice):
                domains[name] = tune.choice(list(domain.values))
            elif domain.log:
                domains[name] = tune.loguniform(domain.low, domain.high)
            else:
                domains[name] = tune.uniform(domain.low, domain.high)
        self._source = source
        self._trials: dict[int, Trial] = {}
        self._search = OptunaSearch(
            OptunaSearch.convert_search_space(domains),
            metric="val_acc",
            mode="max",
            seed=seed,
            points_to_evaluate=[source.space.default_values(source.base)],
        )
        self._scheduler = ASHAScheduler(
            time_attr="epoch",
            metric="val_acc",
            mode="max",
            max_t=source.base.epochs,
            grace_period=max(1, source.base.epochs // 27),
            reduction_factor=FACTOR,
        )

    def next(self) -> TrialRecord:
        from ray.tune.experiment import Trial

        number = len(self._trials)
        values = self._search.suggest(str(number))
        self._trials[number] = Trial("synthetic", stub=True)
        self._scheduler.on_trial_add(None, self._trials[number])
        return configured(self._source, number, values)

    def told(self, report: Report) -> bool:
        number, result = report["trial"], {**report, "training_iteration": report["epoch"]}
        trial = self._trials[number]
        decision = self._scheduler.on_trial_result(None, trial, result)
        if decision == self._scheduler.CONTINUE and report["epoch"] < self._source.base.epochs:
            self._search.on_trial_result(str(number), result)
            return False
        self._search.on_trial_complete(str(number), result)
        return True


# -- halvings of random configurations -------------------------------------------------------------


class Hyperband:
    """Hyperband (Li et al. 2018, algorithm 1), its brackets again and again.

    Bracket s of s_max … 0, s_max = ⌊log_η R⌋: n = ⌈(s_max + 1)·η^s/(s + 1)⌉ configurations of
    R·η^−s epochs; of each rung the best 1/η go on. A slot that has nothing to do in a bracket,
    whose rung waits for its last trials, begins the next bracket.
    """

    def __init__(self, source: Curves, seed: int) -> None:
        self._epochs = source.base.epochs
        self._configs = random_configs(source, seed)
        self._most = math.floor(math.log(self._epochs, FACTOR) + 1e-9)
        self._brackets: list[_Bracket] = []
        self._of: dict[int, _Bracket] = {}

    def next(self) -> TrialRecord:
        for bracket in self._brackets:
            if bracket.waiting:
                return bracket.waiting.popleft()
        s = self._most - len(self._brackets) % (self._most + 1)
        count = math.ceil((self._most + 1) * FACTOR**s / (s + 1) - 1e-9)
        records = [next(self._configs) for _ in range(count)]
        ends = [max(1, round(self._epochs * FACTOR ** (k - s))) for k in range(s + 1)]
        bracket = _Bracket(records, ends)
        self._brackets.append(bracket)
        self._of |= {record.number: bracket for record in records}
        return bracket.waiting.popleft()

    def told(self, report: Report) -> bool:
        return self._of[report["trial"]].told(report)


class _Bracket:
    """Trials that are halved at the epochs `ends`, together; `waiting` are those to go on.

    `best` of them go on, where it is given.
    """

    def __init__(self, records: list[TrialRecord], ends: list[int], best: int = 0) -> None:
        self._records = {record.number: record for record in records}
        self._ends, self._best = ends, best
        self._alive = len(records)
        self._scores: dict[int, float] = {}
        self.waiting = deque(records)

    def told(self, report: Report) -> bool:
        if report["epoch"] < self._ends[0]:
            return False
        self._scores[report["trial"]] = report["val_acc"]
        if len(self._scores) == self._alive and len(self._ends) > 1:
            self._alive = self._best or self._alive // FACTOR
            best = sorted(self._scores, key=lambda n: (-self._scores[n], n))[: self._alive]
            self._ends, self._scores = self._ends[1:], {}
            self.waiting.extend(self._records[number] for number in best)
        return True


class TopThree:
    """Every configuration one epoch, and the best three of them to the end."""

    def __init__(self, source: Curves, seed: int, budget: int) -> None:
        epochs, configs = source.base.epochs, random_configs(source, seed)
        count = max(3, budget - 3 * (epochs - 1))
        records = [next(configs) for _ in range(count)]
        self._bracket = _Bracket(records, [1, epochs], best=3)

    def next(self) -> TrialRecord | None:
        return self._bracket.waiting.popleft() if self._bracket.waiting else None

    def told(self, report: Report) -> bool:
        return self._bracket.told(report)


# -- all of them -----------------------------------------------------------------------------------


def _ours(
    sampler: str, scheduler: str, first: int | None = None
) -> Callable[[Curves, int, int], Strategy]:
    """With the first rung where a sweep has it, or at one part in `first` of the training."""

    def made(source: Curves, budget: int, seed: int) -> Strategy:
        grace = None if first is None else max(1, source.base.epochs // first)
        plan = Plan(sampler=sampler, scheduler=scheduler, epochs_total=budget, grace_period=grace)
        return StudyStrategy(source, plan, seed)

    return made


OURS, RANDOM = "ours", "random"
RIVALS: dict[str, Callable[[Curves, int, int], Strategy]] = {
    OURS: _ours("tpe", "asha"),
    RANDOM: _ours("random", "none"),
    "random + ASHA": _ours("random", "asha", first=27),
    "Optuna": lambda source, budget, seed: OptunaLoop(source, seed),
    "Ray Tune": lambda source, budget, seed: RayTune(source, seed),
    "Hyperband": lambda source, budget, seed: Hyperband(source, seed),
    "one epoch, top 3": lambda source, budget, seed: TopThree(source, seed, budget),
}
"""From a name to what makes the search for a source, a budget in epochs and a seed."""


def searched(name: str, source: Curves, *, budget: int, slots: int, seed: int) -> Simulated:
    """How the rival `name` fares."""
    strategy = RIVALS[name](source, budget, seed)
    return play(source, strategy, slots=slots, epochs_total=budget, seed=seed)
