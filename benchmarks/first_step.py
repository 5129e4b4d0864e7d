"""`python -m benchmarks.first_step`: from the command to the first step, and where the time goes.

A whole search of one trial of one epoch in a fresh process, `--rounds` times; what follows `--` is
typed after `python -m tuning.search` instead of the laptop's search. What a trial's process does
until its first step is timed in a process of its own. No number of the first round counts: it reads
the disk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

SEARCH = ["ce", "--preset", "laptop", "--local"]
ONE = ["--trials", "1", "--epochs", "1", "--grace-period", "1"]
MAIN, WHOLE = "interpreter, flags, checks", "from the command to the end of the first step"
TARGET = 10.0
"""Seconds from the command to the first step on a GPU host."""


# -- the search, in a process of its own -----------------------------------------------------------


class Watch:
    """Seconds that parts of a process took, by name, in the order in which they began."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.time()
        self.parts.setdefault(name, 0.0)
        try:
            yield
        finally:
            self.parts[name] += time.time() - began

    def function(self, owner: Any, name: str, part: str) -> None:
        """Time what `owner.name` takes."""
        original = getattr(owner, name)

        def timed(*words: Any, **more: Any) -> Any:
            with self.part(part):
                return original(*words, **more)

        setattr(owner, name, timed)

    def context(self, owner: Any, name: str, part: str) -> None:
        """Time what entering `owner.name` takes."""
        original = getattr(owner, name)

        @contextmanager
        def timed(*words: Any, **more: Any) -> Iterator[Any]:
            with self.part(part):
                inner = original(*words, **more)
                value = inner.__enter__()
            try:
                yield value
            except BaseException as error:
                if not inner.__exit__(type(error), error, error.__traceback__):
                    raise
            else:
                inner.__exit__(None, None, None)

        setattr(owner, name, timed)


def search(file: Path, began: float, words: list[str]) -> None:
    """Search as the command does, and write down what its parts took."""
    from tuning import search as command

    watch = Watch()

    def begun(*_: Any) -> None:
        watch.parts[MAIN] = time.time() - began
        with watch.part("imports of the sweep"):
            run: Any = import_module("tuning.sweeps.run")
        from tuning.study.searcher import StudySearcher
        from tuning.tracking.tracker import Tracker

        watch.function(run, "_cells", "images")
        watch.function(run, "ready", "a teacher that is there")
        watch.context(run, "connected", "Ray (and MPS)")
        watch.function(Tracker, "ready", "MLflow, beyond Ray")
        watch.function(run, "packing", "how many share a GPU")
        original, run_trials = StudySearcher.report, run.run_trials
        since: list[float] = []

        def trials(*rest: Any) -> None:
            since.append(time.time())
            run_trials(*rest)

        def report(self: Any, number: int, told: Any) -> None:
            if since:
                epoch = told["epoch_seconds"]
                watch.parts["Tune, the trial's process"] = time.time() - since.pop() - epoch
                watch.parts["its first epoch"] = epoch
                watch.parts[WHOLE] = time.time() - began - epoch + told["train_seconds"]
            original(self, number, told)

        run.run_trials = trials
        StudySearcher.report = report

    searching: Any = import_module("tuning.sweeps.searching")
    original: Callable[..., Any] = searching.held

    @contextmanager
    def held() -> Iterator[None]:
        with original():
            begun()
            yield

    searching.held = held
    try:
        command.main(words)
    finally:
        file.write_text(json.dumps(watch.parts))


# -- a trial's process ----------------------------------------------------------------------------


def trial(file: Path, began: float) -> None:
    """Do what a trial's process does until its first step, and write down what it took."""
    watch = Watch()
    watch.parts["interpreter"] = time.time() - began
    with watch.part("import of torch"):
        import torch
    with watch.part("import of Ray Tune and Ray Train"):
        from ray import tune  # noqa: F401
        from ray.train.torch import TorchTrainer  # noqa: F401
    with watch.part("import of kd"):
        from kd.data import open_dataset
        from kd.data.split import train_val
        from kd.training.trainer import Place, Trainer
        from tuning.records.presets import setting
    config = setting("laptop", "ce").base
    images = train_val(open_dataset(config.dataset).train, config.split)
    with watch.part("the device"):
        place = Place.local()
    with watch.part("network, optimizer, images on the device"):
        trainer = Trainer(config, *images, place=place)
    with watch.part("first step (on a GPU: cuDNN, warm-up, capture), and val"):
        trainer.try_out(1)
    with watch.part("second step, and val"):
        trainer.try_out(1)
    if place.device.type == "cuda":
        torch.cuda.synchronize()
    file.write_text(json.dumps(watch.parts))


# -- the table -------------------------------------------------------------------------------------


def timed(kind: str, words: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of every part, round by round."""
    found: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "parts.json"
            command = [sys.executable, "-m", "benchmarks.first_step", kind, str(file)]
            storage = ["--storage", folder, "--name", "timed"] if kind == "search" else []
            subprocess.run(
                [*command, str(time.time()), *words, *storage],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            parts = json.loads(file.read_text())
        for name, seconds in parts.items() if number else ():
            found.setdefault(name, []).append(seconds)
    return found


def main() -> None:
    """Print the tables."""
    if sys.argv[1:2] == ["search"]:
        search(Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
        return
    if sys.argv[1:2] == ["trial"]:
        trial(Path(sys.argv[2]), float(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("words", nargs="*", help="of tuning.search")
    arguments = parser.parse_args()
    words = [*(arguments.words or SEARCH), *ONE]
    import torch

    from benchmarks.timing import header, spread

    print(header("cuda" if torch.cuda.is_available() else "cpu"))
    for kind, title, given in (
        ("search", f"python -m tuning.search {' '.join(words)}", words),
        ("trial", "a trial's process, by itself", []),
    ):
        print(f"\n| {title} | seconds |\n|---|---|")
        for part, seconds in timed(kind, given, arguments.rounds).items():
            print(f"| {part} | {spread(seconds)} |", flush=True)
    print(f"\nThe target is {TARGET:g} s, on a GPU host with a warm disk.")


if __name__ == "__main__":
    main()
