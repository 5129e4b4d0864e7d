"""Batches of images: from one uint8 tensor on the device, or of what is read ahead of need."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kd.data.augment import Draws, at, augmented, middle
from kd.data.batch import Batch
from kd.data.config import AugmentConfig, check_batches
from kd.data.images import Images
from kd.data.mixing import Mixes, mix_images, mix_labels
from kd.data.needs import Needs
from kd.data.pixels import CHUNK, Ahead, Pixels, Resident
from kd.data.stored import Stored

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of every channel, of pixels in 0 … 1."""

STEPS, PARTNERS, MIXES, VIEWS = 1, 2, 3, 10
"""The purposes of chance beside an epoch's order: what a network and a loss draw in their steps,
partners, with whom images are mixed, and views from the second on."""


SAMPLED = 10_000
"""Images by which those that are stored elsewhere are normalised."""


class Look(NamedTuple):
    """Which image is taken at each place of an epoch, (N,) int64, and what chance does to it."""

    indices: Tensor
    draws: Draws | None

    def tensors(self) -> list[Tensor]:
        """All of it, on the device."""
        return [self.indices, *(self.draws.tensors() if self.draws else ())]


class Order(NamedTuple):
    """In what order an epoch takes the images, in as many looks as a method needs.

    The first are views of the same images; the last one is of their partners, if they have any.
    `mixes` says with whom images are mixed, if they are.
    """

    looks: tuple[Look, ...]
    mixes: Mixes | None = None

    @property
    def indices(self) -> Tensor:
        """The images of the epoch, (N,) int64."""
        return self.looks[0].indices

    def tensors(self) -> list[Tensor]:
        """All of it, on the device."""
        return [*(tensor for look in self.looks for tensor in look.tensors()), *(self.mixes or ())]


class DeviceLoader:
    """Shuffled, augmented, normalised batches of a training set; or the same images in order.

    Epoch e is a function of (seed, e) alone, and the same on every kind of device: a resumed
    run needs no loader state. `batch_size` counts the images of all workers: `shard` (rank,
    world) says which part of every batch is this worker's, so that together the workers see
    exactly the batches that one worker alone would see. The last batch is short, but with
    fewer than two images a worker (too few for BatchNorm) it joins the one before.
    `batch_size` None is for images that are only evaluated.

    `needs` says what a batch holds beside images, labels and indices. `seen` is the size (H, W) of
    what a network sees of images that are not augmented: the middle of them.

    `slices` says, step by step, which places of the epoch's order are this worker's, and
    `weights` how many images this worker's part holds for every image of
    an equal share: 1.0 where the workers share the batch equally.

    Raises UserError for a batch, or a training set, of fewer than two images a worker.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int | None,
        *,
        augment: AugmentConfig | None,
        statistics: Statistics,
        device: torch.device | str,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
        needs: Needs | None = None,
        seen: tuple[int, int] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.augment = augment
        self.needs = needs or Needs()
        self.seed = seed
        self.pixels = _pixels(images, self.device)
        self.labels = _tensor(images.labels, self.device)
        mean, std = torch.tensor(statistics, device=self.device).view(2, 1, -1, 1, 1)
        self._scale, self._offset = 1 / (255 * std), -mean / std
        self.shard = rank, world = shard
        self.num_classes = len(images.class_names)
        self.size = images.size
        self.seen = seen or (augment.seen(self.size) if augment else self.size)
        batches = [] if batch_size is None else _batches(len(images), batch_size, world)
        self._batches = batches
        self.slices = [_part(batch, rank, world) for batch in batches]
        self.weights = [
            world * (part.stop - part.start) / (batch.stop - batch.start)
            for part, batch in zip(self.slices, batches, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.slices)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of `epoch`, counted from 0, in a new order."""
        order = self.order(epoch)
        self.begin(order)
        for step, where in enumerate(self.slices):
            self.fetch(step)
            yield self.take(order, where)

    def order(self, epoch: int) -> Order:
        """What chance decides for `epoch`, on the device."""
        generator = _generator(self.seed, epoch)
        order = torch.randperm(len(self.labels), generator=generator)
        # Chance of its own for each further look: the first one stays what it is without them.
        views = [_generator(self.seed, epoch, VIEWS + n) for n in range(1, self.needs.views)]
        looks = [self._look(order, source) for source in (generator, *views)]
        if self.needs.partner:
            source = _generator(self.seed, epoch, PARTNERS)
            looks.append(self._look(self._partners(order, source), source))
        return Order(tuple(looks), self._mixes(epoch))

    def begin(self, order: Order) -> None:
        """Begin an epoch: what is stored elsewhere is read ahead in its order."""
        if isinstance(self.pixels, Resident):
            return
        looks = [look.indices.cpu().numpy() for look in order.looks]
        steps = [[look[part] for look in looks] for part in self.slices]
        if order.mixes is not None:
            mates = order.mixes.mates.cpu().numpy()
            for step, part in zip(steps, self.slices, strict=True):
                step.append(looks[0][mates[part]])
        self.pixels.begin(steps)

    def fetch(self, step: int) -> None:
        """See that the images of step number `step` are there, before they are taken."""
        self.pixels.fetch(step)

    def take(self, order: Order, where: slice | Tensor) -> Batch:
        """The images at some places of `order`, augmented; waits for nothing on the device.

        They are those of the step that was fetched.
        """
        indices = at(order.indices, where)
        images = [self._seen(n, look, where) for n, look in enumerate(order.looks)]
        partners = images.pop() if self.needs.partner else None
        labels = self.labels.index_select(0, indices)
        if order.mixes is not None:
            mixes = order.mixes.take(where)
            mates = at(order.indices, mixes.mates)
            others = self.pixels.take(len(order.looks), mates)
            draws = order.looks[0].draws
            others = self._finish(others, draws.take(mixes.mates) if draws else None)
            its = self.labels.index_select(0, mates)
            images[0] = mix_images(images[0], others, mixes)
            labels = mix_labels(labels, its, mixes, self.num_classes)
        return Batch(images[0], labels, indices, tuple(images[1:]), partners)

    def _mixes(self, epoch: int) -> Mixes | None:
        if self.augment is None or not self.augment.mixes:
            return None
        seed = mixed_seed(self.seed, epoch, 0, MIXES)
        return Mixes.make(self.augment, self._batches, self.seen, seed).to(self.device)

    def _look(self, indices: Tensor, generator: torch.Generator) -> Look:
        draws = None
        if self.augment is not None:
            draws = Draws.make(self.augment, len(self.labels), self.size, generator)
            draws = draws.to(self.device)
        return Look(indices.to(self.device, non_blocking=True), draws)

    def _seen(self, number: int, look: Look, where: slice | Tensor) -> Tensor:
        images = self.pixels.take(number, at(look.indices, where))
        return self._finish(images, look.draws.take(where) if look.draws else None)

    def _partners(self, order: Tensor, generator: torch.Generator) -> Tensor:
        """For each of `order` (N,) another image of its class; itself, where it is the only one."""
        labels = self.labels.cpu()
        by_class = labels.argsort(stable=True)
        counts = labels.bincount()
        first = counts.cumsum(0) - counts
        place = torch.empty_like(labels)
        place[by_class] = torch.arange(len(labels))
        label = labels[order]
        others = (counts[label] - 1).clamp(min=1)
        # Steps round the class from the image's own place: any number but none, or the whole.
        ahead = 1 + (torch.rand(len(order), generator=generator) * others).long()
        return by_class[first[label] + (place[order] - first[label] + ahead) % counts[label]]

    def evaluate(self, batch_size: int) -> Iterator[Batch]:
        """This worker's part of all images, in their own order, not augmented."""
        indices = torch.arange(len(self.labels), device=self.device)
        part = _part(slice(0, len(indices)), *self.shard)
        for where, images in self.pixels.parts(part, batch_size):
            yield Batch(self._finish(images, None), self.labels[where], indices[where])

    def _finish(self, images: Tensor, draws: Draws | None) -> Tensor:
        """Augment and normalise (B, C, H, W) uint8 to float32."""
        if self.augment is None or draws is None:
            images = middle(images, self.seen)
            return images.float().mul_(self._scale).add_(self._offset)
        return augmented(images, draws, self.augment, self._scale, self._offset)


