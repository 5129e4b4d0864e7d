"""A sweep's study: Optuna's record of its trials, in a journal file that only grows.

The study is all that a sweep needs to go on after its process was killed.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from kd.errors import UserError
from tuning.storage.patience import patiently
from tuning.study.objectives import kept_told
from tuning.study.trials import State, TrialRecord

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
_DAMAGED = "{} is damaged; restore a copy of it, or start a new sweep."
OPTUNA_STATES = {state: optuna_state for optuna_state, state in STATES.items()}


@contextmanager
def open_study(path: Path, name: str, *, create: bool) -> Iterator[optuna.Study]:
    """The study `name` in the journal at `path`, for the one process that runs its sweep.

    `create` makes the file where there is none. A last line that a crash or a full disk cut
    short is dropped. Raises `UserError` if the file cannot be opened, is damaged, or is in use
    by another process. Reading it, as optuna-dashboard does, is always possible.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        file = path.open("a+b" if create else "r+b")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}; give the folder of a sweep."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another process is running the sweep of {path}; wait for it, or stop it first."
            ) from None
        except OSError:
            pass  # Some network file systems have no locks; the sweep can do without.
        file.seek(0)
        file.truncate(len(_whole(path, file.read())))
        yield optuna.create_study(
            study_name=name, storage=_journal(path), direction="maximize", load_if_exists=True
        )


def load_study(path: Path, name: str) -> optuna.Study:
    """The study `name` in the journal at `path`, to be read only; a sweep may be writing it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not path.is_file():
        raise UserError(f"There is no study at {path}; give the folder of a sweep.")
    try:
        return optuna.load_study(study_name=name, storage=_journal(path))
    except KeyError:
        raise UserError(f"{path} holds no study {name!r} yet; wait for its first trial.") from None


def study_in_memory() -> optuna.Study:
    """A study that ends with its process, for a search that is only simulated."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize")


def study_facts(path: Path, name: str) -> dict[str, Any]:
    """The attributes of the study `name` in the journal at `path`; none if it was never begun."""
    if not path.exists():
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return dict(optuna.load_study(study_name=name, storage=_journal(path)).user_attrs)
    except KeyError:
        return {}


def read_trials(study: optuna.Study) -> list[TrialRecord]:
    """Every trial that was given a configuration, in the order of their numbers."""
    trials = study.get_trials(deepcopy=False)
    return [to_record(trial) for trial in trials if "config" in trial.user_attrs]


def has_trials(path: Path) -> bool:
    """Whether a trial of any study in the journal at `path` was given a configuration.

    Raises UserError if the journal is damaged.
    """
    storage = _journal(path)
    studies = [study._study_id for study in storage.get_all_studies()]
    trials = [trial for study in studies for trial in storage.get_all_trials(study)]
    return any("config" in trial.user_attrs for trial in trials)


def to_record(trial: FrozenTrial) -> TrialRecord:
    """An Optuna trial that `StudySearcher` wrote, in the project's own form."""
    attributes = trial.user_attrs
    return TrialRecord(
        number=trial.number,
        config=attributes["config"],
        state=STATES[trial.state],
        curve=dict(trial.intermediate_values),
        told=kept_told(attributes, trial.intermediate_values),
        metrics=dict(attributes.get("metrics", {})),
        started=_seconds(trial.datetime_start) or 0.0,
        ended=_seconds(trial.datetime_complete),
        spans=tuple((start, stop) for start, stop in attributes.get("spans", ())),
        gpus=attributes.get("gpus", 0.0),
        reason=attributes.get("reason", ""),
        spared=attributes.get("spared"),
        source=attributes.get("source", ""),
        label=attributes.get("label", ""),
        seeds=attributes.get("seeds", 1),
    )


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time else None


class _Journal(JournalFileBackend):
    """A journal whose every line is whole, on a storage that may have faults for a while."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the lines; before another try, drop what the last one left of them."""
        whole = os.path.getsize(self._file_path)

        def write() -> None:
            if os.path.getsize(self._file_path) > whole:
                os.truncate(self._file_path, whole)
            super(_Journal, self).append_logs(logs)

        patiently(write)


class _HeldLock(JournalFileOpenLock):
    """No lock a line: `open_study` holds one for the whole sweep, which a kill -9 frees."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _journal(path: Path) -> JournalStorage:
    try:
        storage = JournalStorage(_Journal(str(path), lock_obj=_HeldLock(str(path))))
        if lines := _whole(path, path.read_bytes()).splitlines():
            # Optuna takes a last line that is none for one that is still being written.
            json.loads(lines[-1])
        return storage
    except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
        raise UserError(_DAMAGED.format(path)) from None


def _whole(path: Path, content: bytes) -> bytes:
    """The whole lines of a journal; what follows them has to be the beginning of another one."""
    lines = content[: content.rfind(b"\n") + 1]
    # After a crash some file systems have zeros where nothing was written yet.
    rest = content[len(lines) :].strip(b"\0")
    if rest and not rest.startswith(b"{"):
        raise UserError(_DAMAGED.format(path))
    return lines
