"""Images that are read when they are needed: the same batches, trainings and scores."""

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_loader import equal, joined, make

from kd.config import AugmentConfig, TrainConfig
from kd.data import Images
from kd.data.device_loader import SAMPLED, DeviceLoader, statistics
from kd.data.needs import Needs
from kd.data.pixels import AHEAD, CHUNK, Ahead, Resident
from kd.data.stored import Stored
from kd.errors import UserError
from kd.methods import config_class
from kd.training.epoch import CapturedSteps
from kd.training.parallel import Place
from kd.training.trainer import Trainer

CHANGED = AugmentConfig(
    crop_padding=2, flip=0.5, cutout=3, rotation=10.0, brightness=0.2, mixup=0.3, cutmix=1.0
)
USUAL = AugmentConfig(crop_padding=2, flip=0.5)


@dataclass
class Counting:
    """A reader of an array that keeps what it was asked for, and may be slow or broken."""

    images: NDArray[np.uint8]
    asked: list[int] = field(default_factory=list)
    broken: int = -1
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self.images.shape
        return c, h, w

    digest: str | None = None

    @property
    def count(self) -> int:
        return len(self.images)

    @property
    def identity(self) -> str:
        return "counting"

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self.broken in numbers:
            raise UserError(f"picture {self.broken} cannot be read; put it back.")
        time.sleep(self.seconds)
        with self.lock:
            self.asked.extend(numbers.tolist())
        return self.images[numbers]


def stored(images: Images, **more: float) -> tuple[Images, Counting]:
    assert isinstance(images.images, np.ndarray)
    reader = Counting(images.images, **more)  # type: ignore[arg-type]
    lazy = Stored(reader, np.arange(len(images)))
    return replace(images, images=lazy), reader


@pytest.fixture(scope="module")
def noise() -> Images:
    random = np.random.default_rng(0)
    pixels = random.integers(1, 256, (103, 3, 12, 12), np.uint8)
    return Images(pixels, random.integers(0, 5, 103), tuple("abcde"))


def loader(
    images: Images,
    augment: AugmentConfig | None = CHANGED,
    batch_size: int | None = 16,
    **more: Any,
) -> DeviceLoader:
    return make(images, batch_size, augment=augment, **more)


@pytest.mark.parametrize("augment", [None, USUAL, CHANGED, replace(CHANGED, mixup=0.0)])
def test_batches_are_those_of_images_in_memory(
    noise: Images, augment: AugmentConfig | None
) -> None:
    lazy, reader = stored(noise)
    for epoch in range(3):
        reader.asked.clear()
        assert equal(
            list(loader(noise, augment).epoch(epoch)), list(loader(lazy, augment).epoch(epoch))
        )
        times = 2 if augment and augment.mixes else 1
        assert sorted(reader.asked) == sorted([*range(len(noise))] * times)


def test_views_and_partners_are_those_of_images_in_memory(noise: Images) -> None:
    needs = Needs(views=2, partner=True)
    pairs = zip(
        loader(noise, USUAL, needs=needs).epoch(1),
        loader(stored(noise)[0], USUAL, needs=needs).epoch(1),
        strict=True,
    )
    for one, two in pairs:
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.views[0], two.views[0])
        assert one.partners is not None
        assert two.partners is not None
        assert torch.equal(one.partners, two.partners)


@pytest.mark.parametrize("world", [2, 3])
def test_workers_read_their_own_parts(noise: Images, world: int) -> None:
    one = list(loader(noise).epoch(2))
    lazy = [stored(noise) for _ in range(world)]
    each = [loader(own, shard=(r, world)).epoch(2) for r, (own, _) in enumerate(lazy)]
    assert equal(one, [joined(parts) for parts in zip(*each, strict=True)])
    # Each its own images, and their mates, which may be another's.
    assert sum(len(reader.asked) for _, reader in lazy) == 2 * len(noise)


def test_they_are_read_ahead_of_need_and_no_further(noise: Images) -> None:
    lazy, reader = stored(noise)
    made = loader(lazy, USUAL)
    batches = made.epoch(0)
    next(batches)
    end = time.monotonic() + 60
    while len(reader.asked) < (1 + AHEAD) * 16 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(reader.asked) == (1 + AHEAD) * 16


def test_an_epoch_that_is_left_reads_nothing_more(noise: Images) -> None:
    lazy, reader = stored(noise, seconds=0.01)
    made = loader(lazy, USUAL)
    next(made.epoch(0))
    assert equal(list(made.epoch(1)), list(loader(noise, USUAL).epoch(1)))
    assert len(reader.asked) <= (1 + AHEAD + 1) * 16 + len(noise)


