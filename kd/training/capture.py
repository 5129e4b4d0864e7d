"""What a GPU does for a function, captured as a CUDA graph that does it again at once."""

from collections.abc import Callable
from functools import cache

import torch

from kd.errors import brief

Body = Callable[[], None]
Capture = Callable[[Body], Body]
"""From a function to what replays what it does on the device."""
WARM_UP = 2
"""Calls before a capture, in which cuDNN chooses its kernels and autograd finds its streams."""


def cuda_graph(body: Body) -> Body:
    """Warm `body` up and capture it, on a stream of its own; random state stays as it was."""
    random = torch.cuda.get_rng_state()
    stream = _stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            body()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.set_rng_state(random)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        body()
    return graph.replay


@cache
def _stream(device: int) -> torch.cuda.Stream:
    """The one on which everything is captured, as cuBLAS keeps memory for each that it saw."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def reason(error: Exception) -> str:
    """The first line of what PyTorch says of a failure, of which more follows."""
    lines = str(error).strip().splitlines()
    return brief(lines[0].rstrip(".") if lines else type(error).__name__)
