"""What a sweep tries next, and what it learns of every trial: Optuna, by ask and tell.

The study knows every epoch of every trial and how the trial ended; a trial that was stopped
early is never told as complete at the low accuracy of an early epoch, nor a diverged one left
running for ever. It is also the sweep's only memory: a sweep is resumed by a new searcher over
the same study, whatever engine ran the trials.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.trial import TrialState

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Space
from tuning.storage.patience import FULL
from tuning.study.budget import Budget
from tuning.study.journal import OPTUNA_STATES, read_trials
from tuning.study.objectives import ATTRIBUTE, Objectives, told_of
from tuning.study.observers import Observers
from tuning.study.sampling import TPE, Sampling
from tuning.study.stopping import score
from tuning.study.trials import Observer, Report, Span, TrialRecord, measured, outcome
from tuning.study.warm import COLD, WarmStart

logger = logging.getLogger(__name__)

NOTED_EVERY = 10.0
"""Seconds between two notes of a running trial that it runs; each costs as much as a report."""
HOPELESS = 8
"""Trials in a row that fail, after which a search that no number of trials ends begins no more."""


class StudySearcher:
    """Draws `num_trials` configurations from `space` and records what becomes of them.

    None draws until the `budget` is spent; the sampler is told that so many are `planned`. The
    first is the paper's default, `base`. Of a resumed study, finished trials count, and those that
    were running are given out first, as they were, to go on from their own checkpoints.

    `records` holds every trial by its number; `gpus` is how many GPUs, or which part of one, the
    trials hold that are given out from now on. `error` is set once the study, or a trial's files,
    cannot be written: no other trial's end is recorded, and `suggest` raises it. What runs then
    stays unfinished, with its files, for a resumed sweep; `again` ends the sentence of it. So does
    what runs when the `budget` is spent, towards which trials of `before` count too; then `over`
    says which bound was reached. No epoch begins beyond a bound in epochs. `sampler` names how
    configurations are drawn; a grid may have fewer. `objectives` are what trials are compared in.
    `warm` is what the first trials are after the default, and what the sampler is told of; a
    resumed study is given the same again.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        base: TrainConfig,
        num_trials: int | None,
        *,
        planned: int | None = None,
        seed: int = 0,
        sampler: str = TPE,
        objectives: Objectives = (),
        budget: Budget | None = None,
        before: Sequence[TrialRecord] = (),
        warm: WarmStart = COLD,
        observers: Sequence[Observer] = (),
        again: str = "resume the sweep.",
    ) -> None:
        self.study = study
        self._again = again
        self.records: dict[int, TrialRecord] = {r.number: r for r in read_trials(study)}
        self.error: UserError | None = None
        self.gpus = 0.0
        self.observers = Observers(observers)
        plan = planned, objectives, warm
        self._sampling = Sampling(space, base, num_trials, seed, sampler, *plan)
        self._num_trials, self._objectives = self._sampling.trials, objectives
        self._failed = 0
        self._budget = Budget() if budget is None else budget
        self._before = tuple(before)
        self._remarked, self._given_up = set[str](), set[int]()
        self._running: dict[int, optuna.Trial] = {}
        self._told: dict[int, int] = {}
        trials = study.get_trials(deepcopy=False)
        self._unfinished = deque(t for t in trials if t.state == TrialState.RUNNING)
        self._starved: list[optuna.Trial] = []
        # A kill may have come between two of them.
        for values in self._sampling.first[len(trials) :]:
            with self._storing():
                study.enqueue_trial(values)

    # -- called by the engine -----------------------------------------------------------------

    def suggest(self) -> TrialRecord | None:
        """The next trial to run; None once all were given out.

        Raises `UserError` if the study, or a trial's files, cannot be written.
        """
        if self.error is None and (self.over or not (self._unfinished or self._more())):
            return None
        with self._storing():
            self.study.sampler = self._sampling.after([r.config for r in self.records.values()])
            if self._unfinished:
                trial = optuna.Trial(self.study, self._unfinished.popleft()._trial_id)
            else:
                trial = self.study.ask()
            # A killed sweep may leave a trial that was only half drawn.
            if trial.number not in self.records:
                self.records[trial.number] = self._begin(trial)
            record = self.records[trial.number]
            if record.gpus != self.gpus:
                record.gpus = self.gpus
                trial.set_user_attr("gpus", self.gpus)
            now = time.time()
            self._keep_spans(trial, (*record.spans, (now, now)))
        self._running[trial.number] = trial
        self._tell_observers("on_start", record)
        return record

    @property
    def over(self) -> str:
        """The bound that lets nothing more begin, "" while there is none.

        An epoch is spent as soon as it begins: a trial that runs is in one, but after its last.
        """
        running = (self.records[number] for number in self._running.keys() - self._given_up)
        begun = sum(record.epoch < record.config["epochs"] for record in running)
        return self._budget.spent((*self._before, *self.records.values()), begun)

    def wants(self, number: int, epoch: int | None = None) -> bool:
        """Whether that trial is to go on: not where its epochs could be kept, or paid, no more.

        `epoch` is the one that it tells; one that was told before a restart costs nothing.
        """
        known = epoch is not None and epoch <= self.records[number].epoch
        return self.error is None and (known or not self.over)

    def report(self, number: int, report: Report) -> None:
        """Record one epoch; one that is known already, after a restart, stays as it was told."""
        if number in self._running:
            self._record_epoch(self._running[number], report)

    def give_up(self, number: int) -> None:
        """Hear that the rule stops that trial, so that a bound does not only cut it short."""
        self._given_up.add(number)

    def spare(self, number: int, epoch: int) -> None:
        """Note that the trial runs on, though it would have been stopped after `epoch`."""
        record, trial = self.records[number], self._running.get(number)
        if trial is None or epoch >= record.config["epochs"]:
            return
        record.spared = epoch
        with suppress(UserError), self._storing():
            trial.set_user_attr("spared", epoch)

    def end(self, number: int, report: Report | None = None, *, crashed: bool = False) -> None:
        """Record how a trial ended: by itself, stopped early, or with its process (`crashed`).

        `report` is its last one, if it is not recorded yet. A trial that starved goes on after
        `take_up_starved`.
        """
        if number not in self._running:
            return
        over, trial = self.over, self._running.pop(number)
        report = report or {}
        if report.get("starved"):
            self._pause(trial)
            self._starved.append(trial)
            return
        if report.get("unstored") and self.error is None:
            why = f"{report['failed']} and {self._again}"
            self.error = UserError(f"A training is unfinished: {why}")
        self._record_epoch(trial, report)
        if self.error is not None:
            return
        record = self.records[number]
        ended = crashed or "failed" in report or report.get("diverged") or number in self._given_up
        if over and not ended and record.epoch < record.config["epochs"]:
            # Cut short, it goes on where the sweep may spend more.
            self._pause(trial)
            return
        record.state, record.reason = outcome(record, report, crashed)
        record.ended = time.time()
        self._failed = self._failed + 1 if record.state == "failed" else 0
        self._pause(trial)
        with suppress(UserError), self._storing():
            trial.set_user_attr("metrics", record.metrics)
            trial.set_user_attr("reason", record.reason)
            if report.get("diverged"):
                # Optuna ranks stopped trials by how far they came; a trial that breaks a
                # constraint comes after all of them.
                trial.set_constraint("diverged", 1.0)
            done = record.state == "completed"
            self.study.tell(trial, record.score if done else None, OPTUNA_STATES[record.state])
        if self.error is None:
            # An observer may delete the files that a resumed sweep goes on from.
            self._tell_observers("on_end", record)

    def pause(self) -> None:
        """Note until when the running trials ran: this session ends, whatever ends it."""
        for trial in self._running.values():
            self._pause(trial)

    def take_up_starved(self) -> bool:
        """Let `suggest` give out again the trials that ran out of memory; whether there are any."""
        trials = self.study.get_trials(deepcopy=False)
        self._unfinished.extend(trials[trial.number] for trial in self._starved)
        self._starved.clear()
        return bool(self._unfinished)

    # -- inside -------------------------------------------------------------------------------

    def _more(self) -> bool:
        """Whether there is a trial to begin."""
        if self._num_trials is None:
            # What fails at once spends nothing, and would never end.
            return self._failed < HOPELESS
        return len(self.records) < self._num_trials

    def _begin(self, trial: optuna.Trial) -> TrialRecord:
        plain, about = self._draw(trial).to_dict(), self._sampling.about(trial.number)
        about |= {"seeds": seeds} if (seeds := self._budget.seeds) > 1 else {}
        for name, value in (about | {"config": plain}).items():
            trial.set_user_attr(name, value)
        return TrialRecord(number=trial.number, config=plain, started=time.time(), **about)

    def _draw(self, trial: optuna.Trial) -> TrainConfig:
        return self._sampling.draw(trial)

    def _record_epoch(self, trial: optuna.Trial, report: Report) -> None:
        record = self.records[trial.number]
        if report.get("began_again"):
            logger.warning("Trial %d begins again: its checkpoint cannot be read.", record.number)
        for remark in report.get("remarks", ()):
            if remark not in self._remarked:
                self._remarked.add(remark)
                logger.warning("Trial %d: %s", record.number, remark)
        epoch = report.get("epoch")
        if epoch is None or "failed" in report:
            return
        metrics = measured(report)
        if epoch in record.curve:
            # Trained again, from an older checkpoint, it may have come out otherwise.
            metrics["val_acc"] = record.curve[epoch]
        if epoch > record.epoch or (epoch == record.epoch and not record.metrics):
            record.metrics = metrics
        if epoch not in record.curve:
            value, told = score(report), told_of(report, self._objectives)
            with suppress(UserError), self._storing():
                if told:
                    # Before the epoch itself, which would else be known and never told whole.
                    trial.set_user_attr(f"{ATTRIBUTE}{epoch}", told)
                trial.report(value, epoch)
            record.curve[epoch] = value
            if told:
                record.told[epoch] = told
            if time.time() - record.spans[-1][1] >= NOTED_EVERY:
                self._pause(trial)
        # What the study holds already an observer may have missed when the last process died.
        if epoch > self._told.get(record.number, 0):
            self._told[record.number] = epoch
            self._tell_observers("on_epoch", record, epoch, metrics)

    def _pause(self, trial: optuna.Trial) -> None:
        """Let the trial's last span end now, for the time being: a kill -9 comes unannounced."""
        *earlier, (start, _) = self.records[trial.number].spans
        with suppress(UserError), self._storing():
            self._keep_spans(trial, (*earlier, (start, time.time())))

    def _keep_spans(self, trial: optuna.Trial, spans: tuple[Span, ...]) -> None:
        self.records[trial.number].spans = spans
        trial.set_user_attr("spans", spans)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """Turn a disk that is full or gone into `error`, after which nothing more is written.

        A line behind one that was cut short would make the whole journal unreadable.
        """
        if self.error:
            raise self.error
        try:
            yield
        except OSError as error:
            remedy = "free some space" if error.errno in FULL else "put its folder back as it was"
            why = f"The study cannot be written: {error.strerror or error}"
            self.error = UserError(f"{why}; {remedy} and {self._again}")
            raise self.error from None

    def _tell_observers(self, event: str, *details: Any) -> None:
        """Tell every observer what the study could be told; else it happens again when resumed."""
        if not self.error:
            self.observers.tell(event, *details)
