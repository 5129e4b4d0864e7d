"""A real PostgreSQL for tests: on the loopback, in a folder of its own, thrown away after."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from debian import install

PASSWORD = "secret"


@contextmanager
def postgres(port: int) -> Iterator[str]:
    """The address of an empty database; skips, with a sentence, where there can be none."""
    programs = _programs()
    # PostgreSQL refuses to run as root, and its user cannot enter pytest's folders.
    account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    who: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    password = folder / "password"
    password.write_text(PASSWORD)
    if account:
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        for path in (folder, password):
            os.chown(path, account.pw_uid, account.pw_gid)

    def call(program: str, *words: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, cwd=folder, **quiet, **who)

    try:
        call("initdb", "-U", "kd", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        call("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
        yield f"postgresql://kd:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            call("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(folder)


def _programs() -> Path:
    """The folder of initdb; installed first where this is root's machine."""
    for attempt in range(2):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if found or (on_path := shutil.which("initdb")):
            return found[-1].parent if found else Path(str(on_path)).resolve().parent
        if not attempt:
            install("postgresql")
    pytest.skip("There is no PostgreSQL here; install one (apt-get install postgresql).")
