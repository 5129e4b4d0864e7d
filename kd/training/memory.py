"""Where a run's soft-label memories lie: on its device, or on the host.

That changes no result, so it is chosen when a run begins, from what is free. What changes results
is their form, which `kd.memories` settles from sizes alone.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import torch

from kd.config import TrainConfig
from kd.data import Images
from kd.errors import UserError
from kd.memories import LARGE, Memories, readable
from kd.parts.history import Histories
from kd.room import RESERVE, free_memory, scratch
from kd.training.parallel import Place

SHARE = 0.75
"""How much of what is free on a device, or in memory, memories may take: a step needs room too."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes that one run may fill with memories: on its device, in memory, in a folder."""

    device: float
    memory: float
    disk: float
    folder: Path | None

    @classmethod
    def here(
        cls, device: torch.device, images: int = 0, beside: int = 1, *, ahead: bool = False
    ) -> Self:
        """What is free now for one of `beside` runs on this machine.

        `images` are the bytes that the training set will take of a GPU. Asked `ahead` of all of
        them, everything is shared out. Later, only the memory that each chooses first is: of the
        rest, what is gone is what others have taken.
        """
        memory = SHARE * free_memory()
        folder, disk = scratch()
        if ahead:
            memory, disk, beside = memory / beside, disk // beside, 1
        on_gpu = device.type == "cuda"
        first = SHARE * _free_on(device, images) if on_gpu else memory / beside
        return cls(device=first, memory=memory, disk=disk, folder=folder)


def _free_on(gpu: torch.device, images: int) -> float:
    """Bytes that this process may still take of a GPU, of which it may be given a part alone."""
    # Not all of these take a device without a number.
    index = torch.cuda.current_device() if gpu.index is None else gpu.index
    free, total = torch.cuda.mem_get_info(index)
    held, used = torch.cuda.memory_reserved(index), torch.cuda.memory_allocated(index)
    its = total * torch.cuda.get_per_process_memory_fraction(index)
    return min(free + held, its) - used - images


def histories(config: TrainConfig, train: Images, place: Place) -> Histories:
    """What makes the memories of a run: on its device if they fit there, else on the host.

    UserError where they fit nowhere.
    """
    memories = config.memories(len(train), len(train.class_names))
    room = Room.here(place.device, train.images.nbytes, place.beside)
    return housed(memories, place.device, room, beside=place.beside)


def housed(memories: Memories, device: torch.device, room: Room, *, beside: int = 1) -> Histories:
    """What makes `memories` in the first place that has room: device, disk, the host's memory.

    UserError where none has, which may be for the runs `beside` it.
    """
    size = memories.nbytes
    make = partial(Histories, form=memories.form, device=device)
    # On a GPU that is full there is still room for nothing.
    if size <= max(room.device, 0):
        return make()
    if size <= room.disk:
        return make(host=True, folder=room.folder)
    if size <= room.memory:
        return make(host=True)
    places = [f"{readable(room.device)} on {device}"] if device.type == "cuda" else []
    places.append(f"{readable(room.memory)} in memory")
    places.append(f"{readable(room.disk)} in {room.folder}" if room.folder else "none on a disk")
    each = f", for each of {beside}" if beside > 1 else ""
    raise UserError(
        f"The soft-label memories ({memories}) fit nowhere: there is room for "
        f"{', '.join(places[:-1])} and {places[-1]}{each}; {_remedy(memories, room)}"
        f"{', or train fewer at once' if each else ''}."
    )


def _remedy(memories: Memories, room: Room) -> str:
    """What a person may type, where that helps."""
    small = memories.as_form("compressed")
    if small.nbytes >= memories.nbytes:
        return (
            f"set TMPDIR to a folder with {readable(memories.nbytes + RESERVE)} of room on a disk"
        )
    if small.nbytes <= max(room.device, room.memory, room.disk):
        return f"set history=compressed, which takes {readable(small.nbytes)}"
    needed = readable(small.nbytes + RESERVE)
    return f"set history=compressed, and TMPDIR to a folder with {needed} of room on a disk"


def told(config: TrainConfig, train: Images, place: Place) -> str | None:
    """The `line` of a run that begins now; UserError where its memories fit nowhere."""
    made = histories(config, train, place)
    return line(config.memories(len(train), len(train.class_names)), made)


def line(memories: Memories, made: Histories) -> str | None:
    """How memories are kept and what they cost, in one line; None for everyday ones."""
    if memories.nbytes < LARGE and not made.host:
        return None
    where = f"on {made.device}" if made.device and made.device.type == "cuda" else "in memory"
    if made.host:
        where = f"in files in {made.folder}" if made.folder else "in the host's memory"
    return f"Soft-label memories: {memories}, {where}."
