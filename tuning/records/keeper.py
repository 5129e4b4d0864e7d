"""An observer that keeps the best trial's files and throws the others' away."""

from collections.abc import Iterable
from pathlib import Path

from kd.config import TrainConfig, teacher_file
from kd.files import replace_file
from tuning.records.settings import BEST_CONFIG
from tuning.storage.trial_files import TrialFiles
from tuning.study.trials import TrialRecord, best_trial

STUDENT = "student.safetensors"


class Keeper:
    """Holds best_config.yaml, best_config.json and student.safetensors true at any moment.

    They are written when a trial becomes the best, not at the end, so that they survive
    whatever ends the sweep. Checkpoints and students that no one will ask for are deleted:
    a long sweep holds as many checkpoints as it has running trials.
    """

    def __init__(self, folder: Path, files: TrialFiles, known: Iterable[TrialRecord] = ()) -> None:
        self._folder = folder
        self._files = files
        self._best: TrialRecord | None = None
        records = list(known)
        if best := best_trial(records):
            self._keep(best)
        for record in records:
            if record.state != "running":
                files.discard(record.number)

    def on_start(self, trial: TrialRecord) -> None:
        """Nothing to keep yet."""

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        """Nothing to keep yet: trials are compared when they are completed."""

    def on_end(self, trial: TrialRecord) -> None:
        """Keep the trial's files if it is the best, else delete them."""
        best = best_trial([t for t in (self._best, trial) if t is not None])
        if best is trial:
            self._keep(trial)
        self._files.discard(trial.number)

    def _keep(self, best: TrialRecord) -> None:
        self._best = best
        self._files.take_student(best.number, self._folder / STUDENT)
        config = TrainConfig.from_dict(best.config)
        path = self._folder / BEST_CONFIG
        if config.teachers:
            # Beside this file, wherever the folder goes; a trial may know it by an earlier name.
            known = [teacher.weights for teacher in config.teachers]
            config = config.with_teachers([self._beside(n, path) for n, path in enumerate(known)])
        remedy = "make room for it"
        replace_file(path, config.to_yaml().encode(), remedy)
        replace_file(path.with_suffix(".json"), config.to_json().encode(), remedy)

    def _beside(self, number: int, weights: str | None) -> str | None:
        # A file that was given may have the name of another one here: that of the student.
        name = teacher_file(number)
        own = Path(weights or "").name == name and (self._folder / name).exists()
        return name if own else weights
