"""`python -m benchmarks.scale`: what the driver costs when trials cost nothing.

Trials replay curves instead of training, so that all the time is the engine's: first our
searcher, ASHA and MLflow tracking beside plain Ray Tune with OptunaSearch, its ASHA and its
MLflow callback, on the same Ray; then the driver alone, fed by a simulated cluster.
"""

import argparse
import heapq
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import header
from kd.config import TrainConfig
from search_spaces import load_space
from tuning.study.journal import open_study
from tuning.study.stopping import make_scheduler
from tuning.tracking.store import Store
from tuning.tracking.tracker import Tracker

EPOCHS = 9
GRACE, FACTOR = 1, 3
BASE = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=EPOCHS)
SPACE = load_space("lsskd", "resnet8")


def curve(values: dict[str, Any]) -> list[float]:
    """A learning curve whose height depends on the configuration, the same for the same one."""
    rng = np.random.default_rng(zlib.crc32(repr(sorted(values.items())).encode()))
    height = 90 - 40 * abs(values["alpha"] - 0.4) - 5 * abs(np.log(values["gamma"] / 0.01))
    return [float(height * (1 - 0.5**epoch) + rng.normal()) for epoch in range(1, EPOCHS + 1)]


# -- one engine in a process of its own -------------------------------------------------------


def ours(trials: int, folder: Path) -> None:
    """Our searcher, stopping and tracking."""
    from ray import tune

    from tuning.study.searcher import StudySearcher

    def replay(assignment: dict[str, Any]) -> None:
        for epoch, value in enumerate(curve(assignment["config"]["kd"]), start=1):
            tune.report({"trial": assignment["trial"], "epoch": epoch, "val_acc": value})

    with (
        _tracker(folder) as tracker,
        open_study(folder / "study.log", "search", create=True) as study,
    ):
        tracker.ready()
        searcher = StudySearcher(study, SPACE, BASE, trials, observers=[tracker])
        scheduler = make_scheduler("asha", EPOCHS, GRACE, FACTOR)
        # Our tracker writes in the background: what is still to be written counts too.
        _fit(replay, folder, searcher, scheduler, -1, lambda: tracker.close("finished", 600))


def plain(trials: int, folder: Path) -> None:
    """Ray Tune as its documentation shows it."""
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import AsyncHyperBandScheduler
    from ray.tune.search.optuna import OptunaSearch

    def replay(values: dict[str, Any]) -> None:
        for epoch, value in enumerate(curve(values), start=1):
            tune.report({"epoch": epoch, "val_acc": value})

    domains = {
        "alpha": tune.uniform(0.1, 0.95),
        "alpha_schedule": tune.choice(["linear", "constant"]),
        "beta": tune.loguniform(0.05, 10),
        "gamma": tune.loguniform(0.001, 1),
        "temperature": tune.loguniform(1, 10),
    }
    scheduler = AsyncHyperBandScheduler(
        time_attr="epoch",
        metric="val_acc",
        mode="max",
        max_t=EPOCHS,
        grace_period=GRACE,
        reduction_factor=FACTOR,
    )
    callback = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", experiment_name="plain"
    )
    searcher = OptunaSearch(domains, metric="val_acc", mode="max")
    _fit(replay, folder, searcher, scheduler, trials, callbacks=[callback])


def _fit(
    replay: Any,
    folder: Path,
    searcher: Any,
    scheduler: Any,
    samples: int,
    finish: Callable[[], None] = lambda: None,
    **options: Any,
) -> None:
    import ray
    from ray import tune

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=128 * 2**20,
        _node_ip_address="127.0.0.1",
    )
    tuner = tune.Tuner(
        tune.with_resources(replay, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=samples,
            max_concurrent_trials=4,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(folder), name="tune", verbose=0, **options),
    )
    began = time.perf_counter()
    tuner.fit()
    finish()
    print("seconds", time.perf_counter() - began)
    ray.shutdown()


