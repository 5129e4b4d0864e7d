"""Where the soft-label memories of trials will lie, asked of a machine before any is trained."""

import math
from collections.abc import Iterable
from typing import Any

from kd.config import TrainConfig
from kd.errors import UserError
from kd.memories import LARGE, Memories
from tuning.engine.share import Share
from tuning.engine.trial import Work, limit_memory


def check_memories(
    jobs: Iterable[tuple[TrainConfig, Work]], share: Share, machines: int = 1
) -> None:
    """Say how the trials of `jobs` keep their memories, and where a machine of theirs has room.

    Nothing is asked or said of memories that any machine holds. UserError where they fit nowhere,
    with as many of them at once as `share` has on so many machines.
    """
    runs = math.ceil(share.slots * share.workers / machines)
    asked: dict[tuple[Memories, int], int] = {}
    for config, work in jobs:
        memories = config.memories(len(work.train), len(work.train.class_names))
        if work.seeds * memories.nbytes >= LARGE:
            asked[memories, work.seeds] = work.train.images.nbytes
    for (memories, seeds), images in asked.items():
        line, refusal = _ask(memories, images, seeds * runs, share)
        if refusal is not None:
            raise UserError(refusal)
        if line is not None:
            print(line, flush=True)


def _ask(
    memories: Memories, images: int, beside: int, share: Share
) -> tuple[str | None, str | None]:
    """What a process that holds as much as one worker of a trial answers."""
    import ray

    cpus, gpus = share.cpus / share.workers, share.gpus / share.workers
    task: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1)(answer)
    said: tuple[str | None, str | None] = ray.get(task.remote(memories, images, beside, gpus))
    return said


def answer(
    memories: Memories, images: int, beside: int, gpus: float
) -> tuple[str | None, str | None]:
    """(the line that says where `memories` lie, None), or (None, why they lie nowhere)."""
    from kd.training.memory import Room, housed, line
    from kd.training.parallel import Place

    if 0 < gpus < 1:
        limit_memory(gpus)
    device = Place.local("cuda" if gpus else "cpu").device
    try:
        room = Room.here(device, images, beside, ahead=True)
        return line(memories, housed(memories, device, room, beside=beside)), None
    except UserError as refusal:
        return None, str(refusal)
