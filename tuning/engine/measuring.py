"""Trainings side by side on one device, each in a process of its own, to see what they take."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kd.config import TrainConfig
from tuning.engine.mps import nvidia_smi, place, servers_of
from tuning.engine.remembered import Measured, undecided
from tuning.engine.trial import Work, teachers_of

if TYPE_CHECKING:
    from tuning.engine.pooled import Pool

MARGIN = 1.2
"""How much more of a GPU's memory than it was seen to take a trial is given."""
STEPS = 3
WINDOW = 1.5
"""Seconds in which all of them train and are counted."""
UNIT = 0.1
"""Seconds of steps between two looks at the clock, at least."""
HEAD_START = 0.2
"""Seconds until all of them have heard when they begin."""
AT_ONCE = 8
"""Processes that are started at the beginning, as most networks gain by no more."""
MOST = 32
"""Trainings side by side at most; MPS serves 48 processes a GPU and more."""
PATIENCE = 300.0
"""Seconds after which a process that does not answer is taken for one that cannot."""


Following = Callable[[Mapping[int, float], int], int | None]
"""From the rates so far, and the most that fit, to the next number; None at the end."""


class UnmeasurableError(Exception):
    """Not even one training could be measured."""


def fitting(used: int, total: int, cores: int) -> int:
    """How many trials of `used` bytes fit on a GPU of `total`, each with a core; at least 1."""
    room = int(total / (MARGIN * used)) if used else cores
    return max(1, min(room, cores, MOST))


def measure(
    config: TrainConfig,
    work: Work,
    *,
    cores: int,
    cpus: int,
    device: str,
    following: Following = undecided,
) -> Measured:
    """Train `config` 1, 2, 4, … times at once on one device until more of them gain nothing.

    Args:
        config: whose steps are counted.
        work: its images.
        cores: how many may train at once as far as cores go.
        cpus: the cores that each of them holds.
        device: `cuda`, which is one GPU for all of them, or `cpu`.
        following: what number is measured after those that are, the first being 1.

    Raises:
        UnmeasurableError: with the reason, where one alone does not train.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    job, rates = ray.put((config, work, device)), dict[int, float]()
    with _probes(min(cores, AT_ONCE), cpus, device) as probes:
        first = next(probes)
        ready = [first]
        try:
            used, total = ray.get(first.prepare.remote(job), timeout=PATIENCE)
        except (GetTimeoutError, RayError) as error:
            raise UnmeasurableError(_why(error)) from None
        most = fitting(used, total, cores)
        while (count := following(rates, most)) is not None:
            try:
                more = [next(probes) for _ in range(count - len(ready))]
                ray.get([probe.prepare.remote(job) for probe in more], timeout=PATIENCE)
                ready += more
                begin = ray.get(first.now.remote()) + HEAD_START
                counted = [probe.count.remote(begin) for probe in ready]
                rates[count] = sum(ray.get(counted, timeout=PATIENCE))
            except (GetTimeoutError, RayError) as error:
                if count == 1:
                    raise UnmeasurableError(_why(error)) from None
                rates[count] = 0.0
    return Measured(used, total, rates)


def card(device: str) -> Mapping[str, Any]:
    """The device's name and memory, and whether those on it share it by MPS; of this process."""
    if device == "cpu":
        return {"gpu": None, "memory": None, "mps": False}
    words = nvidia_smi("--query-gpu=name,memory.total", "--id=" + _visible())
    if len(words) == 1 and "," in words[0]:
        name, _, memory = words[0].rpartition(", ")
    else:
        name, memory = "unknown", ""
        with suppress(RuntimeError, AssertionError):  # a GPU of no use is found when one trains
            import torch

            found = torch.cuda.get_device_properties(0)
            name, memory = found.name, f"{found.total_memory >> 20} MiB"
    return {"gpu": name, "memory": memory, "mps": servers_of(place()) is not None}


def card_of(device: str) -> Mapping[str, Any]:
    """The `card` of the first device that is free, as one of Ray's processes sees it."""
    import ray

    gpus = 0 if device == "cpu" else 1
    task: Any = ray.remote(num_cpus=0, num_gpus=gpus, max_calls=1)(card)
    found: Mapping[str, Any] = ray.get(task.remote(device))
    return found


