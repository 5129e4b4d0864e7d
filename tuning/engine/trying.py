"""How long an epoch takes on this machine, found by training for a moment, without Ray.

As many processes as trials would run at once, with as few threads each, train the paper's default
side by side, each in a Python of its own: this file is also their program. What Ray would add is
stated: `TELL` an epoch, `SET_UP` a trial. Beyond `AT_ONCE` processes the others are taken to take
as long as these.
"""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any, NamedTuple

from kd.config import TrainConfig
from tuning.study.expected import Pace, doubt

if TYPE_CHECKING:
    from kd.data import Images

WINDOW = 3.0
"""Seconds in which all of them train and are counted."""
CHUNK = 0.25
"""Seconds of steps between two looks at the clock, at least."""
LOOK = 10.0
"""Seconds that a look at val may take, as its steps let fear; a longer one is only reckoned."""
FORWARD = 1 / 3
"""Of the time of a step on the same images, what a look at them takes at most, about."""
TELL, SET_UP = 0.04, 0.35
"""Seconds that Ray takes to pass a report on, and to set up the next trial in a process."""
AT_ONCE = 16
PATIENCE = 120.0
"""Seconds after which what was measured so far must do."""
UNSEEN, HURRIED = 0.25, 0.5
"""How much more of the pace is in doubt without a look at val, or by the first steps alone."""
_ROOT = Path(__file__).absolute().parents[2]


class UntriedError(Exception):
    """The pace could not be measured; says why."""


class Tried(NamedTuple):
    """What was found: the pace of trials, and of each teacher that is to be trained first.

    `hurried` where there was no time for more than their first steps; then no teacher's is known.
    """

    trials: Pace
    teachers: tuple[Pace, ...] = ()
    hurried: bool = False


def try_out(
    config: TrainConfig,
    data_root: Path | None,
    *,
    slots: int,
    cpus: int,
    device: str = "cpu",
    seeds: int = 1,
) -> Tried:
    """Train `config` in as many processes as `slots`, of `cpus` threads, and then its teachers.

    Each trains it on so many `seeds`, whose epochs together are what an epoch takes.

    Raises:
        UntriedError: it cannot be trained here.
    """
    job = {
        "config": config.to_dict(),
        "data_root": None if data_root is None else str(data_root.absolute()),
        "cpus": cpus,
        "device": device,
        "seeds": seeds,
    }
    before, late = doubt(), time.monotonic() + PATIENCE
    with _processes(min(slots, AT_ONCE), cpus) as processes:
        began = time.time()
        for process in processes:
            _tell(process, job)
        ready = _heard(processes, late)
        if not ready:
            raise UntriedError(
                f"within {PATIENCE:g} s nothing had begun to train, so busy is this machine"
            )
        begin = time.time() + 0.1
        for process in processes:
            _tell(process, {"begin": begin})
        found = _heard(processes, late)
        for process in processes[1:]:
            process.kill()
        first = processes[0]
        _tell(first, {})
        last = _heard([first], late) if config.teachers and found else []
    hurried = not found or len(last) < bool(config.teachers)
    start = max(answer["imported"] - began + answer["first"] for answer in ready)
    built = fmean(answer["built"] for answer in ready)
    epochs = [answer["epoch"] for answer in found or ready]
    seen = 0.0 if all(answer["looked"] for answer in found or ready) else UNSEEN
    seen = math.hypot(seen, 0.0 if found else HURRIED)
    sure = math.hypot(before, seen, pstdev(epochs) / fmean(epochs) / math.sqrt(len(epochs)))
    mine = Pace(epoch=fmean(epochs) + TELL, trial=built + SET_UP, start=start, doubt=sure)
    teachers = [seconds + TELL for answer in last for seconds in answer["teachers"]]
    return Tried(
        mine,
        tuple(Pace(epoch=each, start=start + SET_UP, doubt=sure) for each in teachers),
        hurried,
    )


# -- the processes ---------------------------------------------------------------------------------


@contextmanager
def _processes(count: int, cpus: int) -> Iterator[list["subprocess.Popen[str]"]]:
    """So many of them; they end with the `with`, and when this process does."""
    given = os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": str(cpus)}
    started: list[subprocess.Popen[str]] = []

    def give_up() -> None:
        for process in started:
            process.kill()

    timer = threading.Timer(PATIENCE, give_up)
    try:
        for _ in range(count):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=given,
                )
            )
        timer.start()
        yield started
    finally:
        timer.cancel()
        for process in started:
            process.kill()
            process.communicate()


