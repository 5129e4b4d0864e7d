"""Folders of image files, a subfolder for each class; ImageNet and Tiny ImageNet among them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kd.data.config import ImagesConfig
from kd.data.listing import ANNOTATIONS, files_in, images_beside, subfolders
from kd.data.sources.pictures import Encoded
from kd.data.sources.reading import Part, Parts
from kd.data.sources.splits import NAMES, TEST, TRAIN, VALS, check_apart, roles
from kd.data.split import choice
from kd.errors import UserError, brief

READ = "PNG, JPEG, WebP, BMP, TIFF and PNM files (.png, .jpg, …)"
TEST_SHARE, TEST_SEED = 0.2, 0
"""What is cut off as the test set where there is none, the same for ever."""


@dataclass(frozen=True, eq=False)
class Tree:
    """The images of `folder`: the names of their files there, and which class (N,) each is of.

    others: the files that lie among them and are none. beside: images in no class's folder.
    """

    folder: Path
    class_names: tuple[str, ...]
    files: Sequence[str]
    labels: NDArray[np.int64]
    others: Sequence[str] = ()
    beside: Sequence[str] = ()

    @classmethod
    def read(cls, folder: Path) -> "Tree":
        """List a folder with a subfolder for each class; UserError where it is none."""
        where = brief(folder)
        if not os.path.isdir(folder):
            raise UserError(f"{where} is not a folder; give one with a subfolder for each class.")
        names = subfolders(folder)
        if not names:
            raise UserError(
                f"{where} has no subfolders; put the images of each class into one of its own."
            )
        files, labels, others = [], [], []
        for label, name in enumerate(names):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"{brief(folder / name)} has a name that is no UTF-8; rename that folder."
                ) from None
            found, left = files_in(folder / name)
            if not found:
                raise _empty(folder / name, left)
            others += [f"{name}/{file}" for file in left]
            files += [f"{name}/{file}" for file in found]
            labels += [label] * len(found)
        return cls(
            folder, tuple(names), files, np.array(labels, np.int64), others, images_beside(folder)
        )

    def require(self, class_names: tuple[str, ...], others: Path) -> None:
        """Raise UserError unless its classes are those of `others`."""
        differing = sorted({*self.class_names} ^ {*class_names})
        if differing:
            name = differing[0]
            both = self.folder, others
            has, lacks = both if name in self.class_names else reversed(both)
            raise UserError(
                f"{brief(has)} has a class {brief(repr(name))} and {brief(lacks)} has none; give "
                "both the same subfolders."
            )

    def part(self, what: str, rows: NDArray[np.int64] | None = None) -> Part:
        """Its images as one of the sets, or those at `rows`."""
        rows = np.arange(len(self.files)) if rows is None else rows
        labels = self.labels[rows]
        # Of each class the first: they are spread over the set, and few.
        first = rows[np.unique(labels, return_index=True)[1]]
        return Part(
            what,
            labels,
            lambda: self._encoded(rows),
            lambda: self._encoded(first),
            names=lambda: (self.files[row] for row in rows.tolist()),
        )

    def _encoded(self, rows: NDArray[np.int64]) -> Iterator[Encoded]:
        return (Encoded(self.folder / self.files[row]) for row in rows.tolist())


def _left_out(*trees: Tree | None) -> Iterator[str]:
    """What of each set is not read, in a sentence: files that are no images, and loose images."""
    for tree in filter(None, trees):
        where = f"Left out in {brief(tree.folder.absolute())}:"
        if names := tree.others:
            yield (
                f"{where} {len(names)} not named as images, the first {brief(names[0])}; {READ} "
                "are read."
            )
        if names := tree.beside:
            yield (
                f"{where} {len(names)} in no class's folder, the first {brief(names[0])}; put each "
                "into the folder of its class to have it read."
            )


def _empty(folder: Path, others: Sequence[str]) -> UserError:
    """The error for a class without images; it names a file that may have been meant as one."""
    if others:
        return UserError(
            f"{brief(folder)} holds no image, and {brief(others[0])} is not named as one; write "
            f"such files: {READ}; or delete the folder."
        )
    return UserError(
        f"{brief(folder)} holds no image; put those of the class there, or delete the folder."
    )


# -- a folder of anyone's --------------------------------------------------------------------------


def find_folder(folder: Path, images: ImagesConfig, remedy: str) -> Parts:
    """The sets of a folder of anyone's images; UserError for what makes no sense."""
    where = brief(folder.absolute())
    if not os.path.isdir(folder):
        raise UserError(f"{where} is not a folder; {remedy}.")
    names = subfolders(folder)
    if TRAIN not in names or not subfolders(folder / TRAIN):
        if TRAIN not in names and names and not {*names} - {*NAMES}:
            raise UserError(
                f"{where} has {' and '.join(names)} and no train; name the folder of the training "
                "images so, with a subfolder for each class in it."
            )
        flat = TRAIN in names and not {*names} - {*NAMES}
        return _cut(Tree.read(folder / TRAIN if flat else folder), images)
    who = roles(names, where, asked_val=images.val is not None)
    if who is None:
        raise UserError(
            f"{where} has train, and neither test nor val beside it; put one there, or give "
            f"{brief(folder / TRAIN)}, of which a fifth is cut off as the test set."
        )
    train = Tree.read(folder / TRAIN)
    test = _alike(folder / who.test, train)
    val = None if who.val is None else _alike(folder / who.val, train)
    notes = (*who.notes, *_left_out(train, test, val))
    return _parts(train, test.part(TEST), val, images, notes, sealed=test.folder)


