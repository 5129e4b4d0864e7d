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
from typing import Any, NamedTuple

from kd.config import TrainConfig
from tuning.study.expected import Pace, doubt

WINDOW = 3.0
"""Seconds in which all of them train and are counted."""
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
    mine = replace(_pace(ready, found, before), start=start, shared=config.kd.beginning is not None)
    teachers = [seconds + TELL for answer in last for seconds in answer["teachers"]]
    return Tried(
        mine,
        tuple(Pace(epoch=each, start=start + SET_UP, doubt=mine.doubt) for each in teachers),
        hurried,
    )


def _pace(ready: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], before: float) -> Pace:
    """What the answers of all processes say of a trial, where so much was in doubt `before`."""
    epochs = [answer["epoch"] for answer in found or ready]
    seen = 0.0 if all(answer["looked"] for answer in found or ready) else UNSEEN
    seen = math.hypot(seen, 0.0 if found else HURRIED)
    return Pace(
        epoch=fmean(epochs) + TELL,
        trial=fmean(answer["built"] for answer in ready) + SET_UP,
        before=fmean(answer["before"] for answer in ready),
        doubt=math.hypot(before, seen, pstdev(epochs) / fmean(epochs) / math.sqrt(len(epochs))),
    )


# -- the processes ---------------------------------------------------------------------------------


@contextmanager
def _processes(count: int, cpus: int) -> Iterator[list["subprocess.Popen[str]"]]:
    """So many of them; they end with the `with`, and when this process does."""
    # What a package adds may be found by the path that is set, too.
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    given = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(cpus)}
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

    from kd.data import open_dataset
    from kd.data.split import train_val
    from tuning.engine.timed import TimedTraining

    torch.set_num_threads(job["cpus"])
    imported = time.time()
    config = TrainConfig.from_dict(job["config"])
    images = open_dataset(config.dataset, job["data_root"], images=config.images).train
    train, val = train_val(images, config.split)
    # The first one loads libraries that later trials find.
    built = []
    for _ in range(2):
        began = time.perf_counter()
        training = TimedTraining(config, train, val, job["device"], job["seeds"])
        built.append(time.perf_counter() - began)
    before = training.before()
    training.warm_up()
    known = {"epoch": training.reckoned, "looked": training.looked, "before": before}
    _answer({"imported": imported, "first": built[0], "built": built[1], **known})
    begin = json.loads(sys.stdin.readline())["begin"]
    time.sleep(max(0.0, begin - time.time()))
    epoch = training.epoch(begin + WINDOW)
    _answer({"epoch": epoch, "looked": training.looked})
    if not sys.stdin.readline():
        return
    teachers = []
    for ancestor in config.ancestors:
        teacher = TimedTraining(ancestor.recipe, train, val, job["device"])
        teacher.warm_up()
        teachers.append(teacher.epoch(time.time() + WINDOW / 2))
    _answer({"teachers": teachers})


if __name__ == "__main__":
    _out, sys.stdout = sys.stdout, sys.stderr
    _program()
