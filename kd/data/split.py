"""How val is cut from the training set: stratified by class, the same for the same seed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kd.data.config import SplitConfig
from kd.data.images import DatasetInfo, Images
from kd.errors import UserError, brief

Cut = Callable[[Images, SplitConfig], tuple[Images, Images]]
"""`train_val`, or what does the same."""


def train_val(images: Images, config: SplitConfig) -> tuple[Images, Images]:
    """The images to train on and to validate on, which do not overlap but for `train_on_val`.

    val depends on `val_fraction` or `val_per_class`, and `seed` alone, so few-shot settings share
    it; a val set that comes with the images is val as it is. UserError as of `check_split`.
    """
    own = images.val
    shares = _shares(images.counts, config, None if own is None else own.counts)
    bits, train = np.random.PCG64(config.seed), np.arange(len(images))
    few = config.train_size is not None or config.fraction is not None
    if own is None:
        val = choice(images.labels, shares.val, bits)
        train = np.setdiff1d(train, val)
    if few:
        train = train[choice(images.labels[train], shares.train, bits)]
    if own is not None:
        # All of them need no copy, which may be as large as what is left of the memory.
        learnt = images.subset(train) if few else replace(images, whole=images.digest, val=None)
        own = replace(own, whole=images.digest)
        return learnt.joined(own) if config.train_on_val else learnt, own
    if config.train_on_val:
        train = np.union1d(train, val)
    return images.subset(train), images.subset(val)


def check_split(
    counts: Mapping[str, int], config: SplitConfig, own: Mapping[str, int] | None = None
) -> dict[str, int]:
    """How many images of every class there are to train on, of so many in all, by its name.

    `own` are those of a val set that comes with them. UserError where a class that has images
    would be left without one, for training or for val, or `train_size` is more than what is left
    beside val.
    """
    shares = _shares(counts, config, own)
    trained = dict(zip(shares.names, shares.train.tolist(), strict=True))
    if not config.train_on_val:
        return trained
    more = own or dict(zip(shares.names, shares.val.tolist(), strict=True))
    return {name: count + more[name] for name, count in trained.items()}


def remarks(info: DatasetInfo, config: SplitConfig) -> list[str]:
    """What a person should know of where the sets come from, and how small classes are cut."""
    most, counts, told = config.val_per_class, info.counts, list(info.notes)
    if most is None or info.val is not None:
        return told
    small = [name for name, count in counts.items() if 1 < count < 2 * most]
    alone = [name for name, count in counts.items() if count == 1]
    if small:
        told.append(
            f"val has fewer than {most} images of {_some(small)}: half of what there are, so that "
            "the rest is trained on."
        )
    if alone:
        told.append(f"val has no image of {_some(alone)}: the only one is trained on.")
    return told


def _some(names: list[str]) -> str:
    """Classes by their number, and the first by its name."""
    first = brief(repr(names[0]))
    return f"class {first}" if len(names) == 1 else f"{len(names)} classes ({first}, …)"


class _Shares(NamedTuple):
    """Of the classes that have images: how many of each are val, and how many to train on."""

    names: list[str]
    val: NDArray[np.int64]
    train: NDArray[np.int64]


def _shares(
    counts: Mapping[str, int], config: SplitConfig, own: Mapping[str, int] | None
) -> _Shares:
    """UserError as of `check_split`."""
    present = {name: count for name, count in counts.items() if count}
    names, number = list(present), np.array(list(present.values()), np.int64)
    if own is not None:
        _check_uncut(config)
        val = np.zeros_like(number)
    elif config.val_per_class is not None:
        val = np.minimum(number // 2, config.val_per_class)
        if not val.any():
            raise UserError(
                "No class has a second image, so that none is left for val; add images, or give a "
                "val set: images.val: DIR in a file (--val DIR in a search)."
            )
    else:
        val = _checked_val(names, number, config)
    return _Shares(names, val, _trained(names, number - val, config))


def _check_uncut(config: SplitConfig) -> None:
    """Raise UserError for what says how val is cut, where it is not."""
    for name in ("val_fraction", "val_per_class"):
        if (value := getattr(config, name)) != getattr(SplitConfig, name):
            raise UserError(
                f"split.{name} is {value}, but these images have a val set of their own, so none "
                "is cut; leave it away."
            )


def _checked_val(
    names: list[str], number: NDArray[np.int64], config: SplitConfig
) -> NDArray[np.int64]:
    """How many of each class are val, by `val_fraction`; every class is on both sides."""
    if number.min(initial=2) < 2:
        raise UserError(
            f"Class {brief(repr(names[int(number.argmin())]))} has one image, and training and val "
            "need one each; add images of it, leave the class out, or train on it alone by "
            "split.val_per_class (--val-per-class N)."
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
    return val


def _trained(names: list[str], left: NDArray[np.int64], config: SplitConfig) -> NDArray[np.int64]:
    """How many of each class are trained on, of those that val leaves."""
    if config.fraction is not None:
        kept = quotas(left, round(int(left.sum()) * config.fraction))
        return np.maximum(kept, np.minimum(left, 1))
    if config.train_size is None:
        return left
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
    return taken


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
    return choice(labels, quotas(np.unique(labels, return_counts=True)[1], size), bits)


def choice(
    labels: NDArray[np.int64], taken: NDArray[np.int64], bits: np.random.BitGenerator
) -> NDArray[np.int64]:
    """Rising indices of so many of the labels (N,) as are `taken` of each class that is there."""
    keys = np.random.Generator(bits).random(len(labels))
    shuffled_by_class = np.lexsort((keys, labels))
    counts = np.unique(labels, return_counts=True)[1]
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
