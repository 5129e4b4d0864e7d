"""How long a running sweep will go on."""

from tuning.records.result import SweepResult


def seconds_left(
    result: SweepResult, *, trained: int, within: float, since_report: float
) -> float | None:
    """An estimate of the seconds to the sweep's end; None before this session's first epoch.

    A trial not yet begun is expected to last as long as the ended ones did on average, a
    running one as long as those of them that got further than it has. What is left of the budget
    bounds both: of epochs at this session's speed, of all else at that of the whole sweep.

    Args:
        result: the sweep so far.
        trained: epochs of this session by which its speed is judged.
        within: seconds that they took, to the last report of a trial.
        since_report: seconds since then.
    """
    if trained <= 0 or within <= 0:
        return None
    sweep = result.sweep
    whole = sweep.settings.epochs_of_a_trial
    lengths = [t.trained for t in result.of("completed", "stopped")] or [whole]
    running = []
    for trial in result.of("running"):
        longer = [n for n in lengths if n > trial.trained] or [whole]
        running.append(sum(longer) / len(longer) - trial.trained)
    slot_seconds = within * sweep.slots / trained
    ends = list[float]()
    if sweep.trials is not None:
        waiting = max(sweep.trials - len(result.trials), 0)
        epochs = sum(running) + waiting * sum(lengths) / len(lengths)
        ends.append(max(epochs / sweep.slots, max(running, default=0.0)) * slot_seconds)
    for bound in sweep.settings.budget.bounds(result.trials):
        speed = trained / within if bound.unit == "epochs" else bound.spent / result.seconds
        if speed:
            ends.append((bound.own - bound.spent) / speed)
    return max(min(ends) - since_report, 0.0) if ends else None
