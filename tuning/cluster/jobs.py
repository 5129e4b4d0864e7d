"""A sweep on a cluster, driven from this machine: sent, followed, attached to, stopped, fetched.

The sweep runs on the head as a Ray job, which goes on whatever happens here. Its folder lies in
the cluster's storage; when it ends, what a person asks for is copied into the storage here.
"""

import asyncio
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kd.config import is_file
from kd.data.names import DatasetName
from kd.errors import UserError, unknown
from tuning.cluster.parcel import backbones_of, pack, quoted, to_words
from tuning.cluster.target import Head, find
from tuning.cluster.tunnel import MLFLOW, NotUpError
from tuning.records.request import Flags
from tuning.records.settings import SHOWN_STORAGE

STORAGE = "~/kd-storage"
"""The folder that all machines of a cluster share; the cluster files say how."""
INTERRUPTED = 130
_BAD_INPUT = 2
_STOPPING = 60
"""Seconds that a stopped sweep has to write its report."""


def run_on_cluster(flags: Flags, check: Callable[[Flags], None]) -> int | None:
    """Do on a cluster what `flags` ask for; None if they are for this machine.

    `check` raises UserError for flags that are wrong, before any machine is asked. Returns the
    job's exit code, and 130 when a person lets go of it with Ctrl-C.
    """
    cluster = find(local=flags.local, address=flags.address, file=flags.cluster)
    coming_back = flags.attach is not None or flags.stop is not None
    if cluster is None and coming_back:
        raise UserError("Which cluster? Give its file: --cluster ray_cluster.yaml.")
    if cluster is None:
        return None
    if not coming_back:
        check(flags)
    try:
        with cluster.connect() as head:
            return _Remote(head, flags.options.storage).do(flags)
    except NotUpError:
        if cluster.asked or coming_back:
            raise
        return None


@dataclass(frozen=True)
class _Job:
    """A Ray job, and the names of its sweeps, or what their names begin with."""

    id: str
    sweeps: tuple[str, ...]


