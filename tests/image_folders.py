"""Folders of real image files for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"cat": 6, "dog": 5}


def picture(mode: str = "RGB", size: tuple[int, int] = (8, 8), seed: int = 0) -> Image.Image:
    """Noise of so many pixels, (width, height), in one of Pillow's modes."""
    draw, (width, height) = np.random.default_rng(seed), size
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 2**16, (height, width), np.uint16))
    if mode in ("1", "P"):
        return picture("RGB", size, seed).convert(mode)
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = draw.integers(0, 256, (height, width, channels), np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


def class_tree(
    folder: Path,
    counts: Mapping[str, int] = CLASSES,
    size: tuple[int, int] = (8, 8),
    mode: str = "RGB",
    ending: str = "png",
    within: str = "",
    seed: int = 0,
) -> Path:
    """A subfolder for each class with so many images, in a folder `within` it."""
    for label, (name, count) in enumerate(counts.items()):
        place = folder / name / within
        place.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            drawn = picture(mode, size, seed * 10_000 + label * 1000 + number)
            drawn.save(place / f"{name}_{number}.{ending}")
    return folder


def split_folder(folder: Path, sets: Sequence[str] = ("train", "test"), **given: object) -> Path:
    """A folder with a tree of classes for each of the sets."""
    for seed, name in enumerate(sets):
        class_tree(folder / name, seed=seed, **given)  # type: ignore[arg-type]
    return folder


def tiny_imagenet(folder: Path, classes: Sequence[str] = ("n01443537", "n01629819")) -> Path:
    """As Tiny ImageNet is unpacked, of 8×8 pixels."""
    class_tree(folder / "train", dict.fromkeys(classes, 4), ending="JPEG", within="images")
    (folder / "val" / "images").mkdir(parents=True)
    lines = []
    for number in range(6):
        name = classes[number * number % len(classes)]
        picture(seed=number).save(folder / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{name}\t0\t0\t7\t7\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    (folder / "wnids.txt").write_text("\n".join(classes))
    (folder / "words.txt").write_text("n01443537\tgoldfish, Carassius auratus\n")
    return folder
