"""What the kernel says of processes: families, sockets that listen, who has ended."""

import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

LISTEN = "0A"


def soon(question: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < until:
        time.sleep(0.1)
    return answer


def alive(number: int) -> bool:
    return _state(number) not in ("", "Z", "X")


def words(number: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{number}/cmdline").read_text(errors="replace").split("\0")
    return []


def family(number: int) -> set[int]:
    """The process and all that it, and they, have started."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and (stat := _stat(int(path.name))):
            parents[int(path.name)] = int(stat[1])
    found, before = {number}, set[int]()
    while found != before:
        before = found
        found = found | {child for child, parent in parents.items() if parent in found}
    return found


def doors(numbers: set[int]) -> dict[tuple[IPv4Address | IPv6Address, int], int]:
    """(address, port) of every TCP socket at which one of the processes listens, and which."""
    owners = {}
    for number in numbers:
        for descriptor in Path(f"/proc/{number}/fd").glob("*"):
            with suppress(OSError):
                owners[str(descriptor.readlink())] = number
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            owner = owners.get(f"socket:[{columns[9]}]")
            if columns[3] == LISTEN and owner is not None:
                address, port = columns[1].split(":")
                found[_address(address), int(port, 16)] = owner
    return found


def _address(words: str) -> IPv4Address | IPv6Address:
    """The kernel prints each four bytes as a number of this machine."""
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    address = ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _stat(number: int) -> list[str]:
    """State, parent and what follows; empty for a process that has gone."""
    with suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return []


def _state(number: int) -> str:
    return next(iter(_stat(number)), "")
