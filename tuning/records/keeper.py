"""An observer that keeps the best trial's files, and of the others the configuration alone."""

from collections.abc import Iterable
from pathlib import Path

from kd.config import TrainConfig, teacher_file
from kd.files import replace_file
from kd.run_folder import BEST_CONFIG, CONFIGS
from tuning.records.findings import Findings
from tuning.storage.trial_files import TrialFiles
from tuning.study.trials import TrialRecord, best_trial

STUDENT = "student.safetensors"


class Keeper:
    """Holds best_config.yaml, best_config.json and student.safetensors true at any moment.

    They are written when a trial becomes the best, not at the end, so that they survive
    whatever ends the sweep; those of a confirmed sweep stay as they are (`hand_out`). Checkpoints
    and students that no one will ask for are deleted: a long sweep holds as many checkpoints as
    it has running trials.
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
                keep_config(folder, record)
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
        keep_config(self._folder, trial)
        self._files.discard(trial.number)

    def _keep(self, best: TrialRecord) -> None:
        self._best = best
        # Asked each time: it may have been confirmed meanwhile.
        if Findings.load(self._folder) is None:
            config = TrainConfig.from_dict(best.config)
            hand_out(self._folder, config, self._files, best.number)


def hand_out(folder: Path, config: TrainConfig, files: TrialFiles, number: int) -> None:
    """Make `config` what the sweep in `folder` hands out, with the student of trial `number`.

    That is taken from `files`, where it is not taken yet.
    """
    files.take_student(number, folder / STUDENT)
    path, config = folder / BEST_CONFIG, _beside(folder, config)
    replace_file(path, config.to_yaml().encode(), None)
    replace_file(path.with_suffix(".json"), config.to_json().encode(), None)


def keep_config(folder: Path, trial: TrialRecord) -> None:
    """Write the configuration of a trial that ended, so that it can be trained by its number."""
    path = folder / CONFIGS / f"{trial.number}.yaml"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        config = _beside(folder, TrainConfig.from_dict(trial.config), "../")
        replace_file(path, config.to_yaml().encode(), None)


def _beside(folder: Path, config: TrainConfig, way: str = "") -> TrainConfig:
    """With teachers by the way from the file that it is written into, wherever the folder goes.

    A trial may know its teacher by an earlier name of the folder. A file that was given may have
    the name of another one here: that of the student.
    """
    if not config.teachers:
        return config
    files = [teacher.weights for teacher in config.teachers]
    for number, weights in enumerate(files):
        name = teacher_file(number)
        if Path(weights or "").name == name and (folder / name).exists():
            files[number] = way + name
    return config.with_teachers(files)
