"""`python -m benchmarks.tracking`: milliseconds that a report to MLflow costs the driver.

A report is the eight metrics of one epoch, into a fresh SQLite store. Beside it, in turns,
Ray's MLflowLoggerCallback with the same metrics into a store of its own.
"""

import argparse
import tempfile
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from benchmarks.timing import header, in_turns, ratios, spread
from kd.config import TrainConfig
from tuning.study.trials import TrialRecord
from tuning.tracking.runs import SweepRuns
from tuning.tracking.store import Store
from tuning.tracking.tracker import Tracker

TARGET = 10.0
CELL = "lsskd.resnet8.digits"
NAMES = ("train_loss", "ce", "kd", "val_acc", "val_acc5", "val_nll", "val_ece", "epoch_seconds")
METRICS = dict.fromkeys(NAMES, 1.0)


class RayTrial:
    """What the callback asks of a trial of Tune."""

    def __init__(self, config: dict[str, object]) -> None:
        self.config = config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300, help="reports of each kind")
    rounds = parser.parse_args().rounds
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    config = TrainConfig.paper("lsskd", "resnet8", "digits")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        store = Store.at(Path(folder) / "ours")
        runs = SweepRuns(store, CELL, "written", protocol={}, params={})
        tracker = opened.enter_context(Tracker(store, CELL, "sent", protocol={}, params={}))
        tracker.ready()
        theirs = MLflowLoggerCallback(
            tracking_uri=Store.at(Path(folder) / "theirs").uri, experiment_name="theirs"
        )
        theirs.setup()
        record = TrialRecord(number=0, config=config.to_dict(), started=time.time())
        trial = RayTrial(config.flat())
        runs.start(record)
        tracker.on_start(record)
        theirs.log_trial_start(trial)
        written, sent, step = count(1), count(1), count(1)

        def send() -> None:
            epoch = next(sent)
            record.curve = {epoch: 50.0}
            tracker.on_epoch(record, epoch, METRICS)

        def by_ray() -> None:
            epoch = next(step)
            theirs.log_trial_result(epoch, trial, {**METRICS, "training_iteration": epoch})

        def write() -> None:
            runs.log_epoch(record, next(written), METRICS, time.time())

        # The sender's background thread would disturb the other two, so it is timed alone.
        seconds = in_turns({"write": write, "ray": by_ray}, rounds)
        seconds |= in_turns({"send": send}, rounds)
        tracker.close("finished", timeout=60.0)

    print(header("cpu"))
    ms = {name: [1000 * s for s in values] for name, values in seconds.items()}
    print(f"ours, what the driver waits: {spread(ms['send'])} ms a report (target < {TARGET:g})")
    print(f"ours, written by its thread: {spread(ms['write'])} ms a report")
    print(f"Ray's MLflowLoggerCallback:  {spread(ms['ray'])} ms a report")
    print(f"Ray's over ours, written:    {spread(ratios(ms['ray'], ms['write']))} times")


if __name__ == "__main__":
    main()
