"""The folder of a run of kd.train: what it is called, what is written into it, and what may not be.

A sweep's folder is read here too: what it hands out, and the configurations of its trials.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING

from kd.config import TrainConfig
from kd.errors import UserError, brief
from kd.files import replace_file, unwritable
from kd.origin import Origin

if TYPE_CHECKING:
    from kd.data import Images

CONFIG = "config.yaml"
BEST_CONFIG, CONFIGS = "best_config.yaml", "configs"
"""What a sweep hands out, and the folder of its trials' configurations, a file each."""
REMEDY = "give another --output"


def config_file(given: Path, trial: int | None) -> Path:
    """The file that is meant; UserError for a trial of what is no sweep, or that is not there."""
    if trial is None:
        best = given / BEST_CONFIG
        if os.path.isfile(best):
            return best
        if os.path.isdir(given) or not os.path.exists(given):
            raise UserError(
                f"{brief(given)} is no YAML or JSON file, and no folder of a sweep that has a best "
                "trial; give one of them."
            )
        # What else it may be is told by who reads it.
        return given
    configs = given / CONFIGS
    file = configs / f"{trial}.yaml"
    if os.path.isfile(file):
        return file
    if not os.path.isdir(configs):
        raise UserError(
            f"{brief(given)} is no sweep's folder that holds its trials; give one, or "
            "write its trials with python -m tuning.report NAME."
        )
    known = [int(path.stem) for path in configs.glob("*.yaml") if path.stem.isdecimal()]
    raise UserError(
        f"{brief(given)} has no trial {trial} that ended; its last is {max(known, default=0)}."
    )


def run_name(file: Path, trial: int | None) -> str:
    """What a run is called by default: a sweep's best configuration has the name of its sweep."""
    # Without `..`, which is no name.
    whole = Path(os.path.abspath(file))
    if trial is not None:
        return f"{whole.parents[1].name}-{trial}"
    return whole.parent.name if file.name == BEST_CONFIG else file.stem


def check_folder(folder: Path, config: TrainConfig) -> None:
    """Raise UserError, or OSError, unless the run can be begun or gone on with in `folder`."""
    teachers = [ancestor.file for ancestor in config.ancestors]
    for name in (CONFIG, "metrics.jsonl", "student.safetensors", *teachers):
        if (folder / name).is_dir():
            raise UserError(f"{folder / name} is a folder, where a file goes; {REMEDY}.")
    written = folder / CONFIG
    if written.exists() and not _goes_on(TrainConfig.load(written), config):
        raise UserError(f"{folder} holds a run of another configuration; {REMEDY}.")
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise NotADirectoryError(ENOTDIR, f"{above} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(EACCES, f"nothing may be written into {above}")


def _goes_on(begun: TrainConfig, config: TrainConfig) -> bool:
    """Whether `config` goes on with what was `begun`: with the same files, and the same network."""
    files = [
        [one.weights for teacher in each.teachers for one in teacher.line]
        for each in (begun, config)
    ]
    places = [(each.dataset, each.images.val) for each in (begun, config)]
    return begun.trains_as(config) and places[0] == places[1] and files[0] == files[1]


def make_folder(folder: Path, config: TrainConfig) -> None:
    """Make it, with the configuration in it."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / CONFIG, config.to_yaml().encode(), REMEDY)


def run_origin(config: TrainConfig, images: "Images") -> Origin:
    """What the run would begin with now; teachers of its own are made of these images."""
    given = [t.file for t in config.teachers if t.file and os.path.isfile(t.file)]
    files = [Path(weights).read_bytes() for weights in given]
    return Origin.of(images.digest, files, config)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make one sentence of what the disk says while the run writes into `folder`."""
    try:
        yield
    except OSError as error:
        raise UserError(unwritable(folder, error, REMEDY)) from None
