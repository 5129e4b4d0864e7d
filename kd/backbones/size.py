"""How large a network is: its parameters, and the multiply-adds of one image."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kd.backbones import build_backbone
from kd.backbones.staged import StagedBackbone


def blueprint(name: str, num_classes: int, in_channels: int = 3) -> StagedBackbone:
    """The network on torch's meta device: every shape and no weight, in a moment.

    One whose weights must be drawn to build it is built and moved there.
    """
    try:
        with torch.device("meta"):
            return build_backbone(name, num_classes, in_channels).eval()
    except (NotImplementedError, RuntimeError):
        with torch.random.fork_rng(devices=[]):
            return build_backbone(name, num_classes, in_channels).eval().to("meta")


def parameters(network: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def macs(network: nn.Module, image: tuple[int, int, int]) -> int:
    """Multiply-adds of one image (C, H, W): those of convolutions and matrix products."""
    device = next(network.parameters()).device
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *image, device=device))
    operations: int = counter.get_total_flops()
    return operations // 2
