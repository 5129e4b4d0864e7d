"""What a person may ask of Slurm for a sweep."""

import re
from dataclasses import dataclass, fields
from typing import Annotated

from kd.cli import repeated, shown
from kd.errors import UserError, brief
from tuning.records.options import Several

_TIME = re.compile(r"(?:(\d{1,6})-)?(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?", re.ASCII)
_LEAD = re.compile(r"--signal=.*@(\d{1,6})", re.ASCII)
_NAMES = re.compile(r"[\w.,+-]+")
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
_OURS = (
    *("--job-name", "-J", "--output", "-o", "--chdir", "-D", "--open-mode", "--parsable"),
    *("--array", "-a", "--ntasks-per-node", "--wrap"),
)
"""The options of sbatch by which a sweep is found and followed, and is one, once on a machine."""
LEAD = 120
"""Seconds before its end at which an allocation is told of it, as clusters/slurm.sbatch has it."""
LEAST = 60
"""Seconds of an allocation that are left to a sweep at least: to start Ray takes some."""
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
        if self.time is not None:
            self._check_time(self.time)
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
            if name in _OURS:
                raise UserError(
                    f"--sbatch is {brief(repr(word))}; {name} is as a sweep needs it. To have "
                    "another, submit what --slurm-print prints yourself."
                )
            if name == "--signal" and not word.startswith("--signal=B:USR1"):
                raise UserError(
                    f"--sbatch is {brief(repr(word))}; the batch file hears B:USR1 alone: type "
                    "--sbatch=--signal=B:USR1@300."
                )
            if len(word.split()) > 1:
                raise UserError(f"{brief(word)} has a space in it; give one option to a --sbatch.")
        for flag, said in (("--partition", self.partition), ("--account", self.account)):
            if said is not None and not _NAMES.fullmatch(said):
                raise UserError(f"{flag} is {brief(repr(said))}, which is no name of Slurm's.")

    def _check_time(self, time: str) -> None:
        if (found := _TIME.fullmatch(time)) is None:
            raise UserError(
                f"--time is {brief(time)}; type it as HH:MM:SS, or D-HH:MM:SS with days."
            )
        days, first, second, third = (int(part or 0) for part in found.groups())
        # As Slurm reads it: with days hours come first; a number alone is minutes, two M:S.
        hours = found[1] or found[4]
        seconds = first * 3600 + second * 60 + third if hours else first * 60 + second
        seconds += days * 86400
        lead = max((int(n[1]) for n in map(_LEAD.fullmatch, self.sbatch) if n), default=LEAD)
        if 0 < seconds < lead + LEAST:
            raise UserError(
                f"--time is {brief(time)}, which Slurm reads as {seconds} seconds; a sweep is "
                f"ended {lead} seconds before, so give {lead + LEAST} at least."
            )

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
