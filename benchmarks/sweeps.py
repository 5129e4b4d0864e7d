"""Wall time of a whole sweep over what its trials' training alone needs on the same slots."""

import heapq
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.timing import spread

TARGET = 1.15


def report(command: list[str], rounds: int) -> None:
    """Run the sweep `rounds` times and print the ratio."""
    measured = [overhead(command) for _ in range(rounds)]
    print(f"Wall time over pure training time: python -m tuning.search {' '.join(command)}")
    print(f"from the first trial's start to the last one's end: {spread(measured)}", end=" ")
    print(f"(target ≤ {TARGET})", flush=True)


def overhead(command: list[str]) -> float:
    """Seconds from the first epoch's start to the last one's end, over the ideal's.

    The ideal is the same epochs, each as long as it took, without a break between them: the
    trials in the order in which they began, each on the first slot to become free.
    """
    with tempfile.TemporaryDirectory() as folder:
        search = [sys.executable, "-m", "tuning.search", *command, "--storage", folder]
        subprocess.run([*search, "--name", "timed"], check=True, stdout=subprocess.DEVNULL)
        epochs, slots = epochs_of(Path(folder))
    began = min(end - seconds for trial in epochs.values() for end, seconds in trial)
    ended = max(end for trial in epochs.values() for end, _ in trial)
    free = [0.0] * slots
    for trial in sorted(epochs.values(), key=lambda t: t[0][0] - t[0][1]):
        begin = heapq.heappop(free)
        heapq.heappush(free, begin + sum(seconds for _, seconds in trial))
    return (ended - began) / max(free)


def epochs_of(storage: Path) -> tuple[dict[str, list[tuple[float, float]]], int]:
    """(end, duration) in seconds of every epoch of every trial, from MLflow; and the slots."""
    from mlflow import MlflowClient

    from tuning.records.result import load_result

    client = MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    experiments = [e.experiment_id for e in client.search_experiments()]
    for run in client.search_runs(experiments, "tags.`kd.trial_id` LIKE 'timed/%'"):
        history = client.get_metric_history(run.info.run_id, "epoch_seconds")
        found[run.info.run_id] = [(m.timestamp / 1000, m.value) for m in history]
    return dict(found), load_result(storage, "timed").sweep.slots
