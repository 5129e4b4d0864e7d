"""What the trials of one study write, by the trial's number: its identity across restarts."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tuning.storage.shelf import Shelf


@dataclass(frozen=True, kw_only=True)
class TrialFiles:
    """Where the trials of one study keep what they write."""

    shelf: Shelf
    study: str

    def checkpoint(self, number: int) -> str:
        """The name of the newest state of a running trial."""
        return f"checkpoints/{self.study}-{number:04d}.pt"

    def student(self, number: int) -> str:
        """The name of the weights of a completed trial's student."""
        return f"students/{self.study}-{number:04d}.safetensors"

    def take_student(self, number: int, target: Path) -> bool:
        """Move the trial's student to `target`, a file of this machine; whether there was one."""
        name = self.student(number)
        if not self.shelf.exists(name):
            return False
        scratch = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with self.shelf.fetched(name) as path:
                shutil.move(path, scratch)
            scratch.replace(target)
        finally:
            # Where the disk is full, what was moved of it so far.
            scratch.unlink(missing_ok=True)
        self.shelf.delete(name)
        return True

    def discard(self, number: int) -> None:
        """Delete both files of a trial that no one will ask for again."""
        self.shelf.delete(self.checkpoint(number))
        self.shelf.delete(self.student(number))
