"""A Slurm of its own on this machine: one slurmctld, and a slurmd for each of its machines."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from lab import ROOT
from lan import wait_for

DAEMONS = ("munged", "slurmctld", "slurmd")
CONF = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={control}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=5
SchedulerParameters=sched_interval=2
"""


def missing() -> str:
    """Why there can be no Slurm here; "" if there can."""
    if os.environ.get("KD_TEST_CLUSTER") != "1":
        return "a real Slurm is started by `make test-cluster`"
    if os.geteuid() != 0:
        return "the daemons of Slurm start jobs as their users, which root alone can do"
    if lacking := [name for name in DAEMONS if shutil.which(name) is None]:
        return f"a Slurm needs {', '.join(lacking)}: apt-get install slurm-wlm munge"
    return ""


class SlurmLab:
    """Machines n1, n2, … of one core each, in the partition `main`; `folder` is new, and short."""

    def __init__(self, folder: Path, machines: int = 2) -> None:
        self.folder, self.storage = folder, folder / "storage"
        names = [f"n{number + 1}" for number in range(machines)]
        for name in ("run", "state", "storage", *names):
            (folder / name).mkdir()
        # munged refuses a folder that others may write to.
        folder.chmod(0o755)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        control, *ports = _free_ports(1 + machines)
        lines = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1"
            for name, port in zip(names, ports, strict=True)
        ]
        lines.append(f"PartitionName=main Nodes={','.join(names)} Default=YES MaxTime=INFINITE")
        conf = folder / "slurm.conf"
        conf.write_text(
            CONF.format(host=host, control=control, folder=folder) + "\n".join(lines) + "\n"
        )
        self.env = {
            **os.environ,
            "SLURM_CONF": str(conf),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self._daemons = [
            self._daemon(
                *("munged", "--foreground", "--force", f"--key-file={key}"),
                *(f"--socket={folder}/run/munge.socket", f"--pid-file={folder}/run/munged.pid"),
                *(f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"),
            )
        ]
        wait_for((folder / "run" / "munge.socket").exists, "munged", 20)
        self._control = "slurmctld", "-D", "-f", str(conf)
        self._daemons.append(self._daemon(*self._control))
        self._daemons += [self._daemon("slurmd", "-D", "-N", n, "-f", str(conf)) for n in names]
        wait_for(lambda: self.says("sinfo -h -o %D -t idle") == str(machines), "machines", 60)

    def _daemon(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{words[0]}.out").open("ab") as said:
            return subprocess.Popen(words, stdout=said, stderr=said, env=self.env)

    def restart_control(self, after: float) -> None:
        """End slurmctld, and start it again after so many seconds without it."""
        self._daemons[1].terminate()
        self._daemons[1].wait(30)
        time.sleep(after)
        self._daemons[1] = self._daemon(*self._control)
        wait_for(lambda: self.says("squeue -h -o %T") == "RUNNING", "slurmctld", 60)

    def says(self, command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command.split(), env=self.env, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    def about(self, job: str) -> str:
        """What Slurm knows of a job, and what its controller said last."""
        log = (self.folder / "slurmctld.log").read_text(errors="replace").splitlines()
        return "\n".join([self.says(f"scontrol show job {job}"), *log[-30:]])

    def begin(self, words: str) -> subprocess.Popen[str]:
        """`python -m tuning.search` with `words`, typed on the submitting side."""
        command = [sys.executable, "-m", "tuning.search", *words.split()]
        command += ["--slurm", "--storage", str(self.storage)]
        return subprocess.Popen(
            command,
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, words: str, code: int = 0, timeout: float = 300) -> str:
        """What it prints in all."""
        search = self.begin(words)
        said, _ = search.communicate(timeout=timeout)
        assert search.returncode == code, said
        return said

    def close(self) -> None:
        """End all jobs and daemons."""
        self.says("scancel --user=root")
        wait_for(lambda: not self.says("squeue --noheader"), "the jobs' end", 60)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            daemon.wait(30)


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
