"""What a search is expected to take, in sentences, and how that compares with the truth."""

from collections.abc import Callable

from tuning.records.forecast import Band, Forecast
from tuning.records.result import SweepResult
from tuning.reports.wording import count, dollars, duration
from tuning.study.expected import Pace


def banded(band: Band, say: Callable[[float], str]) -> str:
    """`31 s (from 24 s to 36 s)`; one number where all three read alike."""
    low, middle, high = map(say, band)
    return middle if low == high else f"{middle} (from {low} to {high})"


def lines(forecast: Forecast) -> list[str]:
    """Trials, epochs, time, GPU-hours and cost of a search, a line each."""
    rows = {
        "trials": banded(forecast.trials, whole),
        "epochs": banded(forecast.epochs, whole),
        "training time": banded(forecast.seconds, duration),
    }
    if forecast.gpu_hours is not None:
        rows["GPU-hours"] = banded(forecast.gpu_hours, lambda hours: f"{hours:.3g}")
    if forecast.usd is not None:
        rows["cost"] = banded(forecast.usd, dollars)
    return [f"  {name}: {said}" for name, said in rows.items()]


def starting(forecast: Forecast, pace: Pace, slots: int) -> str:
    """The line of what of the training time is none of its epochs."""
    each = forecast.trials.middle / slots
    said = (
        f"  of it, starting: {duration(pace.start)} for processes, {duration(each * pace.trial)} "
        "to set up trials in them"
    )
    if pace.before:
        phases = pace.before if pace.shared else each * pace.before
        said += f", {duration(phases)} for what their method trains before the first epoch"
    return said


def epochs(forecast: Forecast) -> str:
    """The line of its epochs alone."""
    return f"  epochs: {banded(forecast.epochs, whole)}"


def whole(number: float) -> str:
    """`93`."""
    return str(round(number))


def short(forecast: Forecast) -> str:
    """The forecast of a search that has just begun, in one line."""
    return (
        f"Forecast: {banded(forecast.epochs, whole)} epochs in "
        f"{banded(forecast.seconds, duration)}."
    )


def compared(result: SweepResult) -> list[str]:
    """How what a finished search took compares with its forecast; nothing where there is none."""
    forecast = Forecast.load(result.sweep.folder)
    if forecast is None or not forecast.fits(result.sweep.settings):
        return []
    epochs, times = _span(forecast.epochs, whole), _span(forecast.seconds, duration)
    return [
        f"The forecast was {epochs} epochs in {times}; it took "
        f"{count(result.epochs_spent, 'epoch')} in {duration(result.seconds)}."
    ]


def _span(band: Band, say: Callable[[float], str]) -> str:
    low, high = say(band.low), say(band.high)
    return low if low == high else f"{low} to {high}"
