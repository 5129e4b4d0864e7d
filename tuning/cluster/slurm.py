"""A sweep in an allocation of Slurm: its batch file, submitted, followed, attached to, stopped.

The storage lies on a file system that all machines share, so the result need not be brought home.
"""

import fcntl
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources
from pathlib import Path

from kd.errors import UserError, brief, unknown
from kd.files import unwritable, whole
from tuning.cluster.parcel import to_words
from tuning.records import request
from tuning.records.naming import SLURM
from tuning.records.request import Flags

INTERRUPTED = 130
_EVERY = 2.0
"""Seconds between two looks at a job."""
FORGOTTEN, SILENT = "forgotten", "silent"
"""What is said of a job beside Slurm's own words."""
_OVER = (
    FORGOTTEN,
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
)


def run_on_slurm(flags: Flags, check: Callable[[Flags], None]) -> int:
    """Do with Slurm what `flags` ask for; returns the job's exit code, 130 after Ctrl-C.

    Raises:
        UserError: flags that are wrong, which `check` says, or Slurm's own refusal.
    """
    folder = whole(flags.options.storage) / SLURM
    at_one = flags.attach is not None or flags.stop is not None
    if flags.allocation.slurm_print and at_one:
        raise UserError(
            "--slurm-print prints what would be submitted; leave --attach or --stop away."
        )
    if flags.attach is not None:
        return _follow(_found(folder, flags.attach))
    if flags.stop is not None:
        return _stop(_found(folder, flags.stop))
    if flags.dry_run:
        raise UserError(
            "--dry-run measures where it is typed, and submits nothing; leave --slurm away, or see "
            "the batch file with --slurm-print."
        )
    check(flags)
    if not flags.resume and flags.name is None:
        method = "-".join(flags.method) or "sweep"
        flags = replace(flags, name=f"{method}-{datetime.now():%Y%m%d-%H%M%S}")
    gpus = flags.allocation.gpus_per_node or 0
    names = [settings.name for settings in request.sweeps(flags, gpus=gpus)]
    job = Job(folder, flags.name or names[0])
    text = batch_file(flags, list(names), job.said)
    if flags.allocation.slurm_print:
        print(text, end="")
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            job.check_over()
            job.batch.write_text(text, encoding="utf-8")
            job.submit()
    except OSError as error:
        raise UserError(unwritable(folder, error, "give another --storage")) from None
    print(f"Submitted to Slurm as job {job.number}, {job.name}.", flush=True)
    return _follow(job)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within, no other process submits from `folder`: one of two alike would be lost sight of."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def batch_file(flags: Flags, names: list[str], said: Path) -> str:
    """clusters/slurm.sbatch, filled in: sweeps called `names`, printing into the file `said`."""
    text = _shipped("slurm.sbatch").read_text(encoding="utf-8")
    for path in (Path.cwd(), said):
        if not str(path).isprintable():
            raise UserError(
                f"{brief(repr(str(path)))} has a character that a batch file cannot hold; rename "
                "the folder, or give another --storage."
            )
    options = [
        *flags.allocation.lines(),
        f"#SBATCH --chdir={shlex.quote(str(Path.cwd()))}",
        # Slurm has numbers of its own for what follows a %.
        f"#SBATCH --output={shlex.quote(str(said).replace('%', '%%'))}",
    ]
    text = re.sub(r"^#SBATCH --output=.*$", lambda _: "\n".join(options), text, flags=re.M)
    values = {
        "python": shlex.quote(sys.executable),
        "storage": shlex.quote(str(whole(flags.options.storage))),
        "names": f"({shlex.join(names)})",
        "search": f"({shlex.join(to_words(flags))})",
        "mps": shlex.quote(str(_shipped("mps.sh"))),
    }
    return re.sub(
        rf"^({'|'.join(values)})=.*$", lambda of: f"{of[1]}={values[of[1]]}", text, flags=re.M
    )


def _shipped(name: str) -> Path:
    return Path(str(resources.files("tuning.cluster") / name))


