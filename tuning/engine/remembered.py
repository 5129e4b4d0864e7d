"""What was measured of trials that share a GPU, kept for later sweeps in the storage folder.

It is told by all that it depends on: the form of the training, not its numbers; the GPU; the
versions of torch and of this project.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from kd.config import TrainConfig
from kd.data import Images
from kd.errors import UserError
from kd.files import replace_file
from kd.origin import Origin

FILE = "packing.json"
MOST = 500
"""Measurements that are kept, the latest."""
GAIN = 1.1
"""How many times as much a larger number of trials must do together to share a GPU."""


@dataclass(frozen=True)
class Measured:
    """Trainings side by side on one GPU.

    Attributes:
        used: bytes of the GPU that one of them takes.
        total: bytes that the GPU has.
        rates: by their number, the steps a second of all of them together; 0.0 for a number that
            does not work.
    """

    used: int
    total: int
    rates: Mapping[int, float]

    @classmethod
    def of(cls, plain: Any) -> Self:
        """The inverse of `to_dict`; ValueError for anything else."""
        try:
            rates = {int(count): float(rate) for count, rate in plain["rates"].items()}
            used, total = int(plain["used"]), int(plain["total"])
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
            raise ValueError("no measurement") from None
        fine = all(n >= 1 and math.isfinite(rate) and rate >= 0 for n, rate in rates.items())
        if not (fine and used >= 0 and total >= 0 and rates.get(1, 0) > 0):
            raise ValueError("no measurement")
        return cls(used, total, rates)

    def of_one(self, count: int) -> float | None:
        """The steps a second of one of `count` trainings; None if that is not known."""
        return self.rates.get(count, 0.0) / count or None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "rates": {str(n): rate for n, rate in self.rates.items()}}


def counts(most: int) -> list[int]:
    """The numbers of trials that are tried, of at most `most`: 1, 2, 4, …, and the last one."""
    doubled = [2**i for i in range(most.bit_length()) if 2**i < most]
    return [*doubled, most]


def undecided(rates: Mapping[int, float], most: int) -> int | None:
    """The number of trials that must be measured next; None once it is known how many gain."""
    best = None
    for count in counts(most):
        if count not in rates:
            return count
        if best is not None and rates[count] < GAIN * rates[best]:
            return None
        best = count
    return None


def worthwhile(rates: Mapping[int, float], most: int) -> int:
    """How many trials share a GPU, at most `most`: as many as still gain `GAIN` by it.

    What is not measured counts as no gain.
    """
    best, *others = counts(most)
    for count in others:
        if rates.get(count, 0.0) < GAIN * rates.get(best, 0.0):
            break
        best = count
    return best


def cell_of(
    config: TrainConfig,
    train: Images,
    val: Images,
    teachers: Sequence[bytes] = (),
    seeds: int = 1,
) -> dict[str, Any]:
    """All of a training that decides what its step takes, as plain values.

    teachers: their files, where they are there; seeds: on how many it trains at once.
    """
    plain = config.to_dict()
    form = {name: v for name, v in plain["kd"].items() if not isinstance(v, float)}
    kept = ("method", "backbone", "batch_size", "precision", "history", "augment")
    return {
        **{name: plain[name] for name in kept if name in plain},
        "kd": form,
        "teachers": [_network(content) for content in teachers],
        "optimizer": plain["optimizer"]["name"],
        "momentum": plain["optimizer"]["momentum"] > 0,
        "images": [len(train), *map(int, train.images.shape[1:])],
        "val": len(val),
        "classes": len(train.class_names),
        **({"seeds": seeds} if seeds > 1 else {}),
        **Origin.of("", config=config).versions,
    }


def _network(content: bytes) -> str:
    """What the file of a teacher says of its backbone; nothing where it is no such file."""
    try:
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length])["__metadata__"]["kd"]
        return str(json.loads(about)["backbone"])
    except (LookupError, TypeError, ValueError):
        return ""


def recall(storage: Path, about: Mapping[str, Any]) -> Measured | None:
    """What was measured of just that; None if nothing was, or the file is of no use."""
    for entry in reversed(_entries(storage / FILE)):
        if entry.get("of") == about:
            try:
                return Measured.of(entry)
            except ValueError:
                continue
    return None


def keep(storage: Path, about: Mapping[str, Any], measured: Measured) -> None:
    """Remember what was measured; where that cannot be written it is measured again."""
    entries = [entry for entry in _entries(storage / FILE) if entry.get("of") != about]
    entries.append({"of": dict(about), **measured.to_dict()})
    text = json.dumps({"measured": entries[-MOST:]}, indent=1) + "\n"
    try:
        replace_file(storage / FILE, text.encode())
    except UserError:
        return


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_bytes())["measured"]
    except (OSError, LookupError, RecursionError, TypeError, ValueError):
        return []
    return [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []
