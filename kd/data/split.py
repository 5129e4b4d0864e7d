"""How val is cut from the training set: stratified by class, the same for the same seed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kd.data.config import SplitConfig
from kd.data.images import Images
from kd.errors import UserError, brief


def train_val(images: Images, config: SplitConfig) -> tuple[Images, Images]:
    """The images to train on and to validate on, which do not overlap but for `train_on_val`.

    val depends on `val_fraction` and `seed` alone, so few-shot settings share it. UserError as
    of `check_split`.
    """
    check_split(images.counts, config)
    bits = np.random.PCG64(config.seed)
    val = stratified_choice(images.labels, round(len(images) * config.val_fraction), bits)
    train = np.setdiff1d(np.arange(len(images)), val)
    if config.train_size is not None:
        train = train[stratified_choice(images.labels[train], config.train_size, bits)]
    if config.train_on_val:
        train = np.union1d(train, val)
    return images.subset(train), images.subset(val)


def check_split(counts: Mapping[str, int], config: SplitConfig) -> dict[str, int]:
    """How many images of every class there are to train on, of so many in all, by its name.

    UserError where a class that has images would be left without one, for training or for val,
    or `train_size` is more than what is left beside val.
    """
    present = {name: count for name, count in counts.items() if count}
    names, number = list(present), np.array(list(present.values()), np.int64)
    if number.min(initial=2) < 2:
        raise UserError(
            f"Class {brief(repr(names[int(number.argmin())]))} has one image, and training and val "
            "need one each; add images of it, or leave the class out."
        )

    val = _val(number, config.val_fraction)
    left = number - val
    for part, taken in (("val", val), ("training", left)):
        if not taken.all():
            raise UserError(
                f"split.val_fraction {config.val_fraction} leaves no image of class "
                f"{brief(repr(names[int(taken.argmin())]))} for {part}; set "
                f"split.val_fraction={_nearest_fraction(number, config.val_fraction)}."
            )
    more = val if config.train_on_val else np.zeros_like(val)
    if config.train_size is None:
        return dict(zip(names, (left + more).tolist(), strict=True))
    if config.train_size > left.sum():
        raise UserError(
            f"split.train_size is {config.train_size}, but beside val there are {left.sum()} "
            f"images; give at most {left.sum()}."
        )
    taken = quotas(left, config.train_size)
    if not taken.all():
        sizes = range(config.train_size, int(left.sum()) + 1)
        raise UserError(
            f"split.train_size {config.train_size} leaves no image of class "
            f"{brief(repr(names[int(taken.argmin())]))} for training; set "
            f"split.train_size={next(n for n in sizes if quotas(left, n).all())}."
        )
    return dict(zip(names, (taken + more).tolist(), strict=True))


def _val(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    return quotas(counts, round(int(counts.sum()) * fraction))


def _nearest_fraction(counts: NDArray[np.int64], fraction: float) -> float:
    """The one nearest to `fraction`, of tenths, that leaves both parts of every class an image.

    A half always does, where every class has two.
    """
    vals = {tenths / 10: _val(counts, tenths / 10) for tenths in range(1, 10)}
    fit = [f for f, val in vals.items() if val.all() and (counts - val).all()]
    return min(fit, key=lambda f: abs(f - fraction))


def stratified_choice(
    labels: NDArray[np.int64], size: int, bits: np.random.BitGenerator
) -> NDArray[np.int64]:
    """Rising indices of `size` of the labels (N,), each class in its proportion, ±1."""
    keys = np.random.Generator(bits).random(len(labels))
    shuffled_by_class = np.lexsort((keys, labels))
    counts = np.unique(labels, return_counts=True)[1]
    taken = quotas(counts, size)
    place_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = shuffled_by_class[place_in_class < np.repeat(taken, counts)]
    return np.sort(chosen)


def quotas(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How many of each class, that has so many images, are among `size` of all of them."""
    quota = counts * (size / counts.sum())
    taken: NDArray[np.int64] = np.floor(quota).astype(np.int64)
    largest_remainders = np.argsort(taken - quota, kind="stable")
    taken[largest_remainders[: size - taken.sum()]] += 1
    return taken
