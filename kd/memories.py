"""Soft-label memories as sizes: in which form a run keeps them, and what that costs. No torch.

A memory keeps, of every training sample, the probabilities (*rows, C) that the network gave it an
epoch ago. `kd.parts.history` holds them; which it holds is settled here, from sizes alone, so
that every machine trains the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal, Self

Form = Literal["dense", "bfloat16", "compressed"]
"""What is kept of a probability: float32, bfloat16, or only the `KEPT` largest in float16."""
History = Literal["auto", "dense", "bfloat16", "compressed"]
"""What a configuration says; `auto` is `dense` up to `BUDGET` bytes, and `compressed` above."""

BUDGET = 8 * 2**30
"""Bytes that all memories of a run may take dense, where `auto` decides.

Every published setting on CIFAR and Tiny ImageNet stays dense, and so does PS-KD on ImageNet.
Another number would change what configurations that say `auto` train.
"""
KEPT = 128
"""How many probabilities of a row `compressed` keeps.

LSSKD on ImageNet takes 11.2 GB with it, of the 16 GB that a host should do with.
"""
GIB = 2**30
LARGE = 2 * GIB
"""Bytes from which on it is said where memories lie."""
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "uint8": 1, "int16": 2, "int32": 4}


@dataclass(frozen=True)
class Column:
    """One tensor of a memory: its name, how many values it has of a sample, and torch's type."""

    name: str
    width: int
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes that it takes of a sample."""
        return self.width * _BYTES[self.dtype]


def columns(form: Form, shape: tuple[int, ...], kept: int | None = None) -> tuple[Column, ...]:
    """What a memory of probabilities `shape` (*rows, C) consists of.

    `compressed` keeps of a row `kept` (else `KEPT`) probabilities, the mass of all others, and
    the classes; or the whole row in float16, where that takes no more.
    """
    *rows, classes = shape
    count = prod(rows)
    if form != "compressed":
        dtype = "float32" if form == "dense" else form
        return (Column("values", count * classes, dtype),)
    kept = KEPT if kept is None else kept
    index = "uint8" if classes <= 2**8 else "int16" if classes <= 2**15 else "int32"
    whole = Column("values", count * classes, "float16")
    values = Column("values", count * (kept + 1), "float16")
    largest = (values, Column("classes", count * kept, index))
    return (whole,) if whole.nbytes <= sum(c.nbytes for c in largest) else largest


@dataclass(frozen=True)
class Memories:
    """All memories of one run: their form, N, and the shape (*rows, C) of each."""

    form: Form
    num_samples: int
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, history: History, num_samples: int, shapes: Iterable[tuple[int, ...]]) -> Self:
        """Those of a configuration that says `history`."""
        dense = cls("dense", num_samples, tuple(shapes))
        if history == "auto":
            history = "dense" if dense.nbytes <= BUDGET else "compressed"
        return dense.as_form(history)

    def as_form(self, form: Form) -> Self:
        """The same memories in another form."""
        return type(self)(form, self.num_samples, self.shapes)

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        a_sample = sum(c.nbytes for shape in self.shapes for c in columns(self.form, shape))
        return self.num_samples * a_sample

    def __str__(self) -> str:
        """The form and the size, as a line may say it."""
        return f"{self.form}, {readable(self.nbytes)}"


def readable(count: float) -> str:
    """A number of bytes as a person reads it."""
    units = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
    unit = next((name for name, size in units.items() if count >= size / 10), "KiB")
    return f"{count / units[unit]:,.1f} {unit}"
