"""How much of the differences between trials each hyperparameter explains."""

import json
import math
import random
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kd.errors import UserError
from kd.files import replace_file
from search_spaces import Choice, Domain, Range
from tuning.records.result import SweepResult
from tuning.reports.stamp import stamp
from tuning.study.trials import TrialRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 10
"""Below so many trials nothing is said."""
PER_HYPERPARAMETER = 5
"""How many trials for each hyperparameter are wanted at the epoch that is looked at."""
RESAMPLES = 20
FILE = "importance.json"


@dataclass(frozen=True)
class Share:
    """A hyperparameter's share of the variance: mean and middle 80 % over resampled trials."""

    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of val accuracy at `epoch` among the `n` trials that reached it."""

    epoch: int
    n: int
    shares: tuple[Share, ...]


def kept_importance(result: SweepResult) -> Importance | None:
    """`importance`, from the sweep's folder if it was worked out from the same trials before.

    Else it is worked out, which takes seconds, and kept there.
    """
    path, mark = result.sweep.folder / FILE, stamp(result)
    with suppress(OSError, ValueError, LookupError, TypeError):
        kept = json.loads(path.read_bytes())
        if kept["stamp"] == mark:
            return Importance(kept["epoch"], kept["n"], tuple(Share(**s) for s in kept["shares"]))
    found = importance(result)
    if found is not None:
        # In a folder that cannot be written it is worked out again the next time.
        with suppress(UserError, OSError):
            replace_file(path, json.dumps({"stamp": mark, **asdict(found)}, indent=1).encode())
    return found


def importance(result: SweepResult, *, seed: int = 0) -> Importance | None:
    """Functional ANOVA (Hutter et al. 2014) at the last epoch that enough trials reached.

    Trials that were stopped early count as long as they ran: val accuracies are compared at
    one epoch only. The trials are resampled with replacement to show how far so few of them
    can be trusted. Where the search chose no value for a trial, as a condition did not hold, any
    value of the domain stands for it: it would have changed nothing. None where fewer than ten
    trials reached any epoch, or no two of them differ there.
    """
    sound = [t for t in result.trials if t.state != "failed" and t.curve]
    if len(sound) < FEWEST:
        return None
    wanted = min(len(sound), max(FEWEST, PER_HYPERPARAMETER * len(result.sweep.searched)))
    epoch = sorted((t.epoch for t in sound), reverse=True)[wanted - 1]
    trials = [t for t in sound if epoch in t.curve]
    if len({t.curve[epoch] for t in trials}) < 2:
        return None
    draw = random.Random(seed)
    samples = [
        _shares(draw.choices(trials, k=len(trials)), result, epoch, draw) for _ in range(RESAMPLES)
    ]
    shares = []
    for name in result.sweep.searched:
        spread = sorted(sample.get(name, 0.0) for sample in samples)
        cut = RESAMPLES // 10
        shares.append(Share(name, sum(spread) / RESAMPLES, spread[cut], spread[-1 - cut]))
    return Importance(epoch, len(trials), tuple(sorted(shares, key=lambda s: -s.share)))


def _shares(
    trials: list[TrialRecord], result: SweepResult, epoch: int, draw: random.Random
) -> dict[str, float]:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    drawn: dict[str, list[Any]] = {}
    domains = {}
    for name, domain in result.sweep.searched.items():
        chosen = [result.sweep.chosen(trial, name) for trial in trials]
        seen = [_even(domain, value) for value in chosen if value is not None]
        if len(set(seen)) > 1:
            values = iter(seen)
            drawn[name] = [_any(domain, draw) if v is None else next(values) for v in chosen]
            domains[name] = _distribution(domain, drawn[name])
    if not domains or len({t.curve[epoch] for t in trials}) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for place, trial in enumerate(trials):
        params = {name: values[place] for name, values in drawn.items()}
        study.add_trial(
            optuna.create_trial(params=params, distributions=domains, value=trial.curve[epoch])
        )
    evaluator = FanovaImportanceEvaluator(n_trees=32, seed=0)
    try:
        found = get_param_importances(study, evaluator=evaluator)
    except RuntimeError:  # val accuracies so alike that no tree finds any variance
        return {}
    return {name: float(share) for name, share in found.items()}


def _even(domain: Domain, value: Any) -> Any:
    """The value on the scale on which it was drawn evenly; a choice as a word.

    Optuna's functional ANOVA integrates over a logarithmic range as if it were linear, which
    all but hides it: of a learning rate's true 25 % it found 5 %.
    """
    if isinstance(domain, Choice):
        return str(value)
    return math.log(value) if isinstance(domain, Range) and domain.log else float(value)


def _any(domain: Domain, draw: random.Random) -> Any:
    """Some value of the domain, on the same scale."""
    if isinstance(domain, Choice):
        return str(draw.choice(domain.values))
    return draw.uniform(_even(domain, domain.low), _even(domain, domain.high))


def _distribution(domain: Domain, seen: list[Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(domain, Choice):
        return CategoricalDistribution(tuple(dict.fromkeys([*map(str, domain.values), *seen])))
    low, high = _even(domain, domain.low), _even(domain, domain.high)
    return FloatDistribution(min(low, *seen), max(high, *seen))