def _visible() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0] or "0"


@contextmanager
def _probes(at_once: int, cpus: int, device: str) -> Iterator[Iterator[Any]]:
    """Processes that share one device; the first `at_once` of them start now, others when asked.

    They end with the `with`.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    gpus = 0 if device == "cpu" else 1
    # In one bundle, as Ray would spread parts of GPUs over several of them.
    bundle = {"CPU": at_once * cpus, "GPU": gpus}
    group = placement_group([{name: n for name, n in bundle.items() if n}])
    started: list[Any] = []
    actor: Any = ray.remote(Probe)

    def start() -> Any:
        probe = actor.options(
            num_cpus=cpus if len(started) < at_once else 0,
            num_gpus=gpus / MOST,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0),
        ).remote()
        started.append(probe)
        return probe

    def handed_out() -> Iterator[Any]:
        yield from tuple(started)
        while True:
            yield start()

    try:
        ray.get(group.ready())
        for _ in range(at_once):
            start()
        yield handed_out()
    finally:
        for probe in started:
            ray.kill(probe)
        remove_placement_group(group)


class Probe:
    """One training among others, in a process of its own."""

    def __init__(self) -> None:
        # What takes the longest, before it is said what to train.
        import kd.training.trainer  # noqa: F401

    def prepare(self, job: tuple[TrainConfig, Work, str]) -> tuple[int, int]:
        """Take the first steps; the bytes of the device that they took, and that it has."""
        import torch

        from kd.training.trainer import Place
        from tuning.engine.pooled import Pool

        config, work, device = job
        torch.set_num_threads(1)
        place, used, total = Place.local(device), 0, 0
        if device != "cpu":
            free, total = torch.cuda.mem_get_info()
            used = total - free
        teachers = teachers_of(config, work)
        try:
            images = work.train, work.val
            self._pool = Pool(config, *images, seeds=work.seeds, place=place, teachers=teachers)
            self._pool.try_out(STEPS)
        except torch.OutOfMemoryError:
            raise MemoryError("it takes more memory than a GPU has") from None
        if device != "cpu":
            used += torch.cuda.max_memory_reserved()
        self._unit = unit(self._pool)
        self._done = 0
        return used, total

    def now(self) -> float:
        """This machine's clock."""
        return time.monotonic()

    def count(self, begin: float) -> float:
        """Train from `begin` on; the steps a second, counted while all the others train too.

        Of several seeds those of all count.
        """
        time.sleep(max(0.0, begin - time.monotonic()))
        started = ended = time.monotonic()
        until, steps = begin + WINDOW, 0
        while ended < until:
            self._go_on()
            now = time.monotonic()
            # What was begun in time and ended too late had fewer beside it.
            if now <= until or not steps:
                steps, ended = steps + self._unit, now
            else:
                break
        return len(self._pool.trainers) * steps / (ended - started)

    def _go_on(self) -> None:
        """Some more steps, and a look at val where an epoch is full."""
        self._done += self._unit
        whole = self._done >= len(self._pool.loader)
        self._pool.try_out(self._unit, look=whole)
        if whole:
            self._done = 0


def unit(pool: "Pool") -> int:
    """Steps at a time: so many that what comes before and after them weighs a twentieth at most.

    More than an epoch has are none: then an epoch is taken at a time.
    """
    few, more, whole = STEPS, 4 * STEPS, len(pool.loader)
    times = []
    for steps in (few, more):
        began = time.perf_counter()
        pool.try_out(steps, look=False)
        times.append(time.perf_counter() - began)
    taken = [min(steps, whole) for steps in (few, more)]
    step = max((times[1] - times[0]) / max(taken[1] - taken[0], 1), times[1] / taken[1] / 10)
    beside = max(times[0] - taken[0] * step, 0.0)
    return min(whole, math.ceil(max(UNIT, 20 * beside) / step))


def _why(error: BaseException) -> str:
    """The reason that a process gave, in one line."""
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return (lines[0] if lines else type(cause).__name__).rstrip(".")
