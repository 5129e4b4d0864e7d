"""Scores of a finished network on images that it was not trained on."""

import torch

from kd.backbones.staged import StagedBackbone
from kd.data import Images
from kd.data.device_loader import DeviceLoader, Statistics
from kd.metrics import ValidationMetrics

BATCH = 512


@torch.no_grad()
def test_scores(
    network: StagedBackbone,
    images: Images,
    statistics: Statistics,
    device: torch.device | str,
    seen: tuple[int, int],
) -> dict[str, float]:
    """`test_acc`, `test_acc5` and `test_ece` in percent, `test_nll` in nats, in float32.

    `statistics` are those of the training images, which the network was trained with, and `seen`
    the size (H, W) that it sees, of larger images their middle.
    """
    network.to(device).eval()
    loader = DeviceLoader(
        images, None, augment=None, statistics=statistics, device=device, seen=seen
    )
    scores = ValidationMetrics()
    for batch in loader.evaluate(BATCH):
        scores.update(network(batch.images), batch.labels)
    return {name.replace("val_", "test_"): value for name, value in scores.compute().items()}
