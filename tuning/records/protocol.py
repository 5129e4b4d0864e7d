"""Under which conditions a score was measured: what may be compared with what."""

import hashlib

from kd.backbones.names import short
from kd.config import TrainConfig
from kd.data.names import DatasetName
from kd.errors import UserError

UNSAID = {"seeds": "1", "teacher_saw_val": "false"}
"""What a protocol means that does not name these."""


def protocol(config: TrainConfig, seeds: int = 1) -> dict[str, str]:
    """What two scores must share to be compared: epochs, images, split, seeds, what a teacher saw.

    Everything else in a configuration is what a search is free to choose. A score that is the mean
    over several `seeds` is one of them.
    """
    return {
        "dataset": dataset_identity(config.dataset),
        "epochs": str(config.epochs),
        "val_fraction": f"{config.split.val_fraction:g}",
        "train_size": str(config.split.train_size or "all"),
        "split_seed": str(config.split.seed),
        "seed": str(config.seed),
        **({"seeds": str(seeds)} if seeds > 1 else {}),
        **({"teacher_saw_val": "true"} if config.saw_val else {}),
    }


def dataset_identity(dataset: str) -> str:
    """A name that stands for the same images on every machine.

    The name itself for a published data set. For `parquet:FOLDER`, which may lie anywhere and
    be rewritten, `parquet-` and a digest of its files' names, sizes and footers: a Parquet
    footer holds the counts, sizes and statistics of all columns. UserError if there are none.
    """
    folder = DatasetName.parse(dataset).folder
    if folder is None:
        return dataset
    digest = hashlib.sha256()
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise UserError(f"{folder} is not here, so its images cannot be told from others.")
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            file.seek(max(size - 65536, 0))
            digest.update(file.read())
    return f"parquet-{digest.hexdigest()[:16]}"


def cell_name(method: str, backbone: str, dataset: str) -> str:
    """`method.backbone.dataset`, the cell's name in MLflow, where `/` and `:` may not occur.

    A folder counts by its last part: `parquet:../data/mini` gives `parquet-mini`. Folders of
    the same name share a cell and are told apart by the protocol's `dataset`.
    """
    name = DatasetName.parse(dataset)
    images = f"{name.kind}-{name.folder.resolve().name}" if name.folder else name.kind
    parts = (short(backbone), images)
    plain = ("".join(c if c.isalnum() or c in "-_" else "-" for c in part) for part in parts)
    return ".".join((method, *plain))
