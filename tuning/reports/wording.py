"""How values, counts, times and trials are said: once, for the terminal, page and picture."""

from typing import Any

from tuning.records.result import value_at
from tuning.study.trials import TrialRecord

# -- values -----------------------------------------------------------------------------------


def short(name: str) -> str:
    """A dotted name without its section: `kd.lambda_b.0` is `lambda_b.0`."""
    return name.partition(".")[2] or name


def text(value: Any) -> str:
    """A value as a person reads it: three significant digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "–" if value is None else str(value)


def cut(words: str, most: int) -> str:
    """The words, without their middle where they are longer than `most` letters."""
    if len(words) <= most:
        return words
    head = max((most - 1) // 2, 1)
    tail = max(most - 1 - head, 0)
    return f"{words[:head]}…{words[len(words) - tail :]}"


def accuracy(score: float | None) -> str:
    """`87.65`; a dash for none."""
    return "–" if score is None else f"{score:.2f}"


def percent(score: float | None) -> str:
    """`87.65 %`; a dash for none."""
    return "–" if score is None else f"{score:.2f} %"


def of_images(share: float) -> str:
    """`12.5 % of the images`."""
    return f"{100 * share:g} % of the images"


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def dollars(usd: float) -> str:
    """`12.30 USD`; below 10 cents `0.0123 USD`."""
    return f"{usd:.2f} USD" if usd >= 0.1 or not usd else f"{usd:.2g} USD"


# -- times ------------------------------------------------------------------------------------


def duration(seconds: float) -> str:
    """`12 s`, `4 min 05 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """`0:12`, `4:05`, `3:20:00`."""
    whole = int(seconds)
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{hours}{whole % 3600 // 60:0{2 if hours else 1}d}:{whole % 60:02d}"


# -- trials -----------------------------------------------------------------------------------


def trial_name(trial: TrialRecord) -> str:
    """`trial 3`, or `the paper's default`."""
    return "the paper's default" if trial.is_default else f"trial {trial.number}"


def numbered(trial: TrialRecord) -> str:
    """`trial 3`, `trial 0 (the paper's default)`, `trial 1 (from resnet20)` or with its label."""
    about = trial_name(trial) if trial.is_default else origin(trial)
    return f"trial {trial.number}" + (f" ({about})" if about else "")


def origin(trial: TrialRecord) -> str:
    """The label of an ablation's row; `from resnet20`, where another search found it; else ""."""
    return trial.label or (f"from {trial.source}" if trial.source else "")


def tip(trial: TrialRecord) -> str:
    """A trial in a line, for a mark's title."""
    score = "no score" if trial.score is None else percent(trial.score)
    return f"{trial_name(trial)}: {score} at epoch {trial.epoch}, {trial.outcome}"


def value_of(trial: TrialRecord | None, name: str) -> str:
    """What a trial has under a dotted name, as a person reads it; a dash for no trial."""
    return text(value_at(trial.config, name) if trial else None)
