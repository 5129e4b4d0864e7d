"""A small network: a function of this kind is all that a backbone needs."""

from torch import nn


def tiny(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Two convolutions and a classifier, for images of any size from 4×4 on."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    )
