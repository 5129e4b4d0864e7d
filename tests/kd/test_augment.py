"""Augmentation beyond crop, flip and cutout: against torchvision's, and what mixing does."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_loader import equal, joined, make
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as V

from kd.cases import Case
from kd.config import AugmentConfig, TrainConfig
from kd.data import Images
from kd.data.augment import Draws, middle, resized_crop, rotate
from kd.data.colours import colour
from kd.data.device_loader import DeviceLoader
from kd.data.mixing import Mixes, mix_images, mix_labels
from kd.errors import UserError
from kd.methods import config_class, method_names
from kd.training.parallel import Place
from kd.training.trainer import Trainer

NONE = AugmentConfig(crop_padding=0, flip=0)
PLAIN: tuple[tuple[float, ...], tuple[float, ...]] = ((0.0,) * 3, (1 / 255,) * 3)
EVERYTHING = AugmentConfig(
    crop_padding=0, crop_size=8, flip=0.5, cutout=3, rotation=15, brightness=0.4, contrast=0.4,
    saturation=0.4, mixup=0.2, cutmix=1.0, trivial_augment=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def noise() -> Images:
    random = np.random.default_rng(0)
    pixels = random.integers(1, 256, (45, 3, 12, 10), np.uint8)
    return Images(pixels, random.integers(0, 5, 45), tuple("abcde"))


@pytest.fixture
def batch() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 3, 14, 10), generator=generator).float()


def test_rotation_is_torchvision_s(batch: Tensor) -> None:
    degrees = [0.0, 15.0, -15.0, 7.3, 90.0, 180.0]
    turned = rotate(batch, torch.tensor([math.radians(d) for d in degrees]))
    expected = [
        V.rotate(image, d, InterpolationMode.BILINEAR)
        for image, d in zip(batch, degrees, strict=True)
    ]
    torch.testing.assert_close(turned, torch.stack(expected), atol=0.02, rtol=0)


def test_a_resized_part_is_torchvision_s(batch: Tensor) -> None:
    boxes = [
        (0, 0, 14, 10),
        (2, 3, 4, 5),
        (5, 0, 9, 7),
        (0, 9, 14, 1),
        (13, 0, 1, 10),
        (1, 1, 8, 8),
    ]
    found = resized_crop(batch, torch.tensor(boxes, dtype=torch.float32), 8)
    for image, ours, box in zip(batch, found, boxes, strict=True):
        # Beyond the part's edge torchvision repeats its last pixel, and here the image goes on.
        theirs = V.resized_crop(image, *box, [8, 8], InterpolationMode.BILINEAR, antialias=False)
        inner = slice(1, -1) if box[2] > 1 and box[3] > 1 else slice(0, 0)
        torch.testing.assert_close(
            ours[:, inner, inner], theirs[:, inner, inner], atol=1, rtol=0.02
        )
    whole = resized_crop(batch[..., :10, :], torch.tensor([[0.0, 0, 10, 10]] * 6), 10)
    torch.testing.assert_close(whole, batch[..., :10, :], atol=1e-3, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_torchvision_s(batch: Tensor, channels: int) -> None:
    images = batch[:, :channels]
    factors = torch.tensor([[1, 1, 1], [1.4, 1, 1], [1, 0.6, 1], [1, 1, 1.4], [0.7, 1.3, 0.6]])
    factors = torch.cat([factors, torch.tensor([[1.4, 1.4, 1.4]])])
    expected = []
    for image, (brightness, contrast, saturation) in zip(images, factors.tolist(), strict=True):
        x = V.adjust_contrast(V.adjust_brightness(image / 255, brightness), contrast)
        expected.append(255 * (V.adjust_saturation(x, saturation) if channels == 3 else x))
    found = colour(images, factors)
    torch.testing.assert_close(found, torch.stack(expected), atol=0.1, rtol=0)


def test_what_chance_decides_is_even_and_independent() -> None:
    generator = torch.Generator()
    count, size = 20_000, (12, 10)
    draws = Draws.make(EVERYTHING, count, size, generator.manual_seed(0))
    assert draws.angles is not None
    assert draws.colours is not None
    assert draws.boxes is not None
    assert draws.angles.abs().max().item() == pytest.approx(math.radians(15), rel=1e-2)
    assert draws.angles.mean().item() == pytest.approx(0, abs=0.005)
    assert draws.colours.amin(0).tolist() == pytest.approx([0.6] * 3, abs=0.01)
    assert draws.colours.amax(0).tolist() == pytest.approx([1.4] * 3, abs=0.01)
    top, left, height, width = draws.boxes.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert ((top + height) <= 12).all()
    assert ((left + width) <= 10).all()
    area = height * width / 120
    # Small parts are rounded to whole pixels.
    assert area.min() > 0.03
    assert area.max() > 0.9
    usual = Draws.make(replace(EVERYTHING, rotation=0, saturation=0), count, size,
                       generator.manual_seed(0))  # fmt: skip
    assert usual.angles is None
    assert usual.boxes is not None
    assert usual.colours is not None
    assert torch.equal(usual.boxes, draws.boxes)
    assert torch.equal(usual.flips, draws.flips)
    assert torch.equal(usual.colours[:, :2], draws.colours[:, :2])
    assert (usual.colours[:, 2] == 1).all()


def test_old_configurations_draw_what_they_drew() -> None:
    generator = torch.Generator()
    config = AugmentConfig(crop_padding=4, flip=0.5, cutout=8)
    draws = Draws.make(config, 7, (32, 32), generator.manual_seed(1))
    after = torch.rand(1, generator=generator)
    u = torch.rand(5, 7, generator=generator.manual_seed(1))
    assert torch.equal(draws.shifts, (u[:2] * 9).long().T)
    assert torch.equal(draws.centres, (u[3:] * 32).long().T)
    assert torch.equal(torch.rand(1, generator=generator), after)
    assert set(draws[3:]) == {None}


def test_a_part_is_seen_of_training_images_and_the_middle_of_others(noise: Images) -> None:
    loader = make(noise, augment=replace(NONE, crop_size=8))
    assert next(loader.epoch(0)).images.shape == (16, 3, 8, 8)
    (looked,) = loader.evaluate(64)
    assert torch.equal(looked.images, torch.tensor(noise.images[:, :, 2:10, 1:9]).float())
    assert torch.equal(
        middle(torch.arange(9).view(1, 1, 3, 3), (1, 1)).flatten(), torch.tensor([4])
    )
    val = DeviceLoader(noise, None, augment=None, statistics=PLAIN, device="cpu", seen=loader.seen)
    assert torch.equal(next(val.evaluate(64)).images, looked.images)


# -- mixing -----------------------------------------------------------------------------------


def slices(*edges: int) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(edges)]


def test_mixup_mixes_images_and_labels_by_the_same_share(noise: Images) -> None:
    loader = make(noise, augment=replace(NONE, mixup=1.0))
    plain = make(noise, augment=NONE)
    order = loader.order(3)
    assert order.mixes is not None
    for batch, as_is, where in zip(loader.epoch(3), plain.epoch(3), loader.slices, strict=True):
        share = order.mixes.blend[where]
        assert torch.equal(share, order.mixes.labels[where])
        own, other = as_is.images, as_is.images.roll(1, 0)
        mixed = share.view(-1, 1, 1, 1) * own + (1 - share.view(-1, 1, 1, 1)) * other
        torch.testing.assert_close(batch.images, mixed)
        assert torch.equal(batch.indices, as_is.indices)
        torch.testing.assert_close(batch.labels.sum(1), torch.ones(len(batch.labels)))
        hot = torch.nn.functional.one_hot(as_is.labels, 5).float()
        expected = share.unsqueeze(1) * hot + (1 - share.unsqueeze(1)) * hot.roll(1, 0)
        torch.testing.assert_close(batch.labels, expected)


def test_cutmix_puts_a_rectangle_in_and_weighs_labels_by_its_area(noise: Images) -> None:
    loader = make(noise, augment=replace(NONE, cutmix=1.0))
    plain = make(noise, augment=NONE)
    order = loader.order(0)
    assert order.mixes is not None
    for batch, as_is, where in zip(loader.epoch(0), plain.epoch(0), loader.slices, strict=True):
        others = as_is.images.roll(1, 0)
        same = (batch.images == as_is.images).all(1)
        taken = (batch.images == others).all(1)
        assert (same | taken).all()
        area = (~same).flatten(1).float().mean(1)
        torch.testing.assert_close(order.mixes.labels[where], 1 - area)
        for cut in ~same:
            rows, columns = cut.any(1), cut.any(0)
            assert int(cut.sum()) == int(rows.sum()) * int(columns.sum())


def test_shares_are_those_of_a_beta_distribution_and_one_or_the_other_is_done() -> None:
    mixes = Mixes.make(AugmentConfig(mixup=0.4), slices(0, 40_000), (32, 32), 0)
    share = mixes.labels
    assert share.mean().item() == pytest.approx(0.5, abs=0.01)
    # α / (2(2α+1)²)·… of Beta(α, α): 1 / (4(2α + 1)).
    assert share.var().item() == pytest.approx(1 / (4 * 1.8), abs=0.005)
    mixes = Mixes.make(AugmentConfig(cutmix=1.0), slices(0, 40_000), (32, 32), 0)
    assert (mixes.blend == 1).all()
    areas = 1 - mixes.labels
    # Half of the image on average, before the edges clip it.
    assert 0.25 < areas.mean() < 0.4
    both = Mixes.make(AugmentConfig(mixup=0.4, cutmix=1.0), slices(0, 40_000), (32, 32), 0)
    cut = both.blend == 1
    assert cut.float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert (both.boxes[~cut][:, :2] == both.boxes[~cut][:, 2:]).all()


def test_the_last_short_batch_mixes_among_itself() -> None:
    mixes = Mixes.make(AugmentConfig(mixup=1.0), slices(0, 4, 7), (8, 8), 0)
    assert mixes.mates.tolist() == [3, 0, 1, 2, 6, 4, 5]


def test_mixing_nothing_leaves_all_as_it_is() -> None:
    images, others = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    none = Mixes(torch.tensor([1, 0]), torch.ones(2), torch.zeros(2, 4).long(), torch.ones(2))
    assert torch.equal(mix_images(images, others, none), images)
    hot = mix_labels(torch.tensor([2, 0]), torch.tensor([1, 1]), none, 3)
    assert hot.tolist() == [[0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize("world", [2, 3])
def test_workers_see_together_what_one_would_see(noise: Images, world: int) -> None:
    one = list(make(noise, augment=EVERYTHING).epoch(2))
    each = [make(noise, augment=EVERYTHING, shard=(r, world)).epoch(2) for r in range(world)]
    together = [joined(parts) for parts in zip(*each, strict=True)]
    assert equal(one, together)


def test_an_epoch_is_the_same_again_and_another_than_the_next(noise: Images) -> None:
    first, again = (list(make(noise, augment=EVERYTHING).epoch(1)) for _ in range(2))
    assert equal(first, again)
    assert not equal(first, list(make(noise, augment=EVERYTHING).epoch(2)))


# -- methods ----------------------------------------------------------------------------------

MIXED = [name for name in method_names() if config_class(name).takes_mixed]


@pytest.mark.parametrize("method", MIXED)
def test_a_label_as_probabilities_is_worth_what_the_label_is(method: str) -> None:
    case = Case(method, "resnet8", 16)
    built, batch = case.build().double(), case.batch()
    hot = torch.nn.functional.one_hot(batch.labels, 5).double()
    batch = batch._replace(images=batch.images.double())
    usual = built(batch).total
    torch.testing.assert_close(built(batch._replace(labels=hot)).total, usual)
    smooth = built(batch._replace(labels=0.5 * hot + 0.5 * hot.roll(1, 0))).total
    assert smooth.isfinite()
    assert method != "ce" or not torch.allclose(smooth, usual)


@pytest.mark.parametrize("method", sorted(set(method_names()) - set(MIXED)))
def test_a_method_that_needs_one_label_an_image_says_so(method: str) -> None:
    with pytest.raises(UserError, match=rf"augment.mixup mixes labels, and {method} needs one"):
        TrainConfig.paper(method, "resnet8", "cifar100", augment=AugmentConfig(mixup=0.2))


WRONG: Sequence[tuple[dict[str, float], str]] = (
    ({"rotation": -1}, "augment.rotation"),
    ({"saturation": 1.5}, "augment.saturation"),
    ({"mixup": -0.1}, "augment.mixup"),
    ({"crop_scale": 0}, "augment.crop_scale"),
    ({"crop_size": 2000}, "augment.crop_size"),
)


@pytest.mark.parametrize(("values", "name"), WRONG)
def test_values_that_cannot_be_are_refused(values: dict[str, float], name: str) -> None:
    with pytest.raises(UserError, match=name):
        replace(NONE, **values)


def test_what_images_do_not_allow_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"crop_size is 16, but the images have 12×10 pixels; give at most 10"
    ):
        replace(NONE, crop_size=16).check_fits(12, 10, 3)
    with pytest.raises(UserError, match=r"cropped once; set augment.crop_padding=0"):
        AugmentConfig(crop_size=8).check_fits(12, 10, 3)
    with pytest.raises(UserError, match=r"1 channel\(s\); set augment.saturation=0"):
        replace(NONE, saturation=0.2).check_fits(12, 10, 1)
    with pytest.raises(UserError, match=r"have 2 channels; set augment.trivial_augment=false"):
        replace(NONE, trivial_augment=True).check_fits(12, 10, 2)
    replace(NONE, trivial_augment=True).check_fits(12, 10, 1)


def test_every_field_is_left_out_at_its_default_but_crop_and_flip() -> None:
    on = {f.name for f in fields(AugmentConfig) if f.default} - {"crop_scale"}
    assert on == {"crop_padding", "flip"}


def test_a_run_with_all_of_it_goes_on_as_it_would_have(noise: Images) -> None:
    config = TrainConfig.paper("kd", "resnet8", "digits", epochs=3, batch_size=16,
                               augment=EVERYTHING)  # fmt: skip
    config = replace(config, method="ce", kd=config_class("ce")())
    whole, first, second = (
        Trainer(config, noise, noise, place=Place.local("cpu")) for _ in range(3)
    )
    whole.fit()
    first.run_epoch()
    second.load_state(first.state())
    second.fit()
    assert whole.method.task.image_size == (8, 8)
    for a, b in zip(whole.history, second.history, strict=True):
        assert a["train_loss"] == b["train_loss"]
        assert a["val_acc"] == b["val_acc"]
