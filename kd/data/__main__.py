"""`python -m kd.data`: what images are there, and to prepare them once for many trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from kd.cli import run, shown
from kd.data.config import ImagesConfig
from kd.data.names import PREPARED, DatasetName
from kd.data.sources import check_dataset, verify_dataset
from kd.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Say what a data set holds, after reading each of its images; or prepare it, with --to.

    Prepared images are decoded, resized and compared with what was written: prepared:DIR trains
    without decoding anything, and may be larger than the memory.
    """

    name: Annotated[str, tyro.conf.Positional, shown("NAME")]
    """A data set: folder:DIR, parquet:FOLDER, imagenet, tiny-imagenet, cifar100, …."""
    to: Annotated[Path | None, shown("DIR")] = None
    """The folder to prepare them in; typed again, it goes on where it was stopped."""
    resize: Annotated[int | None, shown("N")] = None
    """Resize the shorter side to so many pixels, and cut the middle square."""
    convert_images: bool = False
    """Make every image RGB."""
    skip_bad_images: Annotated[int, shown("N")] = 0
    """Leave out up to so many images of each set that cannot be decoded."""
    val: Annotated[str | None, shown("DIR")] = None
    """A val set of one's own."""
    data_root: Annotated[Path | None, shown("FOLDER")] = None
    """Where data sets are kept and downloaded to."""

    @property
    def images(self) -> ImagesConfig:
        """What is made of image files."""
        return ImagesConfig(
            size=self.resize,
            convert=self.convert_images,
            skip_bad=self.skip_bad_images,
            val=self.val,
        ).placed()


def show(flags: Flags) -> None:
    """Run the command."""
    name = DatasetName.parse(flags.name).placed()
    if flags.to is None:
        # What is wrong with names and sizes is found in a moment.
        check_dataset(str(name), flags.data_root, images=flags.images)
        info = verify_dataset(str(name), flags.data_root, flags.images)
        if name.kind == PREPARED and name.folder is not None:
            from kd.data.preparing import compare

            compare(name.folder)
        counts = info.counts.values()
        height, width = info.size
        print(
            f"{flags.name}: {sum(counts)} training images of {height}×{width} pixels and "
            f"{info.channels} channel(s), {len(counts)} classes of {min(counts)} to {max(counts)}"
        )
        if info.val is not None:
            print(f"val: {sum(info.val.values())} images")
        for note in info.notes:
            print(note)
        return
    if name.kind == PREPARED:
        raise UserError(f"{flags.name} is prepared already; leave --to away to compare it.")
    from kd.data.preparing import prepare

    found = prepare(str(name), flags.images, flags.to, flags.data_root)
    sets = ", ".join(f"{count} {what}" for what, count in found.counts.items())
    print(f"Prepared: {sets} images. Train on them as --dataset {PREPARED}:{flags.to}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run(Flags, show, argv)


if __name__ == "__main__":
    main()
