"""Searchers that draw nothing: they train what they are given, and know when it is enough."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import optuna

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Space
from tuning.study.budget import Budget
from tuning.study.race import Race, filled, race
from tuning.study.searcher import StudySearcher
from tuning.study.trials import REFERENCE, Observer, Report, TrialRecord

OTHERS = (
    "An earlier command began to train other configurations here; ask for the same ones again, or "
    "start a new sweep."
)


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
        again: str = "resume the sweep.",
    ) -> None:
        space, count = Space({}), len(configs)
        super().__init__(study, space, configs[0], count, observers=observers, again=again)
        self._configs = configs
        # A list that was begun before a key existed does not say it.
        begun = {n: TrainConfig.from_dict(record.config) for n, record in self.records.items()}
        asked = dict(enumerate(configs))
        if any(config != asked.get(number) for number, config in begun.items()):
            raise UserError(OTHERS)

    def _draw(self, trial: optuna.Trial) -> TrainConfig:
        return self._configs[trial.number]


class RaceSearcher(StudySearcher):
    """Trains candidates and the paper's default seed by seed, until it is decided who is better.

    Args:
        study: its memory, as of any searcher.
        candidates: configurations by their numbers, the default's among them, no two alike.
        seeds: that each is trained with at most, in this order, the same for all.
        fill: on how many of them the winner and the default are trained, however early it is
            decided who wins.
        budget: what it may spend together with the trials `before` it.
        before: those of the search.
        observers: who is told.
        again: ends the sentence of what stops it.

    Raises:
        UserError: the study's trials are of others, or of other seeds.
    """

    def __init__(
        self,
        study: optuna.Study,
        candidates: Mapping[int, TrainConfig],
        seeds: Sequence[int],
        *,
        fill: int = 0,
        budget: Budget | None = None,
        before: Sequence[TrialRecord] = (),
        observers: Sequence[Observer] = (),
        again: str = "resume the sweep.",
    ) -> None:
        self._candidates = dict(candidates)
        self._seeds = list(seeds)
        self._fill = fill
        count = len(candidates) * len(seeds)
        base = self._candidates[REFERENCE]
        super().__init__(
            study,
            Space({}),
            base,
            count,
            budget=budget,
            before=before,
            observers=observers,
            again=again,
        )
        self._pairs = {number: self.pair(record) for number, record in self.records.items()}
        self._standing: Race | None = None
        begun = [trial for trial in self._unfinished if trial.number in self._pairs]
        self._unfinished = deque(trial for trial in begun if self._needs(trial.number))

    def pair(self, record: TrialRecord) -> tuple[int, int]:
        """Which candidate a trial of this study trains, and the place of its seed."""
        config = TrainConfig.from_dict(record.config)
        for number, candidate in self._candidates.items():
            if config.seed in self._seeds and replace(candidate, seed=config.seed) == config:
                return number, self._seeds.index(config.seed)
        raise UserError(OTHERS)

    @property
    def trained(self) -> dict[tuple[int, int], TrialRecord]:
        """The trials by their candidate and the place of their seed.

        Without those that were stopped when nobody wanted to know any more, who may be asked for
        again when there are more seeds.
        """
        return {
            pair: record
            for number, pair in self._pairs.items()
            if (record := self.records.get(number))
            and (record.state != "stopped" or record.diverged)
        }

    @property
    def standing(self) -> Race:
        """How the race stands."""
        if self._standing is None:
            others = [number for number in self._candidates if number != REFERENCE]
            scores = self._scores()
            raced = race(others, scores, len(self._seeds))
            self._standing = filled(raced, scores, self._fill)
        return self._standing

    @property
    def failed(self) -> TrialRecord | None:
        """A training without which nothing can be decided: one that failed, or the default's."""
        racing = self.standing.racing
        return next(
            (
                record
                for (number, place), record in self.trained.items()
                if number in racing
                and place >= self.standing.seeds
                and (record.state == "failed" or (record.diverged and number == REFERENCE))
            ),
            None,
        )

    def wants(self, number: int, epoch: int | None = None) -> bool:
        """Whether that training may still decide anything, and be paid."""
        return super().wants(number, epoch) and self._needs(number)

    def end(self, number: int, report: Report | None = None, *, crashed: bool = False) -> None:
        """Record how a training ended, after which the race may stand otherwise."""
        super().end(number, report, crashed=crashed)
        self._standing = None

    # -- inside -------------------------------------------------------------------------------

    def _needs(self, number: int) -> bool:
        """Whether that training may still decide anything."""
        candidate, place = self._pairs[number]
        needed = candidate in self.standing.racing and place >= self.standing.seeds
        return needed and self.failed is None

    def _scores(self) -> dict[int, list[float | None]]:
        """Val accuracies by candidate, as far as seed by seed all are known; None for diverged."""
        scores: dict[int, list[float | None]] = {number: [] for number in self._candidates}
        for (number, place), record in sorted(self.trained.items()):
            known = scores[number]
            if place == len(known) and record.state == "completed":
                known.append(record.score)
            elif place == len(known) and record.diverged and number != REFERENCE:
                known.append(None)
        return scores

    def _next(self) -> tuple[int, int] | None:
        """What is trained next: the earliest seed that one who is still racing lacks."""
        begun = set(self.trained)
        if self.failed is not None:
            return None
        left = ((n, p) for p in range(len(self._seeds)) for n in self.standing.racing)
        return next((pair for pair in left if pair not in begun), None)

    def _more(self) -> bool:
        return self._next() is not None

    def _draw(self, trial: optuna.Trial) -> TrainConfig:
        pair = self._next()
        assert pair is not None
        self._pairs[trial.number] = pair
        return replace(self._candidates[pair[0]], seed=self._seeds[pair[1]])
