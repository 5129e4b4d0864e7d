"""One configuration trained on several seeds at once: to its trial it is one training.

The seeds take turns, an epoch each, in one process. What is told of an epoch is their mean, so
they are stopped together, and whoever ranks, compares or keeps trials goes by that mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from kd.config import SEEDS, TrainConfig
from kd.data import Images
from kd.data.device_loader import DeviceLoader
from kd.errors import UserError
from kd.parts.teacher import Teacher
from kd.training.trainer import Metrics, Place, Report, State, Trainer

FAR = 2**40
"""How far the seeds of one trial are apart: confirming takes those that follow the first."""
ALIKE = ("epoch", "phase_epoch", "phase_epochs", "lr")
"""What is the same on every seed."""
SUMMED = ("epoch_seconds",)
"""What the seeds take one after the other; all else is a mean, `train_seconds` too."""
DEVIATION = "val_acc_sd"
"""The standard deviation of val accuracy over the seeds, in points."""


def seeds_of(first: int, count: int) -> list[int]:
    """The seeds of a trial: its own `first`, and others that no confirmation comes to."""
    return [(first + FAR * place) % SEEDS for place in range(count)]


def mean_of(each: Sequence[Metrics]) -> Metrics:
    """What an epoch measured over all seeds, one `each`; of one seed just that."""
    first, *others = each
    if not others:
        return first
    found = {name: fmean(metrics[name] for metrics in each) for name in first}
    found |= {name: sum(metrics[name] for metrics in each) for name in SUMMED}
    found |= {name: first[name] for name in ALIKE if name in first}
    if "val_acc" in first:
        found[DEVIATION] = stdev(metrics["val_acc"] for metrics in each)
    return found


class Pool:
    """A `Trainer` for each of `seeds` seeds, to be trained as one.

    A training is a function of its configuration, whatever trains beside it: so each seed comes
    out as it would alone. `first` is that of the configuration's own seed; where it is the only
    one, all that is told and kept is its own.

    Raises:
        UserError: what a `Trainer` raises.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Images,
        val: Images,
        *,
        seeds: int = 1,
        place: Place,
        teachers: Sequence[Teacher] = (),
    ) -> None:
        place = replace(place, beside=place.beside * seeds)
        self.trainers = [
            Trainer(replace(config, seed=seed), train, val, place=place, teachers=teachers)
            for seed in seeds_of(config.seed, seeds)
        ]
        self.first = self.trainers[0]
        self.before_seconds = 0.0

    @property
    def history(self) -> list[Metrics]:
        """What was measured in every epoch of the main phase."""
        return [mean_of(each) for each in zip(*(t.history for t in self.trainers), strict=True)]

    @property
    def loader(self) -> DeviceLoader:
        """The batches of the first seed; the others' are as many."""
        return self.first.loader

    @property
    def remarks(self) -> list[str]:
        """What was not to be had as it was asked for, a sentence each."""
        return list(dict.fromkeys(said for one in self.trainers for said in one.remarks))

    def fit(self, report: Report) -> None:
        """Train the epochs that are left, and tell of each.

        Raises:
            DivergedError: the training loss of an epoch is not finite, on one of the seeds.
        """
        while self.first.epoch < self.first.config.epochs:
            report(self.run_epoch(), self.state)

    def run_epoch(self) -> Metrics:
        """Train one epoch on every seed; what `Trainer.run_epoch` measures, over all of them.

        Of a method with phases before the main one, each epoch of that has `before_seconds`,
        which they took here.
        """
        metrics = mean_of([trainer.run_epoch() for trainer in self.trainers])
        if not metrics["epoch"]:
            self.before_seconds += metrics["epoch_seconds"]
        elif self.first.before:
            metrics["before_seconds"] = self.before_seconds
        return metrics

    def try_out(self, steps: int, *, look: bool = True, part: int = -1) -> None:
        """Take a few steps on every seed, to see what they need; done when it returns."""
        for trainer in self.trainers:
            trainer.try_out(steps, look=look, part=part)

    def validate(self) -> None:
        """Look at val on every seed."""
        for trainer in self.trainers:
            trainer.validate()

    def state(self) -> State:
        """All that the rest of the run depends on."""
        states = [trainer.state() for trainer in self.trainers]
        whole = {"seeds": states} if len(states) > 1 else states[0]
        return {**whole, "before_seconds": self.before_seconds}

    def begin_main(self, state: State) -> None:
        """Begin the main phase with what those before it left to another, of which `state()` is.

        UserError for the state of a training that learnt from others, or on other seeds.
        """
        for trainer, own in zip(self.trainers, self._each(state), strict=True):
            trainer.begin_main(own)

    def load_state(self, state: State) -> None:
        """Go on from `state()`; UserError for any other, after which this is of no use."""
        for trainer, own in zip(self.trainers, self._each(state), strict=True):
            trainer.load_state(own)
        self.before_seconds = float(state.get("before_seconds", 0.0))

    def _each(self, state: State) -> list[State]:
        states: list[State] = state.get("seeds", [state])
        if len(states) != len(self.trainers):
            raise UserError(
                f"The checkpoint belongs to a training on {len(states)} seeds; train in a new "
                "folder."
            )
        return states
