"""What is free on this machine: of its memory, and on a disk for a file that ends with its process.

Nothing here imports torch. The folders where Linux says it are arguments, for tests.
"""

import os
import shutil
from collections.abc import Iterator
from math import inf
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
FOLDERS = ("/tmp", "/var/tmp")
RESERVE = 2**30
"""Bytes of a disk that are left to others."""
_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "hugetlbfs")
_FILES = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def free_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> float:
    """Bytes of memory that this process may still take; infinite where Linux does not say.

    The least of what the machine has and what the limits of a container or a job leave. What is
    cached of files counts as free.
    """
    free = [_field(proc / "meminfo", "MemAvailable:") * 1024 or inf]
    for folder in _groups(proc, cgroups):
        for limit, usage in _FILES:
            most = _number(folder / limit)
            if most is not None:
                used = _number(folder / usage) or 0
                cached = _field(folder / "memory.stat", "inactive_file")
                free.append(most - used + cached)
    return max(min(free), 0)


def _groups(proc: Path, cgroups: Path) -> Iterator[Path]:
    """The folders of this process's control groups and of all above, in both versions."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            # In a container the path may be the host's: what is not there is passed over.
            inner = (cgroups / controllers / path.lstrip("/")).absolute()
            yield from (f for f in (inner, *inner.parents) if f.is_relative_to(cgroups))


def _number(path: Path) -> int | None:
    """The number that a file holds; None where there is none, as in `max`."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _field(path: Path, name: str) -> int:
    """The number after `name` at the beginning of a line; 0 where there is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return 0
    return next((int(words[1]) for words in lines if words[:1] == [name]), 0)


def scratch(proc: Path = PROC) -> tuple[Path | None, int]:
    """The folder for files that end with their process, and its free bytes.

    TMPDIR, else of /tmp and /var/tmp the one with more room; of all of them, those on a disk, as a
    file in a tmpfs would be memory. (None, 0) where there is none.
    """
    for names in ([os.environ.get("TMPDIR")], FOLDERS):
        found: dict[Path, int] = {}
        for path in map(Path, filter(None, names)):
            if os.access(path, os.W_OK | os.X_OK) and file_system(path, proc) not in _IN_MEMORY:
                found[path] = max(shutil.disk_usage(path).free - RESERVE, 0)
        if found:
            return max(found.items(), key=lambda item: item[1])
    return None, 0


def file_system(path: Path, proc: Path = PROC) -> str:
    """The kind of file system that `path` lies in, such as `ext4`; empty where it is not told."""
    try:
        lines = (proc / "self" / "mounts").read_text().splitlines()
    except OSError:
        return ""
    kinds = {Path(_unescaped(at)): kind for _, at, kind, *_ in map(str.split, lines)}
    real = path.resolve()
    return next((kinds[above] for above in (real, *real.parents) if above in kinds), "")


def _unescaped(text: str) -> str:
    """A path of that file, where a space is written in octal digits."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode(errors="replace")
