"""Who competes when a sweep is confirmed, on how many seeds, and what may not be asked again."""

from collections.abc import Sequence
from typing import NamedTuple

from kd.config import TrainConfig
from kd.errors import UserError, brief
from tuning.records.result import SweepResult
from tuning.reports.sentences import resume, search_on
from tuning.reports.wording import count
from tuning.study.journal import has_trials, study_facts
from tuning.study.race import SEEDS, TOP, fewest_seeds
from tuning.study.trials import REFERENCE

PLAN = "plan"
"""The attribute of its study that keeps what was asked for."""

LONGEST_NOTE = 300


class Asked(NamedTuple):
    """What a person asks for; None is as it was begun, or as usual."""

    top: int | None = None
    seeds: int | None = None
    trials: tuple[int, ...] = ()
    again: str | None = None
    refit: bool = False


class Plan(NamedTuple):
    """What is done: the numbers of the trials that compete, and on how many seeds at most.

    `fill` is on how many seeds the default and what is handed out are trained in any case.
    """

    top: int
    seeds: int
    trials: tuple[int, ...]
    fill: int = 0


def candidates(result: SweepResult, top: int, trials: Sequence[int] = ()) -> dict[int, TrainConfig]:
    """The default and its rivals, by number: `trials`, or the `top` best that completed.

    Two of the same configuration are one.

    Raises:
        UserError: no trial of that number, or none but the default to compete.
    """
    chosen = _competing(result, top, trials)
    if len(chosen) > 1:
        return chosen
    default = result.default
    lonely = default is None or all(t is default for t in result.of("completed"))
    what = "completed trial beside the paper's default"
    if not lonely:
        what = "trial whose configuration is not the default's"
    raise UserError(f"{result.sweep.name} has no {what}; search on: {search_on(result)}")


def _competing(result: SweepResult, top: int, trials: Sequence[int]) -> dict[int, TrainConfig]:
    """The same, where nobody may compete with the default; empty where that was not trained."""
    default = result.default
    done = [t for t in result.of("completed") if t is not default]
    best = sorted(done, key=lambda t: (-(t.score or 0.0), t.number))
    if trials:
        by_number = {trial.number: trial for trial in result.trials if trial is not default}
        for number in trials:
            if number not in by_number:
                raise UserError(
                    f"{result.sweep.name} has no trial {number} beside the paper's default; give "
                    f"one of 1 to {max(by_number, default=1)}."
                )
        best, top = [by_number[number] for number in dict.fromkeys(trials)], len(trials)
    if default is None:
        return {}
    chosen = {REFERENCE: TrainConfig.from_dict(default.config)}
    for trial in best:
        config = TrainConfig.from_dict(trial.config)
        if config not in chosen.values() and len(chosen) <= top:
            chosen[trial.number] = config
    return chosen


def check_asked(result: SweepResult, asked: Asked) -> None:
    """Raise UserError where what is asked for is not what is known, or would open test unasked."""
    name, known = result.sweep.name, result.findings
    if asked.again is not None:
        if known is None:
            raise UserError(f"{name} is not confirmed yet; leave --again away.")
        if not asked.again.strip():
            raise UserError("--again says nothing; give it a note: why test is opened once more.")
        if len(asked.again) > LONGEST_NOTE:
            raise UserError(
                f"--again is '{brief(asked.again)}'; give a note of at most {LONGEST_NOTE} letters."
            )
        if not known.noted(asked.again):
            return
    compared = result.sweep.settings.compared_on
    if compared and (asked.trials or asked.top is not None or asked.seeds is not None):
        raise UserError(
            f"{name} belongs to a comparison, whose methods are all trained on "
            f"{count(compared, 'seed')}; leave --top, --trial and --seeds away."
        )
    if known is None:
        return
    rivals = [number for number in known.val_acc if number != REFERENCE]
    most = known.most or len(known.seeds)
    other = (
        (asked.top is not None and asked.top < len(rivals))
        or asked.seeds not in (None, most)
        or (asked.trials and set(candidates(result, 0, asked.trials)) != set(known.val_acc))
        or (asked.refit and known.refit is None)
    )
    if other:
        again = "another --again" if asked.again else "--again"
        raise UserError(
            f"{name} was confirmed with trials {', '.join(map(str, rivals))} on at most "
            f"{count(most, 'seed')}, and its test set was opened; leave the flags away to read "
            f"what was found, or open it once more, on fresh seeds, with {again} NOTE."
        )


def planned(result: SweepResult, asked: Asked, study: str) -> Plan:
    """What is trained: what is asked for, or what a confirmation was begun with.

    One that has begun to train keeps its trials, though a better one may have come since, and may
    be given more seeds.

    Raises:
        UserError: other trials, or fewer seeds, than it was begun with; too few seeds to decide
            anything; or no trial but the default completed.
    """
    journal = result.sweep.folder / f"{study}.log"
    begun = study_facts(journal, study) if journal.exists() and has_trials(journal) else {}
    fill = result.sweep.settings.compared_on
    if PLAN not in begun and fill:
        return _compared(result, fill)
    if PLAN not in begun:
        top, seeds = asked.top or TOP, asked.seeds or SEEDS
        trials = tuple(candidates(result, top, asked.trials))
        return _enough(Plan(top, seeds, trials))
    plan = Plan(**begun[PLAN])
    plan = plan._replace(trials=tuple(plan.trials))
    given = asked.trials and set(candidates(result, 0, asked.trials)) != set(plan.trials)
    seeds = asked.seeds or plan.seeds
    if asked.top not in (None, plan.top) or seeds < plan.seeds or given:
        raise UserError(
            f"Confirming {result.sweep.name} began with trials {_named(plan)} on at most "
            f"{plan.seeds} seeds; type the same again, or more seeds."
        )
    if not asked.trials and plan.trials != tuple(_competing(result, plan.top, ())):
        print(f"Confirming goes on with trials {_named(plan)}, which it began with.")
    plan = plan._replace(seeds=seeds)
    return plan if fill else _enough(plan)


def _compared(result: SweepResult, fill: int) -> Plan:
    """The plan of a sweep that belongs to a comparison on so many seeds.

    Its race is given as many as any, since on few of them a clear gain is not proved; and there
    may be nobody to race.
    """
    trials = tuple(_competing(result, TOP, ()))
    if not trials:
        again = resume([result.sweep.settings])
        raise UserError(f"{result.sweep.name} has no trial yet; go on with: {again}")
    raced = SEEDS if len(trials) > 1 else 1
    return Plan(TOP, max(fill, raced), trials, fill)


def _named(plan: Plan) -> str:
    return ", ".join(str(number) for number in plan.trials if number != REFERENCE)


def _enough(plan: Plan) -> Plan:
    rivals = len(plan.trials) - 1
    if plan.seeds < (least := fewest_seeds(rivals)):
        raise UserError(
            f"On {count(plan.seeds, 'seed')} each nothing can be told apart; with "
            f"{count(rivals, 'candidate')} beside the default give at least --seeds {least}."
        )
    return plan
