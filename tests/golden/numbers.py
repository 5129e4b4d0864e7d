"""Files of golden numbers, and what a check of one compares."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

HERE = Path(__file__).parent
BOUND = 1e-8
"""The largest relative error that a number may have."""

Check = Callable[["Numbers"], None]
CHECKS: dict[str, Check] = {}
"""What checks a file, by its name without the ending."""


def checks(*names: str) -> Callable[[Check], Check]:
    """Let the function check the files of these names."""

    def add(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(names, check))
        return check

    return add


@dataclass
class Numbers:
    """The arrays of a file: some are inputs, the others must be met.

    name: of the file. arrays: by key. errors: the relative error of each key that was met, which
    is the largest difference over the largest number of the array.
    """

    name: str
    arrays: dict[str, Tensor]
    errors: dict[str, float] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, path: Path) -> "Numbers":
        """The file's arrays as tensors; of what is no number (a word) nothing is kept."""
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
        tensors = {k: torch.from_numpy(a) for k, a in arrays.items() if a.dtype.kind in "biuf"}
        return cls(path.stem, tensors)

    def __getitem__(self, key: str) -> Tensor:
        """An input. Of floating point, it may be differentiated by."""
        self.read.add(key)
        tensor = self.arrays[key].clone()
        return tensor.requires_grad_() if tensor.is_floating_point() else tensor

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def met(self, key: str, value: Tensor | float | bool) -> None:
        """Compare what the project computes with the number of this key, if the file has it."""
        if key not in self.arrays:
            return
        wanted = self.arrays[key].double()
        got = torch.as_tensor(value).detach().double().cpu()
        assert got.shape == wanted.shape, f"{key}: {tuple(got.shape)}, not {tuple(wanted.shape)}"
        apart = (got - wanted).abs().amax() if wanted.numel() else torch.zeros(())
        size = wanted.abs().amax() if wanted.numel() else torch.ones(())
        error = float(apart / size) if size > 0 else float(apart)
        self.errors[key] = float("inf") if error != error else error

    def loss(self, prefix: str, total: Tensor, by: dict[str, Tensor], **terms: Tensor) -> None:
        """Compare `prefix`total, its gradients `prefix`KEY by the inputs `by`, and its terms."""
        for name, term in terms.items():
            self.met(prefix + name, term)
        self.met(prefix + "total", total)
        inputs = {key: tensor for key, tensor in by.items() if prefix + key in self.arrays}
        wanted, options = list(inputs.values()), {"retain_graph": True, "allow_unused": True}
        gradients = torch.autograd.grad(total, wanted, **options) if wanted else ()
        for (key, tensor), gradient in zip(inputs.items(), gradients, strict=True):
            self.met(prefix + key, torch.zeros_like(tensor) if gradient is None else gradient)

    def settings(self, case: str) -> list[str]:
        """What stands between the case and a term in the keys `case__setting__term`."""
        split = (key.split("__") for key in self.arrays)
        return list(dict.fromkeys("__".join(p[1:-1]) for p in split if p[0] == case and p[2:]))

    @property
    def cases(self) -> list[str]:
        """What stands before `__student_logits` or `__logits` in a key."""
        ends = ("__student_logits", "__logits", "__student_logits_weak")
        found = [key.removesuffix(end) for key in self.arrays for end in ends if key.endswith(end)]
        return list(dict.fromkeys(found))

    def left(self, exceptions: Iterable["Exempt"]) -> list[str]:
        """The keys that are neither an input, nor met, nor an exception."""
        exempt = [e for e in exceptions if fnmatchcase(self.name, e.file)]
        patterns = [pattern for e in exempt for pattern in e.keys]
        rest = [key for key in self.arrays if key not in self.read and key not in self.errors]
        return [key for key in rest if not any(fnmatchcase(key, p) for p in patterns)]


@dataclass(frozen=True)
class Exempt:
    """Numbers that no method here gives, with the reason; an entry of exceptions.yaml."""

    file: str
    keys: tuple[str, ...]
    reason: str
    defect: str
    instead: str


def exceptions() -> list[Exempt]:
    """All that is written down."""
    entries = yaml.safe_load((HERE / "exceptions.yaml").read_text(encoding="utf-8"))
    return [Exempt(**{**entry, "keys": tuple(entry["keys"])}) for entry in entries]


def files(folder: Path) -> Iterator[Path]:
    """The files of golden numbers in a folder."""
    return iter(sorted(folder.glob("*.npz")))