def statistics(images: Images) -> Statistics:
    """What normalises the images; a channel that never varies gets deviation 1.

    Of images that are stored elsewhere it goes by `SAMPLED` of them, evenly taken.
    """
    values, pixels = np.arange(256) / 255, images.images
    parts: Iterable[np.ndarray] = (pixels,) if isinstance(pixels, np.ndarray) else ()
    if isinstance(pixels, Stored):
        chosen = np.linspace(0, len(images) - 1, min(len(images), SAMPLED)).round().astype(np.int64)
        parts = (pixels.read(chosen[n : n + CHUNK]) for n in range(0, len(chosen), CHUNK))
    counts = np.zeros((pixels.shape[1], 256))
    for part in parts:
        for channel in range(len(counts)):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    mean, std = [], []
    for count in counts:
        mean.append(float(np.average(values, weights=count)))
        variance = float(np.average((values - mean[-1]) ** 2, weights=count))
        std.append(variance**0.5 or 1.0)
    return tuple(mean), tuple(std)


def _pixels(images: Images, device: torch.device) -> Pixels:
    if isinstance(images.images, Stored):
        return Ahead(images.images, device, torch.get_num_threads())
    return Resident(_tensor(images.images, device))


def _batches(count: int, batch_size: int, world: int) -> list[slice]:
    """The places in the epoch's order that all workers together take, step by step."""
    check_batches(count, batch_size, world)
    edges = [*range(0, count, batch_size), count]
    if len(edges) > 2 and edges[-1] - edges[-2] < 2 * world:
        del edges[-2]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _part(batch: slice, rank: int, world: int) -> slice:
    """The places of `batch` that are worker `rank`'s."""
    start, count = batch.start, batch.stop - batch.start
    return slice(start + count * rank // world, start + count * (rank + 1) // world)


def mixed_seed(seed: int, epoch: int, rank: int = 0, purpose: int = 0) -> int:
    """One 64-bit seed for all of them, so that no two epochs, workers or purposes share one."""
    words = (seed, epoch, rank, purpose) if purpose else (seed, epoch, rank)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def _generator(seed: int, epoch: int, purpose: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(mixed_seed(seed, epoch, 0, purpose))


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # An array that another process shares is read-only, and is only read here.
        warnings.filterwarnings("ignore", message=".*not writable", category=UserWarning)
        return torch.from_numpy(array).to(device)
