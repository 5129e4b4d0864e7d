import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kd.config import AugmentConfig
from kd.data import Images, open_dataset
from kd.data.augment import Draws, crop, cutout, flip, rotate4
from kd.data.device_loader import DeviceLoader, Statistics, mixed_seed, statistics
from kd.data.needs import Needs
from kd.errors import UserError
from kd.methods.base import Batch

AS_IS: Statistics = ((0.0,) * 3, (1 / 255,) * 3)
"""With these statistics a normalised pixel is the byte itself."""


@pytest.fixture(scope="module")
def noise() -> Images:
    """103 images of 3×10×12, no two pixels' neighbourhoods alike."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(1, 256, (103, 3, 10, 12), np.uint8)
    return Images(pixels, generator.integers(0, 5, 103), tuple("abcde"))


def make(
    images: Images,
    batch_size: int | None = 16,
    *,
    augment: AugmentConfig | None = None,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
    needs: Needs | None = None,
) -> DeviceLoader:
    return DeviceLoader(
        images,
        batch_size,
        augment=augment,
        statistics=AS_IS,
        device="cpu",
        seed=seed,
        shard=shard,
        needs=needs,
    )


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y)
        for p, q in zip(a, b, strict=True)
        for x, y in zip(p[:3], q[:3], strict=True)
    )


def joined(batches: Sequence[Batch]) -> Batch:
    return Batch(*(torch.cat([batch[n] for batch in batches]) for n in range(3)))


ALL = AugmentConfig(crop_padding=2, flip=0.5, cutout=3)


# -- the loader -------------------------------------------------------------------------------


def test_an_epoch_holds_every_image_once_with_its_label_and_index(noise: Images) -> None:
    batches = list(make(noise).epoch(0))
    order = torch.cat([b.indices for b in batches])
    assert order.tolist() != list(range(103))
    assert sorted(order.tolist()) == list(range(103))
    images = torch.cat([b.images for b in batches])
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, torch.from_numpy(noise.images)[order].float())
    assert torch.equal(
        torch.cat([b.labels for b in batches]), torch.from_numpy(noise.labels)[order]
    )


def test_an_epoch_is_a_function_of_seed_and_epoch(noise: Images) -> None:
    loader = make(noise, augment=ALL, seed=3)
    third = list(loader.epoch(2))
    list(loader.epoch(0))
    assert equal(third, list(loader.epoch(2)))
    assert equal(third, list(make(noise, augment=ALL, seed=3).epoch(2)))
    assert not equal(third, list(loader.epoch(3)))
    assert not equal(third, list(make(noise, augment=ALL, seed=2).epoch(3)))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("batch_size", [12, 16, 17, 50])
def test_workers_together_see_what_one_sees(noise: Images, world: int, batch_size: int) -> None:
    alone = make(noise, batch_size, augment=ALL)
    workers = [make(noise, batch_size, augment=ALL, shard=(r, world)) for r in range(world)]
    together = []
    for parts in zip(*(worker.epoch(1) for worker in workers), strict=True):
        sizes = [len(part.labels) for part in parts]
        assert min(sizes) >= 2
        assert max(sizes) - min(sizes) <= 1
        together.append(joined(parts))
    whole = list(alone.epoch(1))
    # A last batch too small for several workers joins the one before.
    assert equal([joined(whole)], [joined(together)])
    assert equal(whole[: len(together) - 1], together[:-1])


@pytest.mark.parametrize(
    ("count", "batch_size", "world", "sizes"),
    [
        (32, 16, 1, [16, 16]),
        (40, 16, 1, [16, 16, 8]),
        (34, 16, 1, [16, 16, 2]),
        (33, 16, 1, [16, 17]),
        (35, 16, 2, [8, 9]),
        (36, 16, 2, [8, 8, 2]),
        (10, 16, 1, [10]),
        (2, 16, 1, [2]),
        (4, 16, 2, [2]),
    ],
)
def test_a_last_batch_too_small_for_batchnorm_joins_the_one_before(
    noise: Images, count: int, batch_size: int, world: int, sizes: list[int]
) -> None:
    loader = make(noise.subset(np.arange(count)), batch_size, shard=(0, world))
    assert [len(b.labels) for b in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


def test_a_batch_too_small_for_its_workers_is_refused(noise: Images) -> None:
    with pytest.raises(UserError, match="batch_size is 7; it must be at least 8"):
        make(noise, 7, shard=(0, 4))


@pytest.mark.parametrize(("count", "world", "least"), [(1, 1, 2), (3, 2, 4)])
def test_too_few_images_for_batchnorm_are_refused(
    noise: Images, count: int, world: int, least: int
) -> None:
    with pytest.raises(UserError, match=f"too few, {count}; give at least {least}, two for every"):
        make(noise.subset(np.arange(count)), shard=(0, world))


def test_a_single_image_is_enough_to_evaluate(noise: Images) -> None:
    one = noise.subset(np.arange(1))
    loader = DeviceLoader(one, None, augment=None, statistics=AS_IS, device="cpu")
    assert [b.indices.tolist() for b in loader.evaluate(16)] == [[0]]


def test_evaluation_is_in_order_and_not_augmented(noise: Images) -> None:
    batches = list(make(noise, augment=ALL).evaluate(50))
    assert [len(b.labels) for b in batches] == [50, 50, 3]
    assert torch.cat([b.indices for b in batches]).tolist() == list(range(103))
    images = torch.cat([b.images for b in batches])
    torch.testing.assert_close(images, torch.from_numpy(noise.images).float())
    assert torch.equal(torch.cat([b.labels for b in batches]), torch.from_numpy(noise.labels))


def test_normalised_images_have_mean_0_and_deviation_1() -> None:
    train = open_dataset("digits").train
    loader = DeviceLoader(
        train, 64, augment=None, statistics=statistics(train), device="cpu", seed=0
    )
    images = torch.cat([b.images for b in loader.epoch(0)]).double()
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std().item() == pytest.approx(1, abs=1e-4)


def test_statistics_are_per_channel_and_survive_an_even_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 5, 5), np.uint8)
    pixels[:, 1] = 51
    mean, std = statistics(Images(pixels, np.zeros(20, np.int64), ("a",)))
    expected = pixels / 255
    assert mean == pytest.approx(expected.mean((0, 2, 3)))
    assert std == pytest.approx([expected[:, 0].std(), 1, expected[:, 2].std()])


def test_read_only_arrays_are_taken_without_a_warning(noise: Images) -> None:
    images, labels = noise.images.copy(), noise.labels.copy()
    images.flags.writeable = labels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader = make(Images(images, labels, noise.class_names), augment=ALL)
    before = images.copy()
    list(loader.epoch(0))
    assert np.array_equal(images, before)


# -- augmentation -----------------------------------------------------------------------------


def test_every_training_image_is_a_window_of_its_padded_original(noise: Images) -> None:
    config = AugmentConfig(crop_padding=2, flip=0.5)
    padded = np.pad(noise.images, ((0, 0), (0, 0), (2, 2), (2, 2))).astype(np.float32)
    seen = set()
    for epoch in range(10):
        for images, _, indices, *_ in make(noise, augment=config).epoch(epoch):
            for image, index in zip(images.round().numpy(), indices.tolist(), strict=True):
                matches = {
                    (y, x, mirrored)
                    for y in range(5)
                    for x in range(5)
                    for mirrored in (False, True)
                    if np.array_equal(
                        image[..., ::-1] if mirrored else image,
                        padded[index, :, y : y + 10, x : x + 12],
                    )
                }
                assert len(matches) == 1
                seen |= matches
    assert len(seen) == 5 * 5 * 2


def test_draws_are_even_and_independent_of_what_is_switched_on() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = Draws.make(ALL, 100_000, (10, 12), generator)
    for column, values in ((draws.shifts[:, 0], 5), (draws.shifts[:, 1], 5)):
        shares = torch.bincount(column) / len(column)
        torch.testing.assert_close(shares, torch.full((values,), 1 / values), atol=0.01, rtol=0)
    assert draws.flips.float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert draws.centres.amin(0).tolist() == [0, 0]
    assert draws.centres.amax(0).tolist() == [9, 11]
    plain = Draws.make(
        AugmentConfig(crop_padding=2, flip=0), 100_000, (10, 12), generator.manual_seed(0)
    )
    assert torch.equal(plain.shifts, draws.shifts)
    assert not plain.flips.any()


@pytest.fixture
def batch() -> Tensor:
    return torch.randint(1, 256, (6, 3, 8, 10), dtype=torch.uint8)


def test_crop(batch: Tensor) -> None:
    shifts = torch.tensor([[0, 0], [6, 6], [3, 3], [0, 6], [6, 0], [1, 4]])
    padded = torch.nn.functional.pad(batch, (3, 3, 3, 3))
    expected = [
        image[:, y : y + 8, x : x + 10]
        for image, (y, x) in zip(padded, shifts.tolist(), strict=True)
    ]
    assert torch.equal(crop(batch, shifts, 3), torch.stack(expected))
    assert torch.equal(crop(batch, torch.full((6, 2), 3), 3), batch)


def test_flip(batch: Tensor) -> None:
    flags = torch.tensor([True, False, True, True, False, False])
    expected = [image.flip(-1) if f else image for image, f in zip(batch, flags, strict=True)]
    assert torch.equal(flip(batch, flags), torch.stack(expected))


@pytest.mark.parametrize("size", [3, 4])
def test_cutout_reaches_over_the_edge_and_touches_nothing_else(batch: Tensor, size: int) -> None:
    centres = torch.tensor([[0, 0], [7, 9], [4, 5], [0, 9], [2, 2], [7, 0]])
    expected = batch.float()
    for image, (y, x) in zip(expected, centres.tolist(), strict=True):
        top, left = y - size // 2, x - size // 2
        image[:, max(top, 0) : top + size, max(left, 0) : left + size] = 0
    assert torch.equal(cutout(batch.float(), centres, size), expected)


def test_the_loader_cuts_out_after_normalising(noise: Images) -> None:
    centred: Statistics = ((0.5,) * 3, (0.25,) * 3)
    loader = DeviceLoader(
        noise,
        16,
        augment=AugmentConfig(crop_padding=0, flip=0, cutout=3),
        statistics=centred,
        device="cpu",
    )
    for images, _, indices, *_ in loader.epoch(0):
        plain = (torch.from_numpy(noise.images)[indices] / 255 - 0.5) / 0.25
        kept = images != 0
        torch.testing.assert_close(images[kept], plain[kept], atol=1e-5, rtol=0)
        holes = (~kept).all(dim=1).sum(dim=(1, 2))
        assert holes.min() >= 4
        assert holes.max() <= 9


def test_rotations_are_quarter_turns_sample_by_sample() -> None:
    images = torch.randn(3, 2, 5, 5)
    views = rotate4(images)
    assert views.shape == (12, 2, 5, 5)
    for i in range(3):
        view = images[i]
        for j in range(4):
            assert torch.equal(views[4 * i + j], view)
            view = view.transpose(1, 2).flip(1)  # counter-clockwise


def test_oblong_images_cannot_be_turned() -> None:
    with pytest.raises(UserError, match="8×10 pixels cannot be turned"):
        rotate4(torch.zeros(1, 3, 8, 10))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_workers_evaluate_every_image_once(world: int, noise: Images) -> None:
    loaders = [make(noise, shard=(rank, world)) for rank in range(world)]
    seen = [batch.indices for loader in loaders for batch in loader.evaluate(16)]
    assert torch.cat(seen).tolist() == list(range(len(noise)))


def test_a_stream_of_chance_is_a_ranks_own() -> None:
    seeds = {mixed_seed(s, e, r) for s in range(3) for e in range(3) for r in range(3)}
    assert len(seeds) == 27
    assert mixed_seed(5, 2) == mixed_seed(5, 2, 0), "one worker alone is the first of several"


# -- what a method needs of a batch ----------------------------------------------------------------


def needing(images: Images, shard: tuple[int, int] = (0, 1), **needs: Any) -> DeviceLoader:
    return DeviceLoader(
        images,
        16,
        augment=ALL,
        statistics=AS_IS,
        device="cpu",
        seed=3,
        shard=shard,
        needs=Needs(**needs),
    )


def test_more_looks_leave_the_first_one_as_it_is(noise: Images) -> None:
    plain = list(make(noise, augment=ALL, seed=3).epoch(1))
    assert equal(plain, list(needing(noise, views=3, partner=True).epoch(1)))


def test_each_view_is_the_same_image_by_chance_of_its_own(noise: Images) -> None:
    loader = needing(noise, views=3)
    looks = loader.order(0).looks
    assert all(torch.equal(look.indices, looks[0].indices) for look in looks)
    for batch in loader.epoch(0):
        assert len(batch.views) == 2
        seen = [batch.images, *batch.views]
        assert not any(torch.equal(a, b) for a, b in combinations(seen, 2))
    assert batch.partners is None


def test_a_partner_is_another_image_of_the_class_and_each_is_as_likely() -> None:
    labels = np.array([0] * 5 + [1] * 2 + [2] * 3 + [4])
    images = Images(np.zeros((11, 3, 8, 8), np.uint8), labels, tuple("abcde"))
    loader = needing(images, partner=True)
    chosen: Counter[tuple[int, int]] = Counter()
    for epoch in range(400):
        first, partners = loader.order(epoch).looks
        chosen.update(zip(first.indices.tolist(), partners.indices.tolist(), strict=True))
    assert all(labels[a] == labels[b] for a, b in chosen)
    # The only image of its class has none but itself.
    assert [pair for pair in chosen if pair[0] == pair[1]] == [(10, 10)]
    of_first = [chosen[0, other] for other in range(1, 5)]
    assert sum(of_first) == 400
    assert min(of_first) > 70


def test_workers_share_views_and_partners(noise: Images) -> None:
    whole = next(needing(noise, views=2, partner=True).epoch(2))
    parts = [next(needing(noise, (rank, 2), views=2, partner=True).epoch(2)) for rank in (0, 1)]
    assert whole.partners is not None
    assert torch.equal(torch.cat([part.partners for part in parts]), whole.partners)
    assert torch.equal(torch.cat([part.views[0] for part in parts]), whole.views[0])


@pytest.mark.parametrize(
    ("needs", "sentence"),
    [
        (Needs(partner=True), "takes two images of a class at a time, and class 'b' has one"),
        (Needs(square=True), "turns images by quarters, and these have 4×5 pixels"),
        (Needs(others=True), "with those of other classes, and all of these are of one"),
    ],
)
def test_images_that_cannot_serve_are_refused(needs: Needs, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        needs.check("cskd", (4, 5), {"a": 0, "b": 1, "c": 0})
    needs.check("cskd", (4, 4), {"a": 2, "b": 2, "c": 0})
