"""A trained student and its model card, in a format that other programs load."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd.config import TrainConfig
from kd.errors import UserError
from kd.files import check_folder, replace_file
from kd.run_folder import BEST_CONFIG, CONFIG
from tuning.records.keeper import STUDENT
from tuning.records.protocol import cell_name
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import FILE

if TYPE_CHECKING:
    from kd.backbones.staged import StagedBackbone

SUFFIXES = {"safetensors": ".safetensors", "torch-export": ".pt2", "onnx": ".onnx"}
"""The formats, and how the name of a file ends by default."""


def write_weights(
    config: TrainConfig, folder: Path, target: str, output: Path | None, licence: str | None
) -> list[Path]:
    """Write the student that `folder` holds in the format `target`, and its card beside it.

    `folder` is a sweep's, or a run's of kd.train, and `config` what its student was trained
    with; `output` None makes a name of method, backbone and data set. Returns both files; a pipe
    or a device gets no card.

    Raises:
        UserError: there is no student, or another one, or a file cannot be written.
    """
    from kd.export import export_onnx, export_program, export_safetensors
    from tuning.exporters.model_card import model_card

    cell = cell_name(config.method, config.backbone, config.dataset)
    path = output or Path(cell + SUFFIXES[target])
    check_folder(path)
    student, description = _student(config, folder)
    writers = {
        "safetensors": export_safetensors,
        "torch-export": export_program,
        "onnx": export_onnx,
    }
    writers[target](student, description, path)
    if not path.is_file():
        return [path]
    card = path.with_name(f"{path.name}.md")
    text = model_card(
        path,
        target,
        config,
        description,
        result=_sweep(folder),
        licence=licence,
    )
    replace_file(card, text.encode())
    return [path, card]


def _student(config: TrainConfig, folder: Path) -> "tuple[StagedBackbone, dict[str, Any]]":
    from kd.training.checkpoint import load_weights

    path = folder / STUDENT
    if not path.is_file():
        raise UserError(
            f"There is no {path}, so no trained student; train it with python -m kd.train "
            "CONFIG, and export --config FOLDER/config.yaml."
        )
    if config.portable not in [trained.portable for trained in _trained(folder)]:
        raise UserError(
            f"{path} was trained with another configuration; export the one that lies beside it."
        )
    student, description = load_weights(path)
    if "mean" not in description:
        raise UserError(
            f"{path} does not say how its images were normalised; train it again with python -m "
            "kd.train CONFIG."
        )
    return student, description


def _trained(folder: Path) -> list[TrainConfig]:
    """The configuration of the folder's student, as a sweep or kd.train keeps it."""
    files = (folder / name for name in (BEST_CONFIG, CONFIG))
    return [TrainConfig.load(file) for file in files if file.is_file()]


def _sweep(folder: Path) -> SweepResult | None:
    if not (folder / FILE).is_file():
        return None
    return load_result(folder.parent, folder.name)
