"""How val is cut from the training set: stratified by class, the same for the same seed."""

import numpy as np
from numpy.typing import NDArray

from kd.data.config import SplitConfig
from kd.data.images import Images
from kd.errors import UserError


def train_val(images: Images, config: SplitConfig) -> tuple[Images, Images]:
    """The images to train on and the images to validate on, which never overlap.

    val depends on `val_fraction` and `seed` alone, so few-shot settings share it. UserError
    where a class would be left without an image, or `train_size` is more than what is left.
    """
    bits = np.random.PCG64(config.seed)
    val = stratified_choice(images.labels, round(len(images) * config.val_fraction), bits)
    train = np.setdiff1d(np.arange(len(images)), val)
    _require_all_classes(images, val, f"split.val_fraction {config.val_fraction}", "val")
    _require_all_classes(images, train, f"split.val_fraction {config.val_fraction}", "training")
    if config.train_size is not None:
        if config.train_size > len(train):
            raise UserError(
                f"split.train_size is {config.train_size}, but beside val there are {len(train)} "
                f"images; give at most {len(train)}."
            )
        train = train[stratified_choice(images.labels[train], config.train_size, bits)]
        _require_all_classes(images, train, f"split.train_size {config.train_size}", "training")
    return images.subset(train), images.subset(val)


def _require_all_classes(
    images: Images, indices: NDArray[np.int64], setting: str, part: str
) -> None:
    missing = np.setdiff1d(images.labels, images.labels[indices])
    if len(missing):
        name = images.class_names[missing[0]]
        raise UserError(f"{setting} leaves no image of class {name!r} for {part}; change it.")


def stratified_choice(
    labels: NDArray[np.int64], size: int, bits: np.random.BitGenerator
) -> NDArray[np.int64]:
    """Rising indices of `size` of the labels (N,), each class in its proportion, ±1."""
    keys = np.random.Generator(bits).random(len(labels))
    shuffled_by_class = np.lexsort((keys, labels))
    counts = np.unique(labels, return_counts=True)[1]
    quota = counts * (size / len(labels))
    taken = np.floor(quota).astype(np.int64)
    largest_remainders = np.argsort(taken - quota, kind="stable")
    taken[largest_remainders[: size - taken.sum()]] += 1
    place_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = shuffled_by_class[place_in_class < np.repeat(taken, counts)]
    return np.sort(chosen)