def test_an_image_that_cannot_be_read_is_said_where_it_is_needed(noise: Images) -> None:
    lazy, _ = stored(noise, broken=7)
    with pytest.raises(UserError, match="picture 7 cannot be read; put it back"):
        list(loader(lazy, USUAL).epoch(0))


def test_steps_may_be_fetched_again_and_out_of_order(noise: Images) -> None:
    lazy, _ = stored(noise)
    one, two = loader(noise, USUAL), loader(lazy, USUAL)
    order = two.order(0)
    two.begin(order)
    for step in (0, 0, 2, 1, 6):
        two.fetch(step)
        mine = two.take(order, two.slices[step])
        assert torch.equal(mine.images, one.take(one.order(0), one.slices[step]).images)


def test_looking_at_all_is_the_same(noise: Images) -> None:
    for shard in ((0, 1), (1, 2)):
        one = loader(noise, None, shard=shard, batch_size=None)
        two = loader(stored(noise)[0], None, shard=shard, batch_size=None)
        assert equal(list(one.evaluate(10)), list(two.evaluate(10)))


def test_they_are_normalised_alike(noise: Images) -> None:
    assert statistics(stored(noise)[0]) == statistics(noise)
    assert len(noise) > CHUNK


def test_of_very_many_a_part_tells_how_they_are_normalised(
    noise: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kd.data.device_loader.SAMPLED", 50)
    lazy, reader = stored(noise)
    mean, _ = statistics(lazy)
    assert len(reader.asked) == 50
    assert reader.asked[0] == 0
    assert reader.asked[-1] == 102
    assert mean == pytest.approx(statistics(noise)[0], abs=0.02)
    assert SAMPLED == 10_000


def test_a_part_of_them_stays_unread(noise: Images) -> None:
    lazy, reader = stored(noise)
    part = lazy.subset(np.array([5, 3, 100]))
    assert part.images.shape == (3, 3, 12, 12)
    assert part.labels.tolist() == noise.labels[[5, 3, 100]].tolist()
    assert part.whole == lazy.digest
    assert lazy.digest != part.digest
    assert not reader.asked
    assert isinstance(part.images, Stored)
    assert isinstance(noise.images, np.ndarray)
    assert np.array_equal(part.images.read(np.array([0, 2])), noise.images[[5, 100]])
    assert (part.size, part.images.nbytes) == ((12, 12), 0)


def test_where_pixels_come_from_is_chosen_by_what_they_are(noise: Images) -> None:
    assert isinstance(loader(noise).pixels, Resident)
    assert isinstance(loader(stored(noise)[0]).pixels, Ahead)


def run(config: TrainConfig, images: Images, *, captured: bool = False) -> Trainer:
    def called(body):  # type: ignore[no-untyped-def]
        with torch.random.fork_rng(devices=[]):
            body()
        return body

    trainer = Trainer(config, images, images, place=Place.local("cpu"))
    if captured:
        trainer._steps = CapturedSteps(trainer._step, trainer.loader, called)
    trainer.fit()
    return trainer


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("method", ["ce", "pskd", "ddgsd", "lsskd"])
def test_a_training_is_the_same(noise: Images, method: str, captured: bool) -> None:
    augment = CHANGED if config_class(method).takes_mixed else USUAL
    config = TrainConfig.paper(
        method, "resnet8", "digits", epochs=2, batch_size=16, augment=augment
    )
    one = run(config, noise, captured=captured)
    two = run(config, stored(noise)[0], captured=captured)
    for a, b in zip(one.history, two.history, strict=True):
        assert {k: v for k, v in a.items() if "seconds" not in k} == {
            k: v for k, v in b.items() if "seconds" not in k
        }
    for a_weight, b_weight in zip(
        one.student.state_dict().values(), two.student.state_dict().values(), strict=True
    ):
        assert torch.equal(a_weight, b_weight)


def test_trying_out_a_few_steps_leaves_the_loader_ready(noise: Images) -> None:
    config = TrainConfig.paper("ce", "resnet8", "digits", epochs=1, batch_size=16, augment=USUAL)
    trainer = Trainer(config, stored(noise)[0], noise, place=Place.local("cpu"))
    trainer.try_out(2)
    fresh = Trainer(config, noise, noise, place=Place.local("cpu"))
    fresh.try_out(2)
    assert trainer.fit()["train_loss"] == fresh.fit()["train_loss"]
