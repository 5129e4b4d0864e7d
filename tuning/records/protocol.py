"""Under which conditions a score was measured: what may be compared with what."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from kd.backbones.names import short
from kd.config import TrainConfig
from kd.data.listing import images_identity
from kd.data.names import PARQUET, PREPARED, UNPACKED, DatasetName
from kd.errors import UserError

UNSAID = {"seeds": "1", "teacher_saw_val": "false"}
"""What a protocol means that does not name these."""
VAL = "val"


def protocol(config: TrainConfig, seeds: int = 1, root: str | Path | None = None) -> dict[str, str]:
    """What two scores must share to be compared: epochs, images, split, seeds, what a teacher saw.

    Everything else in a configuration is what a search is free to choose. A score that is the mean
    over several `seeds` is one of them. `root` is where data sets are kept.
    """
    split, images = config.split, config.images
    of_each_class = split.val_per_class is not None
    return {
        "dataset": dataset_identity(config.dataset, root),
        "epochs": str(config.epochs),
        "val_fraction": "none" if of_each_class else f"{split.val_fraction:g}",
        "train_size": str(split.train_size or "all"),
        "split_seed": str(split.seed),
        "seed": str(config.seed),
        **({"seeds": str(seeds)} if seeds > 1 else {}),
        **({"teacher_saw_val": "true"} if config.saw_val else {}),
        **({"val_per_class": str(split.val_per_class)} if of_each_class else {}),
        **({"fraction": f"{split.fraction:g}"} if split.fraction is not None else {}),
        **({"val": _files_identity(VAL, Path(images.val))} if images.val is not None else {}),
        **({"resize": str(images.size)} if images.size is not None else {}),
        **({"convert_images": "true"} if images.convert else {}),
        **({"skip_bad_images": str(images.skip_bad)} if images.skip_bad else {}),
    }


def dataset_identity(dataset: str, root: str | Path | None = None) -> str:
    """A name that stands for the same images on every machine.

    The name itself for a data set that is downloaded. For a folder, which may lie anywhere and be
    rewritten, its kind and a digest. UserError if there are no images.
    """
    name = DatasetName.parse(dataset)
    folder = name.lies_in(root)
    return dataset if folder is None else _files_identity(name.kind, folder)


def _files_identity(kind: str, place: Path) -> str:
    """`kind` and a digest of the files of images at `place`.

    Of Parquet files their names, sizes and footers: these hold the counts, sizes and statistics of
    all columns. Of image files their names and sizes.
    """
    if kind == PREPARED:
        from kd.data.sources.prepared import Contents

        about = Contents.read(place, "put it back")
        return f"{kind}-{'-'.join(digest[:8] for digest in about.digests.values())}"
    files = [place] if os.path.isfile(place) else sorted(place.glob("*.parquet"))
    if kind == PARQUET:
        files += sorted(place.glob("data/*.parquet"))
    if not os.path.exists(place) or (kind == PARQUET and not files):
        raise UserError(f"{place} is not here, so its images cannot be told from others.")
    parquet = kind == PARQUET or (kind == VAL and files)
    return f"{kind}-{_parquet_identity(files) if parquet else images_identity(place)}"


def _parquet_identity(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            file.seek(max(size - 65536, 0))
            digest.update(file.read())
    return digest.hexdigest()[:16]


def cell_name(method: str, backbone: str, dataset: str) -> str:
    """`method.backbone.dataset`, the cell's name in MLflow, where `/` and `:` may not occur.

    A folder counts by its last part: `parquet:../data/mini` gives `parquet-mini`. Folders of
    the same name share a cell and are told apart by the protocol's `dataset`.
    """
    name = DatasetName.parse(dataset)
    own = name.folder is not None and name.kind not in UNPACKED
    images = f"{name.kind}-{name.folder.resolve().name}" if own and name.folder else name.kind
    parts = (short(backbone), images)
    plain = ("".join(c if c.isalnum() or c in "-_" else "-" for c in part) for part in parts)
    return ".".join((method, *plain))