def _tell(process: "subprocess.Popen[str]", words: dict[str, Any]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()


def _heard(processes: Sequence["subprocess.Popen[str]"], late: float) -> list[dict[str, Any]]:
    """The next answers, of those that gave one before it was `late`.

    UntriedError where one ended without any.
    """
    answers = list[dict[str, Any]]()
    for process in processes:
        assert process.stdout is not None
        if line := process.stdout.readline():
            answers.append(json.loads(line))
        elif time.monotonic() < late:
            process.kill()
            _, err = process.communicate()
            last = (err.strip().splitlines() or ["it ended without a word"])[-1]
            raise UntriedError(last.rpartition("Error: ")[2].rstrip("."))
    return answers


# -- the program of each ---------------------------------------------------------------------------


def _answer(words: dict[str, Any]) -> None:
    # Libraries print what they like; the answers go where they are read.
    print(json.dumps(words), file=_out, flush=True)


def _program() -> None:
    job = json.loads(sys.stdin.readline())
    # What a trial's process imports, too, before it trains.
    import ray.train.torch
    import ray.tune  # noqa: F401
    import torch

    import kd.training.trainer  # noqa: F401
    from kd.data import open_dataset
    from kd.data.split import train_val

    torch.set_num_threads(job["cpus"])
    imported = time.time()
    config = TrainConfig.from_dict(job["config"])
    images = open_dataset(config.dataset, job["data_root"], images=config.images).train
    train, val = train_val(images, config.split)
    # The first one loads libraries that later trials find.
    built = []
    for _ in range(2):
        began = time.perf_counter()
        trying = Trying(config, train, val, job["device"], job["seeds"])
        built.append(time.perf_counter() - began)
    trying.warm_up()
    known = {"epoch": trying.reckoned, "looked": trying.looked}
    _answer({"imported": imported, "first": built[0], "built": built[1], **known})
    begin = json.loads(sys.stdin.readline())["begin"]
    time.sleep(max(0.0, begin - time.time()))
    epoch = trying.epoch(begin + WINDOW)
    _answer({"epoch": epoch, "looked": trying.looked})
    if not sys.stdin.readline():
        return
    teachers = []
    for ancestor in config.ancestors:
        teacher = Trying(ancestor.recipe, train, val, job["device"])
        teacher.warm_up()
        teachers.append(teacher.epoch(time.time() + WINDOW / 2))
    _answer({"teachers": teachers})


class Trying:
    """One trial's training, a few steps at a time."""

    def __init__(
        self, config: TrainConfig, train: "Images", val: "Images", device: str, seeds: int = 1
    ) -> None:
        from kd.training.parallel import Place
        from tuning.engine.pooled import Pool

        place = replace(Place.local(device), beside=os.cpu_count() or 1)
        teachers = _teachers(config, train)
        images = train, val
        self.pool = Pool(config, *images, seeds=seeds, place=place, teachers=teachers)
        self.looked = True
        self._step, self._chunk = 0.0, 1
        self._look: float | None = None

    def warm_up(self) -> None:
        """Take the first steps, which take longer, and see how long others do."""
        steps = len(self.pool.loader)
        self._step = self._steps(1)
        if self._step < 4 * CHUNK:
            few = min(4, steps)
            self._step = min(self._step, self._steps(few) / few)
        self._chunk = min(steps, max(1, math.ceil(CHUNK / self._step)))
        first = self.pool.first
        batches = len(first.val_loader.labels) / first.config.batch_size
        self._look = FORWARD * batches * self._step
        self.looked = self._look < LOOK
        if self.looked:
            self.pool.validate()

    @property
    def reckoned(self) -> float:
        """The seconds of an epoch and its look at val, by its first steps."""
        return len(self.pool.loader) * self._step + (self._look or 0.0)

    def epoch(self, until: float) -> float:
        """The seconds of an epoch and its look at val, trained until then."""
        steps, seconds, looks = 0, 0.0, list[float]()
        whole = len(self.pool.loader)
        while time.time() < until or not steps:
            if self.looked and steps >= whole * len(looks):
                began = time.perf_counter()
                self.pool.validate()
                looks.append(time.perf_counter() - began)
            seconds += self._steps(self._chunk)
            steps += self._chunk
        return whole * seconds / steps + (fmean(looks) if looks else self._look or 0.0)

    def _steps(self, count: int) -> float:
        began = time.perf_counter()
        self.pool.try_out(count, look=False)
        return time.perf_counter() - began


def _teachers(config: TrainConfig, train: "Images") -> list[Any]:
    """Its teachers, untrained where they are still to come: they take as long."""
    from kd.backbones import build_backbone
    from kd.parts.teacher import Teacher
    from kd.training.teacher import load_teachers

    if all(teacher.weights for teacher in config.teachers):
        return load_teachers(config, train)
    names = [config.teacher_recipe(n).backbone for n in range(len(config.teachers))]
    sizes = len(train.class_names), int(train.images.shape[1])
    return [Teacher(build_backbone(name, *sizes)) for name in names]


if __name__ == "__main__":
    _out, sys.stdout = sys.stdout, sys.stderr
    _program()