@dataclass(frozen=True)
class Job:
    """The job of the sweep `name`, in the storage's folder of them."""

    folder: Path
    name: str

    @property
    def batch(self) -> Path:
        """What was submitted."""
        return self.folder / f"{self.name}.sbatch"

    @property
    def said(self) -> Path:
        """What it prints, in all its allocations."""
        return self.folder / f"{self.name}.out"

    @property
    def _kept(self) -> Path:
        return self.folder / f"{self.name}.job"

    @property
    def number(self) -> str:
        """Slurm's number of it."""
        return self._kept.read_text(encoding="utf-8").strip()

    def submit(self) -> None:
        """Queue it, and keep its number; UserError with Slurm's reason."""
        self.said.unlink(missing_ok=True)
        done = _typed("sbatch", "--parsable", str(self.batch))
        if done.returncode:
            self.batch.unlink()
            raise _refused(done.stderr)
        self._kept.write_text(done.stdout.strip().partition(";")[0], encoding="utf-8")

    def state(self) -> tuple[str, str]:
        """Its state in Slurm's words, and why it waits.

        `FORGOTTEN`, some minutes after its end, and `SILENT` while Slurm does not answer.
        """
        told = _typed(
            "squeue", "--noheader", "--states=all", "--format=%T|%r", f"--jobs={self.number}"
        )
        if told.returncode and "Invalid job id" not in told.stderr:
            return SILENT, ""
        state, _, reason = told.stdout.strip().partition("|")
        return state or FORGOTTEN, "" if reason == "None" else reason

    @property
    def over(self) -> bool:
        """Whether it has ended, as far as Slurm says."""
        return self.state()[0] in _OVER

    def check_over(self) -> None:
        """Raise UserError where a job of this name is still to end: it would be lost sight of."""
        if self._kept.exists() and not self.over:
            raise UserError(
                f"{self.name} is on Slurm already, as job {self.number}; come back to it with "
                f"--slurm --attach {self.name}, or give another --name."
            )

    def code(self) -> int:
        """The exit code of its last run; of one that Slurm has forgotten, 1 without a result."""
        told = _typed("scontrol", "show", "job", "--oneliner", self.number).stdout
        if found := re.search(r"ExitCode=(\d+):(\d+)", told):
            return int(found[1]) or (128 + int(found[2]) if int(found[2]) else 0)
        return int(not (self.folder.parent / self.name / "best_config.yaml").exists())


def _found(folder: Path, wanted: tuple[str, ...]) -> Job:
    """The job of the sweep `wanted`, or the newest."""
    kept = sorted(folder.glob("*.job"), key=lambda path: path.stat().st_mtime)
    names = [path.name.removesuffix(".job") for path in kept]
    if not names:
        raise UserError(f"No sweep of {folder.parent} was submitted to Slurm; give its --storage.")
    name = wanted[0] if wanted else names[-1]
    if name not in names:
        raise unknown("sweep on Slurm", name, names)
    return Job(folder, name)


def _follow(job: Job) -> int:
    """Print what the job prints until it is over; returns its exit code."""
    try:
        for text in _printed(job):
            print(text, end="", flush=True)
    except KeyboardInterrupt:
        print(
            f"\nThe sweep goes on without you. Come back: --slurm --attach {job.name}; "
            f"end it: --slurm --stop {job.name}.",
            flush=True,
        )
        return INTERRUPTED
    return job.code()


def _printed(job: Job) -> Iterator[str]:
    """What the job prints, as it comes, and what it waits for in the queue."""
    shown, waits = 0, ""
    while True:
        state, reason = job.state()
        if job.said.exists():
            with job.said.open("rb") as said:
                said.seek(shown)
                fresh = said.read()
            shown += len(fresh)
            yield fresh.decode(errors="replace")
        if state in _OVER:
            return
        wait = ""
        if state == "PENDING":
            why = f" ({reason})" if reason else ""
            wait = f"Waiting in Slurm's queue{why}.\n"
        elif state == SILENT:
            wait = "Slurm does not answer; asking again.\n"
        if wait != waits and wait:
            yield wait
        waits = wait
        time.sleep(_EVERY)


def _stop(job: Job) -> int:
    """End the job, whose sweep closes what it has; returns its exit code."""
    state, _ = job.state()
    if state in _OVER:
        raise UserError(f"{job.name} is over; go on with: --slurm --resume {job.name}")
    if state == SILENT:
        raise UserError("Slurm does not answer; type the same again later.")
    if state == "RUNNING":
        _typed("scancel", "--batch", "--signal=TERM", job.number)
        return _follow(job)
    _typed("scancel", job.number)
    print(f"Taken out of Slurm's queue; go on with: --slurm --resume {job.name}")
    return INTERRUPTED


def _typed(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UserError(
            f"There is no {words[0]} on this machine; type this where Slurm's commands are, or "
            "look at the batch file with --slurm-print."
        ) from None


def _refused(said: str) -> UserError:
    """Slurm's last words, and what could be given instead."""
    reason = (said.strip().splitlines() or ["no reason given"])[-1]
    reason = re.sub(r"^sbatch: (error|fatal): |Batch job submission failed: ", "", reason)
    instead = "give other --nodes, --gpus-per-node, --time, --partition or --account"
    if any(word in reason.lower() for word in ("configuration source", "controller", "contact")):
        return UserError(f"Slurm does not answer here ({reason}); type this where it does.")
    if "partition" in reason.lower():
        told = _typed("sinfo", "--noheader", "--format=%P").stdout.split()
        instead = f"give --partition one of: {', '.join(name.strip('*') for name in told)}"
    return UserError(f"Slurm does not take the sweep ({reason}); {instead}.")
