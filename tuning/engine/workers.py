"""One trial on several workers: a group of Ray Train's, which ends when the trial does.

Tune's actor for such a trial computes nothing. It starts the group, passes its reports on, and
ends the group itself: a group whose trial is merely killed keeps its placement group, and with
it the resources, until the sweep ends.
"""

import os
from contextlib import suppress
from threading import Thread
from typing import Any, NamedTuple

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.train import UserCallback, WorkerGroupError
from ray.train.torch import TorchTrainer, get_device
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.tune import Trainable
from torch.distributed import DistError

from tuning.engine.mailbox import Mailbox
from tuning.engine.notice import GivenBackError, given_back, told_to_go
from tuning.engine.rendezvous import torch_config
from tuning.engine.share import Share
from tuning.engine.trial import ended_by, lost_device, train_trial

SUPERVISION: dict[str, float] = {"cpu": 0, "memory": 256 * 2**20}
"""What Tune's own actor of a trial holds: no core, so that the workers' always find room."""

_SETTINGS = {
    # A report waits for the next look at the workers.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.3",
    # A cluster may have to start machines first.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "900",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


class Told(NamedTuple):
    """One report of the group, and the controller that ends the group."""

    report: dict[str, Any]
    controller: ActorHandle[Any]


class TrainingError(Exception):
    """A worker's own error, in contrast to that of one whose peer was lost.

    It holds the trial's last report.
    """


class _Reporter(UserCallback):
    """Passes the first worker's reports on; lives in the group's controller."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any
    ) -> None:
        self._mailbox.put(Told(metrics[0], ray.get_runtime_context().current_actor))


class WorkersTrial(Trainable):
    """A trial on `share.workers` workers, which train data-parallel.

    A worker that is lost, or a group that cannot be started, is an error of the trial, which
    Tune then starts again; an exception in the training is the trial's failure. One that leaves a
    machine that is told to go is started again as often as that happens.
    """

    _controller: ActorHandle[Any] | None
    _last: tuple[int, int] | None
    """Trial and epoch of the last report."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], *, works: list[Any], share: Share
    ) -> None:
        """`works` holds one reference to the list of `Work`s, so that this actor reads no image."""
        os.environ.update(_SETTINGS)
        self._works = works
        self._share = share
        self._mailbox = Mailbox()
        self._start()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial."""
        self._stop()
        self.config = new_config
        self._start()
        return True

    def step(self) -> dict[str, Any]:
        """The group's next report; who asks for it lets the trial go on after the last one."""
        if self._last is not None:
            self._mailbox.go_on(*self._last)
        told = self._mailbox.get()
        if isinstance(told, Exception):
            return self._failure(told)
        self._controller = told.controller
        self._last = told.report["trial"], told.report["epoch"]
        last = told.report["epoch"] == self.config["config"]["epochs"]
        return {"done": last, **told.report}

    def cleanup(self) -> None:
        """End the group, whatever it is doing."""
        self._stop()
        self._mailbox.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing, for the snapshot that Tune makes of a finished trial: it has its own files."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: the training finds its own checkpoint."""

    # -- the group ----------------------------------------------------------------------------

    def _start(self) -> None:
        assignment, works, share = self.config, self._works, self._share
        mailbox, self._last = self._mailbox, None

        def until_passed(epoch: int) -> None:
            mailbox.until_passed(assignment["trial"], epoch)

        def loop() -> None:
            work = ray.get(works[0])[assignment["lane"]]
            cpus, device = share.cpus // share.workers, str(get_device())
            try:
                train_trial(
                    assignment,
                    work,
                    cpus=cpus,
                    device=device,
                    tell=ray.train.report,
                    until_passed=until_passed,
                    leaves=told_to_go(),
                )
            except GivenBackError:
                raise
            except Exception as error:
                if isinstance(error, DistError) or "gloo" in str(error) or lost_device(error):
                    raise
                raise TrainingError(ended_by(error, assignment)) from None

        trainer = TorchTrainer(
            loop,
            torch_config=torch_config(),
            scaling_config=ScalingConfig(
                num_workers=share.workers,
                use_gpu=share.gpus > 0,
                resources_per_worker=share.per_worker,
            ),
            run_config=RunConfig(  # type: ignore[arg-type]
                name="workers",
                storage_path=self.logdir,
                callbacks=[_Reporter(mailbox)],
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
            ),
        )
        self._controller = None
        self._thread = Thread(target=self._watch, args=[trainer], daemon=True)
        self._thread.start()

    def _watch(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except Exception as error:
            self._mailbox.put(error)

    def _stop(self) -> None:
        if self._controller is not None:
            with suppress(RayActorError):
                ray.get(self._controller.abort.remote())
        elif self._thread.is_alive():
            # Only the end of the whole sweep ends a trial that told nothing, and its group too.
            return
        self._thread.join()
        self._mailbox.clear()

    def _failure(self, error: Exception) -> dict[str, Any]:
        """The last report of a training that failed; raises `error` if a worker was lost."""
        failures = error.worker_failures if isinstance(error, WorkerGroupError) else {}
        for cause in failures.values():
            if isinstance(cause, TrainingError):
                last: dict[str, Any] = cause.args[0]
                return last
            if isinstance(cause, GivenBackError):
                raise given_back()
        raise error
