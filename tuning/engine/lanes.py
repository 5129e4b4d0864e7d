"""Several sweeps side by side in one Ray Tune run, sharing the cluster fairly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from kd.errors import UserError
from tuning.engine.stopping import EarlyStopping
from tuning.engine.trial import Work
from tuning.study.searcher import StudySearcher


@dataclass(frozen=True)
class Lane:
    """One study: what suggests its trials, what stops them, what they work on."""

    searcher: StudySearcher
    scheduler: EarlyStopping
    work: Work


class LaneSearcher(Searcher):
    """Gives the next free slot to the lane with the fewest running trials.

    Tune's config of a trial is its lane's, and "lane", the lane's place in the list.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__(metric="val_acc", mode="max")
        self._searchers = [lane.searcher for lane in lanes]
        self._running: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        """The next trial of the lane whose turn it is; FINISHED once no lane has any."""
        load = [list(self._running.values()).count(n) for n in range(len(self._searchers))]
        for lane in sorted(range(len(load)), key=load.__getitem__):
            assignment = self._searchers[lane].suggest(trial_id)
            if not isinstance(assignment, str):
                self._running[trial_id] = lane
                return {"lane": lane, **assignment}
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the trial's lane of one epoch."""
        if trial_id in self._running:
            self._searchers[self._running[trial_id]].on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the trial's lane that it ended."""
        if trial_id in self._running:
            lane = self._running.pop(trial_id)
            self._searchers[lane].on_trial_complete(trial_id, result, error)

    @property
    def error(self) -> UserError | None:
        """Why a study could not be written, if one could not."""
        return next((s.error for s in self._searchers if s.error is not None), None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the studies are saved as they grow."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a new searcher over the same studies goes on by itself."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the snapshot that Tune makes of everything it is given."""
        return {}


class LaneStopping(FIFOScheduler):
    """Lets every lane's own scheduler judge its trials."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._schedulers: list[EarlyStopping] = [lane.scheduler for lane in lanes]
        for lane in lanes:
            lane.scheduler.replay(lane.searcher.records.values())

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP or CONTINUE, after one report."""
        scheduler = self._schedulers[trial.config["lane"]]
        decision: str = scheduler.on_trial_result(tune_controller, trial, result)
        return decision
