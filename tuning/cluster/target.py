"""Which cluster a command is for, and whether the Ray on its head answers."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from kd.errors import UserError
from tuning.cluster.tunnel import ANSWER_WITHIN, TOKEN_FILE, tunnel
from tuning.storage.addresses import masked

FILE = Path("ray_cluster.yaml")
"""The cluster file that is looked at when none is named."""


@dataclass(frozen=True)
class Head:
    """The job API of a cluster, as it is reached from here."""

    url: str
    headers: dict[str, str]
    where: str
    """What to call it in a sentence."""
    file: Path | None
    """The cluster's file, by which its machines can be reached too."""

    def check(self) -> None:
        """Raise UserError unless Ray answers there and accepts the token."""
        import requests

        # With a crashed GCS the dashboard still listens, and any other question hangs.
        for question in ("gcs_healthz", "version"):
            url = f"{self.url}/api/{question}"
            try:
                answer = requests.get(url, headers=self.headers, timeout=ANSWER_WITHIN / 2)
            except requests.RequestException:
                raise self.dead() from None
            if answer.status_code in (401, 403):
                raise UserError(
                    f"{self.where} refuses the token; put the one of its head's {TOKEN_FILE} "
                    "into RAY_AUTH_TOKEN."
                )
            if not answer.ok:
                raise self.dead()

    def dead(self) -> UserError:
        """The sentence for a head whose Ray does not answer."""
        if self.file is None:
            return UserError(
                f"{self.where} does not answer; see that the address is right and its Ray runs (a "
                "`kubectl port-forward` too, if it leads through one), and come back to a sweep "
                "there with --attach."
            )
        again = f"ray up {self.file}"
        return UserError(
            f"{self.where} does not answer; if it died, type `{again}` and go on with "
            "--resume NAME, else come back with --attach."
        )


@dataclass(frozen=True)
class Cluster:
    """A cluster to send a sweep to: the one of `file`, or the job API at `address`.

    `asked` says whether the user named it: if not, the sweep runs here when it is not up.
    """

    file: Path | None = None
    address: str | None = None
    asked: bool = True

    @contextmanager
    def connect(self) -> Iterator[Head]:
        """A tunnel to the head, for as long as the `with` lasts.

        Raises:
            NotUpError: no head is running.
            UserError: the head, or its Ray, does not answer, or refuses the token.
        """
        if self.address is not None:
            where = masked(self.address)
            head = Head(self.address.rstrip("/"), _bearer(_own_token()), where, None)
            head.check()
            yield head
            return
        assert self.file is not None
        with tunnel(self.file) as (port, token):
            where = f"Ray on the head of {self.file}"
            head = Head(f"http://127.0.0.1:{port}", _bearer(token), where, self.file)
            head.check()
            yield head


def find(*, local: bool, address: str | None, file: Path | None) -> Cluster | None:
    """The cluster to send a sweep to; None to run it here, or in the Ray of RAY_ADDRESS.

    In this order: `local`, `address`, `file`, RAY_ADDRESS, and ./ray_cluster.yaml if it was
    ever started from this machine. Costs nothing where no cluster was.
    """
    if local:
        os.environ.pop("RAY_ADDRESS", None)
        return None
    if file is not None and address is None:
        if not file.is_file():
            raise UserError(f"There is no cluster file {file}; give one, such as {FILE}.")
        if "cluster_name" not in _read(file):
            raise UserError(f"{file} is not a cluster file; give one, such as {FILE}.")
        return Cluster(file=file)
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        if address.startswith(("http://", "https://")):
            return Cluster(address=address)
        _check_listening(address)
        os.environ["RAY_ADDRESS"] = address
        return None
    if FILE.is_file() and started_from_here(FILE):
        return Cluster(file=FILE, asked=False)
    return None


def started_from_here(file: Path) -> bool:
    """Whether `ray up` was given this cluster on this machine since it was last booted.

    Ray keeps what it resolved of a cluster file in the folder for temporary files.
    """
    name = _read(file).get("cluster_name")
    for path in Path(tempfile.gettempdir()).glob("ray-config-*"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(path.read_text())["config"]["cluster_name"] == name:
                return True
    return False


def _read(file: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{file} is not a cluster file; mend it, or give --local.")
    return content


def _own_token() -> str:
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", TOKEN_FILE)).expanduser()
    written = path.read_text().strip() if path.is_file() else ""
    return os.environ.get("RAY_AUTH_TOKEN", written)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _check_listening(address: str) -> None:
    """Ray itself would try for a minute, or for ever where something else listens."""
    if address.startswith("ray://"):
        raise UserError(
            f"{masked(address)} is for Ray's client, which no sweep can use; give HOST:PORT, the "
            "port that `ray start` names, or http://HOST:8265."
        )
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()) or "://" in address:
        raise UserError(
            f"--address is {masked(address)}; give HOST:PORT, the port that `ray start` names, or "
            "http://HOST:8265."
        )
    ask = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        socket.create_connection((host, int(port)), ANSWER_WITHIN / 2).close()
        subprocess.run(ask, capture_output=True, timeout=ANSWER_WITHIN, check=True)
    except (OSError, OverflowError, subprocess.SubprocessError):
        raise UserError(
            f"No Ray answers at {masked(address)}, or it refuses the token of RAY_AUTH_TOKEN; give "
            "another --address or RAY_ADDRESS, or --local."
        ) from None
