"""Optuna as a Ray Tune searcher, by ask and tell.

Ray's own adapter tells Optuna that a trial which the scheduler stopped is complete, at the low
accuracy of an early epoch, and leaves a diverged one running for ever. Here the study knows
every epoch of every trial and how the trial ended. It is also the sweep's only memory: a sweep
is resumed by a new searcher over the same study, without Ray's own snapshots.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.search import Searcher

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Choice, Range, Space
from tuning.study.journal import STATES, read_trials
from tuning.study.stopping import score
from tuning.study.trials import Observer, State, TrialRecord

logger = logging.getLogger(__name__)

NOT_METRICS = {*AUTO_RESULT_KEYS, "trial", "epoch", "trial_id", "experiment_tag", "done"}


class StudySearcher(Searcher):
    """Draws `num_trials` configurations from `space` and records what becomes of them.

    The first is the paper's default, `base`. Of a resumed study, finished trials count, and
    those that were running are suggested again first, under their number and with their
    configuration, so that they go on from their own checkpoints.

    Tune's config of a trial is {"trial": its number, "config": `TrainConfig.to_dict()`}. A
    report holds "trial", "epoch" (1-based) and "val_acc" (percent), any other numbers, and
    where it is the last one, perhaps "diverged": True or "failed": a sentence. A trial that ends
    with "starved": True, for want of GPU memory, goes on after `take_up_starved`.

    `records` holds every trial by its number; `gpus` is how many GPUs, or which part of one, the
    trials hold that are given out from now on. `error` is set once the study cannot be written:
    nothing more is recorded, and `suggest` raises it.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        base: TrainConfig,
        num_trials: int,
        *,
        seed: int = 0,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(metric="val_acc", mode="max")
        self.study = study
        self.records: dict[int, TrialRecord] = {r.number: r for r in read_trials(study)}
        self.error: UserError | None = None
        self.gpus = 0.0
        self._space = space
        self._base = base
        self._num_trials = num_trials
        self._seed = seed
        self._observers = observers
        self._muted: set[int] = set()
        self._trials: dict[str, optuna.Trial] = {}
        self._told: dict[int, int] = {}
        trials = study.get_trials(deepcopy=False)
        self._unfinished = deque(t for t in trials if t.state == TrialState.RUNNING)
        self._starved: list[optuna.Trial] = []
        if not trials:
            with self._storing():
                study.enqueue_trial(space.default_values(base))

    # -- called by Ray Tune -------------------------------------------------------------------

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        """The next trial for Tune; FINISHED once all were given out.

        Raises `UserError` if the study cannot be written.
        """
        if not self._unfinished and len(self.records) >= self._num_trials:
            return Searcher.FINISHED
        with self._storing():
            self.study.sampler = self._sampler()
            if self._unfinished:
                trial = optuna.Trial(self.study, self._unfinished.popleft()._trial_id)
            else:
                trial = self.study.ask()
            # A killed sweep may leave a trial that was only half drawn.
            if trial.number not in self.records:
                self.records[trial.number] = self._draw(trial)
            record = self.records[trial.number]
            if record.gpus != self.gpus:
                record.gpus = self.gpus
                trial.set_user_attr("gpus", self.gpus)
        self._trials[trial_id] = trial
        self._tell_observers("on_start", record)
        return {"trial": trial.number, "config": record.config}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record one epoch; one that is known already, after a restart, counts for nothing."""
        if trial_id in self._trials:
            self._record_epoch(self._trials[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record how a trial ended: by itself, stopped by the scheduler, or by an error."""
        trial = self._trials.pop(trial_id, None)
        if trial is None:
            return
        result = result or {}
        if result.get("starved"):
            self._starved.append(trial)
            return
        # Tune shows the report after which the scheduler stops a trial only here.
        self._record_epoch(trial, result)
        record = self.records[trial.number]
        record.state, record.reason = _outcome(record, result, error)
        record.ended = time.time()
        with suppress(UserError), self._storing():
            trial.set_user_attr("metrics", record.metrics)
            trial.set_user_attr("reason", record.reason)
            if result.get("diverged"):
                # Optuna ranks stopped trials by how far they came; a trial that breaks a
                # constraint comes after all of them.
                trial.set_constraint("diverged", 1.0)
            done = record.state == "completed"
            self.study.tell(trial, record.score if done else None, OPTUNA_STATES[record.state])
        self._tell_observers("on_end", record)

    def take_up_starved(self) -> bool:
        """Let `suggest` give out again the trials that ran out of memory; whether there are any."""
        trials = self.study.get_trials(deepcopy=False)
        self._unfinished.extend(trials[trial.number] for trial in self._starved)
        self._starved.clear()
        return bool(self._unfinished)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is saved as it grows, and Tune's snapshots are not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a new searcher over the same study goes on by itself."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the snapshot that Tune makes of everything it is given."""
        return {}

    # -- inside -------------------------------------------------------------------------------

    def _sampler(self) -> TPESampler:
        """A sampler for the next trial, seeded by its number.

        So a resumed sweep draws what the unbroken one would have drawn.
        """
        seeds = np.random.SeedSequence((self._seed, len(self.records))).generate_state(1)
        # Optuna's 10 random trials are most of a small search. On noisy quadratics of five
        # variables, 16 trials end 0.99 ± 0.06 below the optimum with 4 of them, 1.16 ± 0.08
        # with 10 (mean ± standard error, n = 120); from 32 trials on it makes no difference.
        startup = min(10, max(4, self._num_trials // 4))
        return TPESampler(n_startup_trials=startup, seed=int(seeds[0]))

    def _draw(self, trial: optuna.Trial) -> TrialRecord:
        values = {name: _suggest(trial, name, d) for name, d in self._space.parameters()}
        return _begin(trial, self._space.apply(self._base, values))

    def _record_epoch(self, trial: optuna.Trial, result: Mapping[str, Any]) -> None:
        record = self.records[trial.number]
        epoch = result.get("epoch")
        if epoch is None or "failed" in result:
            return
        metrics = _metrics(result)
        if epoch >= record.epoch:
            record.metrics = metrics
        if epoch not in record.curve:
            value = score(result)
            with suppress(UserError), self._storing():
                trial.report(value, epoch)
            record.curve[epoch] = value
        # What the study holds already an observer may have missed when the last process died.
        if epoch > self._told.get(record.number, 0):
            self._told[record.number] = epoch
            self._tell_observers("on_epoch", record, epoch, metrics)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Turn a full disk into `error`, after which nothing more is written.

        A line behind one that was cut short would make the whole journal unreadable.
        """
        if self.error:
            raise self.error
        try:
            yield
        except OSError as error:
            self.error = UserError(
                f"The study cannot be written: {error.strerror or error}; free some space and "
                "resume the sweep."
            )
            raise self.error from None

    def _tell_observers(self, event: str, *details: Any) -> None:
        """Tell every observer; one that fails is reported once, and the sweep goes on."""
        for index, observer in enumerate(self._observers):
            try:
                getattr(observer, event)(*details)
            except Exception as error:
                if index not in self._muted:
                    self._muted.add(index)
                    name = type(observer).__name__
                    logger.warning("%s failed and may miss trials: %r", name, error)


class ListSearcher(StudySearcher):
    """Trains a list of configurations, one trial each, with the same memory as a search.

    Raises UserError for a study whose trials are those of another list.
    """

    def __init__(
        self,
        study: optuna.Study,
        configs: Sequence[TrainConfig],
        *,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(study, Space({}), configs[0], len(configs), observers=observers)
        self._configs = configs
        asked = dict(enumerate(config.to_dict() for config in configs))
        if any(record.config != asked.get(number) for number, record in self.records.items()):
            raise UserError(
                "An earlier command began to train other configurations here; ask for the same "
                "ones again, or delete its .log file to begin anew."
            )

    def _draw(self, trial: optuna.Trial) -> TrialRecord:
        return _begin(trial, self._configs[trial.number])


def _begin(trial: optuna.Trial, config: TrainConfig) -> TrialRecord:
    plain = config.to_dict()
    trial.set_user_attr("config", plain)
    return TrialRecord(number=trial.number, config=plain, started=time.time())


OPTUNA_STATES = {state: optuna_state for optuna_state, state in STATES.items()}


def _suggest(trial: optuna.Trial, name: str, domain: Range | Choice) -> Any:
    if isinstance(domain, Choice):
        return trial.suggest_categorical(name, domain.values)
    if domain.integer:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """What the loop measured: the finite numbers that are not Tune's own."""
    return {
        name: float(value)
        for name, value in result.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and name not in NOT_METRICS
        and not name.startswith("config/")
    }


def _outcome(record: TrialRecord, result: Mapping[str, Any], error: bool) -> tuple[State, str]:
    if error:
        return "failed", "its process ended with an error"
    if "failed" in result:
        return "failed", str(result["failed"])
    if result.get("diverged"):
        return "stopped", f"the loss was not finite in epoch {record.epoch}"
    if not record.curve:
        return "failed", "it ended before its first report"
    epochs = record.config["epochs"]
    if record.epoch >= epochs:
        return "completed", ""
    return "stopped", f"behind others after epoch {record.epoch} of {epochs}"