def _cut(tree: Tree, images: ImagesConfig) -> Parts:
    """One tree of classes, of which a test set is cut off."""
    counts = np.bincount(tree.labels)
    fifth = np.maximum(np.rint(counts * TEST_SHARE).astype(np.int64), 1)
    taken = np.where(counts > 1, fifth, 0)
    if not taken.any():
        raise UserError(
            f"{brief(tree.folder)} has one image of each class, so that none is left for the test "
            "set; add images."
        )
    test = choice(tree.labels, taken, np.random.PCG64(TEST_SEED))
    train = np.setdiff1d(np.arange(len(tree.labels)), test)
    told = (
        f"{brief(tree.folder.absolute())} has no test set: a fifth of each class is cut off as "
        "one, the same for ever, and stays sealed."
    )
    notes = (told, *_left_out(tree))
    return _parts(tree, tree.part(TEST, test), None, images, notes, rows=train)


def _parts(
    train: Tree,
    test: Part,
    val: Tree | None,
    images: ImagesConfig,
    notes: tuple[str, ...] = (),
    *,
    sealed: Path | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Parts:
    if images.val is not None:
        own = Path(images.val)
        check_apart(own, [train.folder], [] if sealed is None else [sealed])
        val = _alike(own, train)
        notes = (*notes, *_left_out(val))
    part = None if val is None else val.part("val")
    return Parts(train.class_names, train.part("training", rows), test, part, notes)


def _alike(folder: Path, train: Tree) -> Tree:
    """The tree at `folder`, of the same classes."""
    tree = Tree.read(folder)
    tree.require(train.class_names, train.folder)
    return tree


# -- published sets --------------------------------------------------------------------------------


def find_imagenet(folder: Path, images: ImagesConfig, remedy: str) -> Parts:
    """ImageNet as torchvision's ImageFolder has it; its val is what everyone tests on."""
    _check_there(folder, remedy)
    train = Tree.read(folder / TRAIN)
    test = _alike(folder / VALS[0], train)
    return _parts(train, test.part(TEST), None, images, sealed=test.folder)


def find_tiny_imagenet(folder: Path, images: ImagesConfig, remedy: str) -> Parts:
    """Tiny ImageNet as it is unpacked; its val is what everyone tests on."""
    _check_there(folder, remedy)
    train = Tree.read(folder / TRAIN)
    test = _annotated(folder / VALS[0], train)
    return _parts(train, test.part(TEST), None, images, sealed=test.folder)


def _check_there(folder: Path, remedy: str) -> None:
    """Raise UserError unless it has train and val."""
    for name in (TRAIN, VALS[0]):
        if not os.path.isdir(folder / name):
            raise UserError(f"{brief((folder / name).absolute())} is not a folder; {remedy}.")


def _annotated(folder: Path, train: Tree) -> Tree:
    """The images of a folder whose classes stand in a file beside them."""
    path = folder / ANNOTATIONS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise UserError(f"{brief(path)} cannot be read: {reason}; unpack it again.") from None
    labels = {name: label for label, name in enumerate(train.class_names)}
    there = {*files_in(folder)[0]}
    found = {}
    for number, line in enumerate(lines, start=1):
        file, _, rest = line.partition("\t")
        name = rest.partition("\t")[0]
        if name not in labels or f"images/{file}" not in there:
            raise UserError(
                f"{brief(path)}, line {number}: there is no image {brief(repr(file))}, or no class "
                f"{brief(repr(name))}; unpack it again."
            )
        found[f"images/{file}"] = labels[name]
    if not found:
        raise UserError(f"{brief(path)} has no lines; unpack it again.")
    files = sorted(found)
    ordered = np.array([found[file] for file in files], np.int64)
    return Tree(folder, train.class_names, files, ordered)
