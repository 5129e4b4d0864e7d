"""TrivialAugment against torchvision's own, image by image."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import TrivialAugmentWide

from kd.data.trivial import OPERATIONS, STRENGTHS, draw, trivial

THEIRS = TrivialAugmentWide()
BLENDED = ("Brightness", "Color", "Contrast", "Sharpness")
SPACE = list(THEIRS._AUGMENTATION_SPACE.items())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=OPERATIONS.__getitem__)
def test_every_operation_at_every_strength_is_torchvision_s(number: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(number)
    size = (channels, 32, 40)
    strengths = [sign * bin_ / (STRENGTHS - 1) for bin_ in range(STRENGTHS) for sign in (1, -1)]
    images = torch.randint(0, 256, (len(strengths), *size), generator=generator, dtype=torch.uint8)
    images[::3] = images[::3] // 4 + 60  # of little contrast
    drawn = torch.tensor([[number, strength] for strength in strengths])
    name, (magnitudes, signed) = SPACE[number]
    values = magnitudes(STRENGTHS, 32, 40)
    found = trivial(images, drawn)
    assert found.dtype == torch.uint8
    for place, image in enumerate(images):
        bin_, sign = place // 2, -1 if signed and place % 2 else 1
        value = 0.0 if values is None else sign * float(values[bin_])
        if name.startswith("Translate"):
            value = sign * (32 * bin_ / (STRENGTHS - 1))  # half of 32 is 16, by float32 15.999999
        theirs = THEIRS._apply_image_or_video_transform(
            image, name, value, interpolation=InterpolationMode.NEAREST, fill={}
        )
        apart = (theirs.int() - found[place].int()).abs()
        if name in BLENDED:
            assert apart.max() <= 1  # cut off to a whole number after another order of sums
            assert (apart > 0).float().mean() < 0.02
        elif name == "Solarize":
            tied = image == round(8.5 * (STRENGTHS - 1 - bin_), 1)
            assert apart[~tied].max() == 0
        else:
            assert apart.max() == 0


def test_operations_and_strengths_are_drawn_evenly() -> None:
    drawn = draw(torch.rand(3, 50_000, generator=torch.Generator().manual_seed(0)))
    operations, strengths = drawn[:, 0].long(), drawn[:, 1]
    counts = torch.bincount(operations, minlength=len(OPERATIONS))
    assert len(counts) == len(OPERATIONS)
    assert (counts / 50_000 * len(OPERATIONS) - 1).abs().max() < 0.06
    bins = (strengths.abs() * (STRENGTHS - 1)).round().long().bincount()
    assert len(bins) == STRENGTHS
    assert (bins / 50_000 * STRENGTHS - 1).abs().max() < 0.1
    assert (strengths < 0).float().mean().item() == pytest.approx(0.5 * 30 / 31, abs=0.01)
