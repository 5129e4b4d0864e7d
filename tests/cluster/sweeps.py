"""What a test asks of a sweep's folder: its trials, and how far its checkpoints are."""

import threading
import time
from collections import defaultdict
from pathlib import Path

import torch
from optuna.trial import FrozenTrial

from tuning.study.journal import load_study


def trials(folder: Path) -> list[FrozenTrial]:
    """The trials in the sweep's journal; none before it exists."""
    path = folder / "study.log"
    if not path.exists() or not path.stat().st_size:
        return []
    return load_study(path, "search").get_trials()


def running(folder: Path, epochs: int) -> bool:
    """Whether trials are running and one of them has trained so many epochs."""
    return any(t.state.name == "RUNNING" and (t.last_step or 0) >= epochs for t in trials(folder))


def check_complete(folder: Path, number: int, epochs: int) -> None:
    """Every trial is there once, completed, with every epoch of its curve."""
    found = trials(folder)
    assert [t.number for t in found] == list(range(number))
    for trial in found:
        assert trial.state.name == "COMPLETE", (trial.number, trial.state, trial.user_attrs)
        assert sorted(trial.intermediate_values) == list(range(1, epochs + 1))
    assert len(list(folder.glob("best_config.yaml"))) == 1


class Watch:
    """Follows the checkpoints of a sweep's trials while they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkpoints"
        self._epochs: dict[str, list[int]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def repeated(self) -> int:
        """End the watch; returns how many epochs any trial went back, all together."""
        self._ended.set()
        self._thread.join()
        assert self._epochs, "no checkpoint was seen"
        back = 0
        for seen in self._epochs.values():
            furthest = 0
            for epoch in seen:
                back += max(furthest + 1 - epoch, 0) if epoch <= furthest else 0
                furthest = max(furthest, epoch)
        return back

    def _follow(self) -> None:
        seen: dict[str, float] = {}
        while not self._ended.is_set():
            for path in self._folder.glob("*.pt"):
                try:
                    written = path.stat().st_mtime
                    if seen.get(path.name) != written:
                        state = torch.load(path, map_location="cpu", weights_only=True)
                        self._epochs[path.name].append(int(state["epoch"]))
                        seen[path.name] = written
                except FileNotFoundError:
                    continue
            time.sleep(0.1)
