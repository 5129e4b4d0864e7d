"""Images per second of the device-resident loader over torchvision's DataLoader."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import in_turns, ratios, spread
from kd.config import AugmentConfig
from kd.data import Images
from kd.data.device_loader import DeviceLoader, statistics

TARGET = 10.0
COUNT = 4096


class PlainDataset(Dataset[tuple[torch.Tensor, int]]):
    """The images as torchvision's own data sets hold them, with the papers' transforms."""

    def __init__(self, images: Images) -> None:
        mean, std = statistics(images)
        assert isinstance(images.images, np.ndarray)
        self.pixels = images.images.transpose(0, 2, 3, 1)
        self.labels = images.labels
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def report(batch: int, rounds: int, device: str) -> None:
    """Print the ratio; one round is one pass over the images."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8)
    images = Images(pixels, np.zeros(COUNT, dtype=np.int64), ("one",))
    augment = AugmentConfig(crop_padding=4, flip=0.5)
    ours = DeviceLoader(
        images, batch, augment=augment, statistics=statistics(images), device=device
    )
    theirs = DataLoader(PlainDataset(images), batch, shuffle=True)

    def pass_over_theirs() -> None:
        for pixels, labels in theirs:
            pixels.to(device), labels.to(device)

    tasks = {"ours": lambda: list(ours.epoch(0)), "theirs": pass_over_theirs}
    seconds = in_turns(tasks, rounds, device)
    speed = COUNT / np.median(seconds["ours"])
    print(f"Loader, batch {batch}, crop + flip + normalise, {device}: {speed:,.0f} images/s")
    gain = spread(ratios(seconds["theirs"], seconds["ours"]))
    print(f"over torchvision's DataLoader in the same process: {gain} times (target ≥ {TARGET:g})")