def measure(engine: str, trials: int) -> tuple[float, float]:
    """(trials a second, peak memory of the driver in MiB) of `engine` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.scale", "--engine", engine]
    done = subprocess.run(
        [*command, "--trials", str(trials)], capture_output=True, text=True, check=True
    )
    found = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    return trials / float(found["seconds"]), float(found["mebibytes"])


# -- the driver alone, fed by a simulated cluster ---------------------------------------------


def simulate(workers: int, trials: int) -> tuple[float, int]:
    """(reports a second that the driver stands, reports) with `workers` trials at once."""
    from tuning.study.searcher import StudySearcher
    from tuning.study.trials import TrialRecord

    with tempfile.TemporaryDirectory() as name, _tracker(Path(name)) as tracker:
        folder = Path(name)
        tracker.ready()
        with open_study(folder / "study.log", "search", create=True) as study:
            searcher = StudySearcher(study, SPACE, BASE, trials, observers=[tracker])
            scheduler = make_scheduler("asha", EPOCHS, GRACE, FACTOR)
            rng = np.random.default_rng(0)
            events: list[tuple[float, str, int]] = []
            curves: dict[str, tuple[int, list[float]]] = {}
            reports, started = 0, 0

            def begin(now: float) -> None:
                nonlocal started
                assignment = searcher.suggest(f"t{started}")
                if isinstance(assignment, str):
                    return
                values = curve(assignment["config"]["kd"])
                curves[f"t{started}"] = (assignment["trial"], values)
                heapq.heappush(events, (now + rng.uniform(0.8, 1.2), f"t{started}", 1))
                started += 1

            clock = time.process_time()
            for _ in range(workers):
                begin(0.0)
            while events:
                now, trial_id, epoch = heapq.heappop(events)
                number, values = curves[trial_id]
                result = {"trial": number, "epoch": epoch, "val_acc": values[epoch - 1]}
                reports += 1
                decision = scheduler.on_trial_result(None, None, result)
                if decision == "STOP" or epoch == EPOCHS:
                    searcher.on_trial_complete(trial_id, result)
                    begin(now)
                else:
                    searcher.on_trial_result(trial_id, result)
                    heapq.heappush(events, (now + rng.uniform(0.8, 1.2), trial_id, epoch + 1))
            spent = time.process_time() - clock
            assert all(isinstance(r, TrialRecord) for r in searcher.records.values())
        tracker.close("finished", timeout=600)
    return reports / spent, reports


def _tracker(folder: Path) -> Tracker:
    return Tracker(
        Store.at(folder), "scale", "scale", protocol={}, params={}, searched=tuple(SPACE.domains)
    )


def main() -> None:
    """Print the tables, or run one engine and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("ours", "plain"))
    parser.add_argument("--trials", type=int, action="append")
    parser.add_argument("--workers", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.engine:
        engine = {"ours": ours, "plain": plain}[arguments.engine]
        with tempfile.TemporaryDirectory() as folder:
            engine(arguments.trials[0], Path(folder))
        print("mebibytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print(header("cpu"))
    print(
        "| trials | ours, trials/s | Ray Tune's, trials/s | ratio | ours, MiB | Ray Tune's, MiB |"
    )
    print("|---|---|---|---|---|---|")
    for trials in arguments.trials or (100, 300, 1000):
        (own, own_memory), (other, other_memory) = measure("ours", trials), measure("plain", trials)
        print(
            f"| {trials} | {own:.1f} | {other:.1f} | {own / other:.2f} | {own_memory:.0f} "
            f"| {other_memory:.0f} |",
            flush=True,
        )
    rate, reports = simulate(arguments.workers, 1000)
    print(f"\nA simulated cluster of {arguments.workers} workers, 1,000 trials, {reports} reports:")
    print(f"the driver stands {rate:,.0f} reports a second of its own CPU time, so it saturates at")
    for seconds in (1, 10, 60):
        print(f"  {rate * seconds:,.0f} workers whose epochs take {seconds} s")


if __name__ == "__main__":
    main()
