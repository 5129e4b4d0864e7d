"""Several studies in one Ray Tune run, sharing the cluster fairly.

Only here the searchers and the stopping rules of the studies meet Tune's interface.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.result import AUTO_RESULT_KEYS
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from kd.errors import UserError
from kd.screen import warn
from tuning.engine.notice import LEFT
from tuning.engine.trial import Work
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import EarlyStopping


@dataclass(frozen=True)
class Lane:
    """One study: what suggests its trials, what stops them, what they work on.

    `at_once` of its trials run beside each other at most.
    """

    searcher: StudySearcher
    stopping: EarlyStopping
    work: Work
    at_once: float = math.inf


class LaneSearcher(Searcher):
    """Gives the next free slot to the lane with the fewest running trials.

    Tune's config of a trial is {"lane": its lane's place in the list, "trial": its number there,
    "config": `TrainConfig.to_dict()`}.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__(metric="val_acc", mode="max")
        self._searchers = [lane.searcher for lane in lanes]
        self._at_once = [lane.at_once for lane in lanes]
        self._running: dict[str, tuple[int, int]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial of the lane whose turn it is; FINISHED once no lane has any.

        None where a lane may have another when one of its trials ended.
        """
        busy = [lane for lane, _ in self._running.values()]
        full = {lane for lane in busy if busy.count(lane) >= self._at_once[lane]}
        for lane in sorted(set(range(len(self._searchers))) - full, key=busy.count):
            record = self._searchers[lane].suggest()
            if record is not None:
                self._running[trial_id] = (lane, record.number)
                return {"lane": lane, "trial": record.number, "config": record.config}
        return None if full else str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the trial's study of one epoch."""
        if trial_id in self._running:
            lane, number = self._running[trial_id]
            self._searchers[lane].report(number, _own(result))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the trial's study that it ended.

        Only here Tune shows the report after which a trial was stopped.
        """
        if trial_id in self._running:
            lane, number = self._running.pop(trial_id)
            if self.error is not None:
                # It was not its own rule that stopped it: it goes on when the sweep is resumed.
                return
            self._searchers[lane].end(number, _own(result or {}), crashed=error)

    @property
    def error(self) -> UserError | None:
        """Why a study could not be written, if one could not."""
        return next((s.error for s in self._searchers if s.error is not None), None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the studies are saved as they grow, and Tune's snapshots are not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a new searcher over the same studies goes on by itself."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the snapshot that Tune makes of everything it is given."""
        return {}


class LaneStopping(FIFOScheduler):
    """Starts trials in order, and lets every lane's own rule end its trials."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rules = [lane.stopping for lane in lanes]
        self._searchers = [lane.searcher for lane in lanes]
        for lane in lanes:
            lane.stopping.replay(lane.searcher.records.values())

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP or CONTINUE, after one report; STOP where nobody wants to know any more."""
        lane, number = trial.config["lane"], trial.config["trial"]
        searcher = self._searchers[lane]
        if any(s.error for s in self._searchers):
            return str(TrialScheduler.STOP)
        stops = self._rules[lane].stops(_own(result))
        if stops:
            searcher.give_up(number)
        wanted = searcher.wants(number, result.get("epoch"))
        return str(TrialScheduler.CONTINUE if wanted and not stops else TrialScheduler.STOP)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as for the searcher."""
        return {}


class LaneMoves(Callback):
    """Says that a trial leaves its machine, which may be the last one: nothing else tells of it."""

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins again on another machine, or in another process."""
        # Tune appends what ended the trial, each time with a heading.
        said = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        if LEFT in said.rpartition("Failure #")[2]:
            warn(
                f"trial {trial.config['trial']} leaves a machine that is told to go; it goes on "
                "where there is room."
            )


def _own(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the training reported, without what Tune adds of its own."""
    return {
        name: value
        for name, value in result.items()
        if name not in AUTO_RESULT_KEYS and not name.startswith("config/")
    }
