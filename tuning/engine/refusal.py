"""Why a Ray does not start, or cannot be joined: what is wrong, and what to do about that."""

import re
from pathlib import Path

from kd.errors import UserError
from kd.text import visible
from tuning.storage.addresses import masked, scrubbed

_BUSY = r"[Tt]imed out|[Dd]eadline [Ee]xceeded|took too long"

_START = [
    (
        r"No space left|Errno 28\b|Disk quota exceeded|Errno 122\b",
        "there is no room left for its files",
        "make room in {folder} and /dev/shm, or set TMPDIR to a folder with room",
    ),
    (
        r"Permission denied|Errno 13\b|Read-only file system|Errno 30\b|not permitted",
        "it may not write where it must",
        "set TMPDIR to a folder of yours, and see that /dev/shm may be written",
    ),
    (
        r"Address already in use|Errno 98\b|[Pp]ort .* in use|port is already",
        "a port that it was given is in use",
        "end what listens there, or unset the variables RAY_… that name a port",
    ),
    (
        r"AF_UNIX path",
        "the path of the folder for temporary files is too long for its sockets",
        "set TMPDIR to a short one, such as /tmp",
    ),
    (
        r"Resource temporarily unavailable|Errno 11\b|Cannot allocate memory|start new thread",
        "this user may not have so many processes, or so much memory",
        "raise `ulimit -u`, or end others",
    ),
    (
        _BUSY,
        "this machine is too busy to start it in time",
        "end other work on it, and type the same again",
    ),
]
"""(pattern of what Ray says, what is wrong, what to do); what is more certain comes first."""

_JOIN = [
    (
        r"AuthenticationError|[Uu]nauthenticated|[Tt]oken|UNAUTHENTICATED",
        "it refuses the token",
        "put the one of its head's ~/.ray/auth_token into RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token",
    ),
    (
        r"[Tt]imed out|[Dd]eadline [Ee]xceeded|[Cc]onnect|UNAVAILABLE",
        "no Ray answers there",
        "give another --address or RAY_ADDRESS, or --local",
    ),
]


_VITAL = ("gcs_server", "raylet")


class BusyError(UserError):
    """A Ray of our own that a busy machine started too slowly; the next try may be in time."""


def not_started(error: Exception, folder: Path) -> UserError:
    """The sentence for a Ray of our own that was given `folder`, in a folder of ours."""
    said = f"{type(error).__name__} {error}"
    # Ray says that it took too long where a process of it has ended with a better reason.
    for text in (_fatal(folder), said):
        for pattern, what, remedy in _START:
            if re.search(pattern, text):
                remedy = remedy.format(folder=folder.parents[1])
                kind = BusyError if pattern is _BUSY else UserError
                return kind(f"Could not start Ray: {what}; {remedy}.")
    return UserError(
        f"Could not start Ray: {_line(str(error))}; see what `ray start --head --block` says."
    )


def not_joined(error: Exception, address: str) -> UserError:
    """The sentence for a Ray at `address` that cannot be joined."""
    begin, said = f"Could not reach the Ray at {masked(address)}", scrubbed(str(error), address)
    if "Version mismatch" in said:
        rays, pythons = (re.findall(rf"{word}: (\S+)", said) for word in ("Ray", "Python"))
        if len(rays) == len(pythons) == 2:
            return UserError(
                f"{begin}: it is Ray {rays[0]} with Python {pythons[0]}, and here is Ray {rays[1]} "
                f"with Python {pythons[1]}; install the same here: pip install ray=={rays[0]}."
            )
    for pattern, what, remedy in _JOIN:
        if re.search(pattern, f"{type(error).__name__} {said}"):
            return UserError(f"{begin}: {what}; {remedy}.")
    return UserError(f"{begin}: {_line(said)}; give another --address or RAY_ADDRESS, or --local.")


def _fatal(folder: Path) -> str:
    """What the processes that Ray cannot do without wrote before they ended by themselves."""
    logs = [log for name in _VITAL for log in folder.glob(f"session_2*/logs/{name}.err")]
    return "\n".join(log.read_text(errors="replace")[:10_000] for log in logs)


def _line(text: str) -> str:
    return visible((text.strip() or "it gave no reason").splitlines()[0].rstrip("."))[:200]