class _Remote:
    """The jobs on one cluster."""

    def __init__(self, head: Head, storage: Path) -> None:
        from ray.job_submission import JobSubmissionClient

        for chatty in (
            "dashboard.modules.job.sdk",
            "dashboard.modules.dashboard_sdk",
            "_private.runtime_env.packaging",
        ):
            logging.getLogger(f"ray.{chatty}").setLevel(logging.ERROR)
        self._head = head
        self._storage = storage
        self._jobs: Any = JobSubmissionClient(head.url, headers=head.headers)

    def do(self, flags: Flags) -> int:
        if flags.attach is not None:
            job = self._job(flags.attach)
        elif flags.stop is not None:
            job = self._job(flags.stop)
            self._jobs.stop_job(job.id)
        else:
            job = self._send(flags)
        return self._follow(job, bring=not flags.dry_run)

    # -- sending ------------------------------------------------------------------------------

    def _send(self, flags: Flags) -> _Job:
        backbones = backbones_of(flags)
        method = "-".join(flags.method) or "sweep"
        name = flags.name or f"{method}-{datetime.now():%Y%m%d-%H%M%S}"
        sweeps = list(flags.resume or (name,))
        if not flags.resume:
            flags = replace(flags, name=name)
        words = ["python", "-m", "tuning.search", *to_words(self._with_inputs(flags, name))]
        command = " ".join([*map(quoted, words), "--storage", STORAGE])
        if flags.options.tracking_uri is None:
            command += ' ${MLFLOW_TRACKING_URI:+--tracking-uri "$MLFLOW_TRACKING_URI"}'
        with tempfile.TemporaryDirectory() as parcel:
            pack(Path(parcel), backbones)
            job: str = self._jobs.submit_job(
                entrypoint=command,
                runtime_env={
                    "working_dir": parcel,
                    "env_vars": {
                        "RAY_JOB_STOP_WAIT_TIME_S": str(_STOPPING),
                        SHOWN_STORAGE: str(self._storage),
                    },
                },
                metadata={"sweeps": " ".join(sweeps)},
            )
        print(f"Sent to {self._head.where} as {sweeps[0]}.", flush=True)
        return _Job(job, tuple(sweeps))

    def _with_inputs(self, flags: Flags, name: str) -> Flags:
        """The flags with the files and folders they name copied into the cluster's storage."""
        there = f"{STORAGE}/inputs/{name}"

        def sent(path: Path, within: str = "") -> str:
            if not path.exists():
                raise UserError(f"{path} does not exist; give a file of this machine.")
            if self._head.file is None:
                raise UserError(
                    f"{path} cannot be sent to {self._head.where}; give --cluster FILE."
                )
            copy = f"{there}/{within}{path.resolve().name}"
            slash = "/" if path.is_dir() else ""
            self._rsync("rsync-up", f"{path.absolute()}{slash}", f"{copy}{slash}")
            return copy

        space, grid = (file and Path(sent(file)) for file in (flags.space, flags.grid))
        teacher = tuple(sent(Path(one)) if is_file(one) else one for one in flags.teacher)
        datasets = [DatasetName.parse(text) for text in flags.dataset]
        there_too = tuple(
            str(name if name.folder is None else replace(name, folder=Path(sent(name.folder))))
            for name in datasets
        )
        # A folder of its own: a val set may be called as the data set is.
        val = flags.val and Path(sent(flags.val, "val/"))
        changes: dict[str, Any] = {"space": space, "grid": grid, "teacher": teacher, "val": val}
        return replace(flags, dataset=there_too, **changes)

    # -- following ----------------------------------------------------------------------------

    def _job(self, wanted: tuple[str, ...]) -> _Job:
        """The newest job of the sweep `wanted`; of any sweep, a running one first, if empty."""
        jobs = [job for job in self._jobs.list_jobs() if "sweeps" in (job.metadata or {})]
        jobs.sort(key=lambda job: (not job.status.is_terminal(), job.start_time or 0))
        if not jobs:
            raise UserError(
                f"No sweep was sent to {self._head.where} since it started; --resume NAME goes on "
                "with an interrupted one."
            )
        sent = [_Job(job.submission_id, tuple(job.metadata["sweeps"].split())) for job in jobs]
        names = {name: job for job in sent for name in job.sweeps}
        if not wanted:
            return sent[-1]
        if wanted[0] not in names:
            raise unknown("sweep on the cluster", wanted[0], names)
        return names[wanted[0]]

    def _follow(self, job: _Job, *, bring: bool) -> int:
        """Print what the job prints until it ends, then bring its result home."""
        name = job.sweeps[0]
        try:
            status = self._stream(job.id)
        except KeyboardInterrupt:
            print(
                f"\nThe sweep goes on without you. Come back: --attach {name}; "
                f"end it: --stop {name}.",
                flush=True,
            )
            return INTERRUPTED
        code = 0 if status == "SUCCEEDED" else self._jobs.get_job_info(job.id).driver_exit_code or 1
        if status == "STOPPED":
            code = INTERRUPTED
        if bring and code != _BAD_INPUT:
            self._fetch(job)
        return int(code)

    def _stream(self, job: str) -> str:
        """Print the job's output until it ends; returns its last status."""
        shown = 0

        async def tail() -> None:
            nonlocal shown
            passed = 0
            async for text in self._jobs.tail_job_logs(job):
                # A stream that broke starts again from the beginning.
                fresh = text[max(shown - passed, 0) :]
                passed += len(text)
                shown = max(shown, passed)
                print(fresh, end="", flush=True)

        while True:
            with suppress(OSError, RuntimeError):
                asyncio.run(tail())
            self._head.check()
            status = self._jobs.get_job_status(job)
            if status.is_terminal():
                return str(status.value)
            time.sleep(1.0)

    # -- the result ---------------------------------------------------------------------------

    def _fetch(self, job: _Job) -> None:
        """Copy the folders of the job's sweeps into the storage here, without checkpoints."""
        if self._head.file is None:
            print(f"The result is on the cluster, in {STORAGE}/{job.sweeps[0]}.")
            return
        self._storage.mkdir(parents=True, exist_ok=True)
        before = {path.name for path in self._storage.iterdir()}
        for name in job.sweeps:
            self._rsync("rsync-down", f"{STORAGE}/{name}*", f"{self._storage.absolute()}/")
        for path in sorted(self._storage.iterdir()):
            if path.name not in before or path.name in job.sweeps:
                print(f"The result is in {path}/")
        print(
            f"MLflow stays on the cluster: ray dashboard {self._head.file} --port {MLFLOW} "
            f"--remote-port {MLFLOW}"
        )

    def _rsync(self, direction: str, source: str, target: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", direction, self._head.file or "", source,
             target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        if done.returncode:
            reason = done.stdout.strip().splitlines()[-1:] or ["no reason given"]
            raise UserError(f"{source} could not be copied: {reason[0]}; try --attach again.")
