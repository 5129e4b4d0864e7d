"""What a trial writes while it trains: its newest state, and in the end its student."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kd.training import checkpoint
from kd.training.teacher import describe
from kd.training.trainer import Metrics
from kd.training.writer import CheckpointWriter
from tuning.engine.pooled import Pool

if TYPE_CHECKING:
    from kd.training.trainer import State
    from tuning.engine.trial import Work


class TrialWriter:
    """Writes the files of trial `number`, on its first worker; on the others nothing.

    Of several seeds the state is kept of all, and the student is that of the first.

    Whoever hears that a trial ended deletes its files, and none may come after. So nothing is on
    its way while it is told of an epoch that may end the trial, and nothing is begun before it is
    known to go on: `until_passed` waits for that, after the epoch that it is given.
    """

    def __init__(
        self, pool: Pool, work: "Work", number: int, until_passed: Callable[[int], None]
    ) -> None:
        self._pool, self._trainer = pool, pool.first
        self._work = work
        self._student = work.files.student(number)
        self._until_passed = until_passed
        self._writes = self._trainer.place.rank == 0
        shelf, latest = work.files.shelf, work.files.checkpoint(number)
        self.newest = CheckpointWriter(
            lambda state: shelf.put(latest, lambda path: checkpoint.save(state, path)),
            always=[self._trainer.before + rung for rung in work.judged.rungs],
        )

    def before_telling(self) -> None:
        """The trainer's epoch is about to be told; of the last one, all is written before."""
        if not self._writes:
            return
        if self.ended:
            trainer = self._trainer
            about = describe(trainer.config, self._work.train, trainer.history[-1])
            self._work.files.shelf.put(
                self._student, lambda path: checkpoint.save_weights(trainer.student, path, about)
            )
            self.newest.finish(trainer.trained, self._pool.state)
        elif self._judged:
            self.newest.settle()

    def after_telling(self, metrics: Metrics) -> None:
        """The trainer's epoch was told; before the last one, its state may be due."""
        if self._writes and not self.ended:
            self.newest.offer(self._trainer.trained, metrics["epoch_seconds"], self._passed)

    def leave(self) -> None:
        """The trainer's epoch was told, and the next one will be trained elsewhere."""
        if self._writes:
            self.newest.finish(self._trainer.trained, self._passed)

    def _passed(self) -> "State":
        if self._judged:
            self._until_passed(self._trainer.epoch)
        return self._pool.state()

    @property
    def _judged(self) -> bool:
        return self._trainer.epoch in self._work.judged

    @property
    def ended(self) -> bool:
        """Whether the trainer's epoch is the trial's last."""
        return self._trainer.epoch == self._trainer.config.epochs
