"""What a trial writes while it trains: its newest state, and in the end its student."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kd.training import checkpoint
from kd.training.teacher import describe
from kd.training.trainer import Metrics, Trainer
from kd.training.writer import CheckpointWriter

if TYPE_CHECKING:
    from kd.training.trainer import State
    from tuning.engine.trial import Work


class TrialWriter:
    """Writes the files of trial `number`, on its first worker; on the others nothing.

    Whoever hears that a trial ended deletes its files, and none may come after. So nothing is on
    its way while it is told of an epoch that may end the trial, and nothing is begun before it is
    known to go on: `until_passed` waits for that, after the epoch that it is given.
    """

    def __init__(
        self, trainer: Trainer, work: "Work", number: int, until_passed: Callable[[int], None]
    ) -> None:
        self._trainer = trainer
        self._work = work
        self._student = work.files.student(number)
        self._until_passed = until_passed
        self._first = trainer.place.rank == 0
        shelf, latest = work.files.shelf, work.files.checkpoint(number)
        self.newest = CheckpointWriter(
            lambda state: shelf.put(latest, lambda path: checkpoint.save(state, path)),
            always=[trainer.before + rung for rung in work.judged.rungs],
        )

    def before_telling(self, metrics: Metrics) -> None:
        """The trainer's epoch is about to be told; of the last one, all is written before."""
        if not self._first:
            return
        if self._ended:
            trainer = self._trainer
            about = describe(trainer.config, self._work.train, metrics)
            self._work.files.shelf.put(
                self._student, lambda path: checkpoint.save_weights(trainer.student, path, about)
            )
            self.newest.finish(trainer.trained, trainer.state)
        elif self._judged:
            self.newest.settle()

    def after_telling(self, metrics: Metrics) -> None:
        """The trainer's epoch was told; before the last one, its state may be due."""
        if self._first and not self._ended:
            self.newest.offer(self._trainer.trained, metrics["epoch_seconds"], self._passed)

    def _passed(self) -> "State":
        if self._judged:
            self._until_passed(self._trainer.epoch)
        return self._trainer.state()

    @property
    def _judged(self) -> bool:
        return self._trainer.epoch in self._work.judged

    @property
    def _ended(self) -> bool:
        return self._trainer.epoch == self._trainer.config.epochs
