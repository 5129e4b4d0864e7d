"""What a person may ask of Slurm for a sweep."""

import re
from dataclasses import dataclass, fields
from typing import Annotated

from kd.cli import repeated, shown
from kd.errors import UserError, brief
from tuning.records.options import Several

_TIME = re.compile(r"\d+(-\d+(:\d+){0,2}|(:\d+){0,2})")
_PARTS = re.compile(r"--(gres|gpus|cpus|mem|ntasks|exclusive|cores|tres)|-[Gcn]")
"""How an option of sbatch begins that says what is to be had of a machine."""
_FLAGS = {
    "--nodes": "--nodes",
    "-N": "--nodes",
    "--gpus-per-node": "--gpus-per-node",
    "--cpus-per-task": "--cpus-per-node",
    "-c": "--cpus-per-node",
    "--time": "--time",
    "-t": "--time",
    "--partition": "--partition",
    "-p": "--partition",
    "--account": "--account",
    "-A": "--account",
}
"""The flag here that says what an option of sbatch does."""
_FOLLOWED_BY = ("--job-name", "-J", "--output", "-o", "--chdir", "-D", "--open-mode")
"""The options of sbatch by which a sweep is found and followed."""
CORES_PER_GPU = 4
"""Cores that are asked for with each GPU where nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The machines of Slurm that a sweep is to have, and for how long at a time."""

    slurm: bool = False
    """Submit the sweep to Slurm, and follow it; type it where sbatch is. docs/cluster.md."""
    slurm_print: bool = False
    """Print the batch file that --slurm would submit, and end."""
    nodes: Annotated[int | None, shown("N")] = None
    """With --slurm: machines; one by default."""
    gpus_per_node: Annotated[int | None, shown("N")] = None
    """With --slurm: GPUs of each machine; none by default."""
    cpus_per_node: Annotated[int | None, shown("N")] = None
    """With --slurm: cores of each machine; by default 4 for each GPU, without GPUs all it has."""
    time: Annotated[str | None, shown("HH:MM:SS")] = None
    """With --slurm: how long an allocation may last; the sweep goes on in the next one."""
    partition: Annotated[str | None, shown("NAME")] = None
    """With --slurm: the partition; the default is Slurm's."""
    account: Annotated[str | None, shown("NAME")] = None
    """With --slurm: the account that is charged."""
    sbatch: Annotated[Several, repeated("OPTION")] = ()
    """With --slurm: any other option of sbatch, with = and its dashes: --sbatch=--gres=gpu:4."""

    @property
    def asked(self) -> bool:
        """Whether Slurm is asked for anything."""
        return self.slurm or self.slurm_print

    def check(self) -> None:
        """Raise UserError for what makes no sense, or does nothing without --slurm."""
        for entry in fields(self):
            value, flag = getattr(self, entry.name), f"--{entry.name.replace('_', '-')}"
            if value and not self.asked:
                raise UserError(f"{flag} is for a sweep on Slurm; give --slurm too.")
            if isinstance(value, int) and not isinstance(value, bool):
                least = 0 if entry.name == "gpus_per_node" else 1
                if value < least:
                    raise UserError(f"{flag} is {value}; it must be at least {least}.")
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise UserError(
                f"--time is {brief(self.time)}; type it as HH:MM:SS, or D-HH:MM:SS with days."
            )
        for word in self.sbatch:
            if not word.startswith("-"):
                raise UserError(
                    f"--sbatch is {brief(repr(word))}; give it as sbatch has it, with its dashes: "
                    "--sbatch=--gres=gpu:4."
                )
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            if name in _FLAGS:
                raise UserError(
                    f"--sbatch is {brief(repr(word))}; type {_FLAGS[name]} for that instead."
                )
            if name in _FOLLOWED_BY:
                raise UserError(
                    f"--sbatch is {brief(repr(word))}; {name} is left as it is, as a sweep is "
                    "followed by it. To have another, submit what --slurm-print prints yourself."
                )
        for word in (self.partition or "", self.account or "", *self.sbatch):
            if len(word.split()) > 1:
                raise UserError(f"{brief(word)} has a space in it; give one option to a --sbatch.")

    def lines(self) -> list[str]:
        """The options of sbatch, one a line of a batch file."""
        gpus, cores = self.gpus_per_node, self.cpus_per_node
        if cores is None and gpus:
            cores = CORES_PER_GPU * gpus
        # Who asks in his own words for parts of machines need not have all of them.
        parts = [word for word in self.sbatch if _PARTS.match(word)]
        options = {
            "nodes": self.nodes or 1,
            "gpus-per-node": gpus or None,
            "cpus-per-task": cores,
            "time": self.time,
            "partition": self.partition,
            "account": self.account,
        }
        words = [f"--{name}={value}" for name, value in options.items() if value is not None]
        words += ["--exclusive"] if cores is None and not parts else []
        words += self.sbatch
        return [f"#SBATCH {word}" for word in words]


HERE_ONLY = tuple(entry.name for entry in fields(Allocation))
"""Its flags, which say where a sweep runs, and nothing of it."""
