"""What a trial writes while it trains: its newest state, and in the end its student."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kd.training import checkpoint
from kd.training.parallel import any_worker
from kd.training.teacher import describe
from kd.training.trainer import Metrics
from kd.training.writer import CheckpointWriter
from tuning.engine.notice import GivenBackError
from tuning.engine.pooled import Pool

if TYPE_CHECKING:
    from kd.training.trainer import State
    from tuning.engine.trial import Work


class TrialWriter:
    """Writes the files of trial `number`, on its first worker; on the others nothing.

    Of several seeds the state is kept of all, and the student is that of the first.

    Whoever hears that a trial ended deletes its files, and none may come after. So nothing is on
    its way while it is told of an epoch that may end the trial, and nothing is begun before it is
    known to go on: `until_passed` waits for that, after the epoch that it is given. `leaves` says
    whether the machine is told to go.
    """

    def __init__(
        self,
        pool: Pool,
        work: "Work",
        number: int,
        until_passed: Callable[[int], None],
        leaves: Callable[[], bool],
    ) -> None:
        self._pool, self._trainer = pool, pool.first
        self._work = work
        self._student = work.files.student(number)
        self._until_passed, self._leaves = until_passed, leaves
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
        if self._ended:
            trainer = self._trainer
            about = describe(trainer.config, self._work.train, trainer.history[-1])
            self._work.files.shelf.put(
                self._student, lambda path: checkpoint.save_weights(trainer.student, path, about)
            )
            self.newest.finish(trainer.trained, self._pool.state)
        elif self._judged:
            self.newest.settle()

    def after_telling(self, metrics: Metrics) -> None:
        """The trainer's epoch was told; before the last one, its state may be due.

        GivenBackError, once it is written, where the machine of a worker is told to go.
        """
        if self._ended:
            return
        trained, place = self._trainer.trained, self._trainer.place
        if any_worker(self._leaves(), place):
            if self._writes:
                self.newest.finish(trained, self._passed)
            # The first worker writes, and would be ended by the end of another.
            any_worker(False, place)
            raise GivenBackError
        if self._writes:
            self.newest.offer(trained, metrics["epoch_seconds"], self._passed)

    def _passed(self) -> "State":
        if self._judged:
            self._until_passed(self._trainer.epoch)
        return self._pool.state()

    @property
    def _judged(self) -> bool:
        return self._trainer.epoch in self._work.judged

    @property
    def _ended(self) -> bool:
        return self._trainer.epoch == self._trainer.config.epochs
