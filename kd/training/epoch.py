"""The steps of one epoch: one after the other, or replayed from one CUDA graph.

Both take exactly the same steps. Launching the hundreds of kernels of a step takes Python several
times as long as they take a GPU; a graph launches them all at once.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from kd.data.device_loader import DeviceLoader, Order
from kd.methods.base import Loss
from kd.parts.history import SoftLabelHistory
from kd.training.step import Step

Sums = dict[str, Tensor]
Body = Callable[[], None]
WARM_UP = 2
"""Steps before a capture, in which cuDNN chooses its kernels and autograd finds its streams."""


class Steps:
    """One step after the other; what is measured of them is summed on the device.

    Args:
        first: the number that the loader knows the first epoch by.
    """

    def __init__(self, step: Step, loader: DeviceLoader, first: int = 0) -> None:
        self.step = step
        self.loader = loader
        self.first = first
        self._names: list[str] = []

    def run(self, epoch: int, most: int | None = None) -> Sums:
        """Take the steps of `epoch`, counted from 0; the sums of the loss and its terms.

        At most the first `most` of them, where that is given: to see what they need.
        """
        order = self.loader.order(self.first + epoch)
        steps = range(len(self.loader))[:most]
        return self._named([self._plain(order, epoch, step) for step in steps])

    def forget(self) -> None:
        """The optimizer's state was replaced by another one."""

    def _plain(self, order: Order, epoch: int, step: int) -> Tensor:
        """Step number `step`: the weighted loss and terms, float64."""
        self.step.at(epoch + step / len(self.loader))
        weight = self.loader.weights[step]
        loss = self.step.update(self.loader.take(order, self.loader.slices[step]), weight)
        vector: Tensor = weight * self._vector(loss)
        return vector

    def _vector(self, loss: Loss) -> Tensor:
        self._names = ["train_loss", *loss.terms]
        values = [loss.total.detach(), *loss.terms.values()]
        return torch.stack([value.double() for value in values])

    def _named(self, vectors: Iterable[Tensor]) -> Sums:
        first, *others = vectors
        for vector in others:
            first = first + vector
        return dict(zip(self._names, first.unbind(), strict=True))


class CapturedSteps(Steps):
    """The full batches of an epoch are replayed from one graph of a step; a short one is not.

    What a step reads lies in slots on the device: the epoch's order and draws, its learning
    rates, the number of the step, and the method's own numbers. So the graph that was captured in
    the first epoch serves them all. Capturing leaves no trace: the steps that it takes to warm up
    are undone.

    A memory on the host takes part by slots as well: the rows of a batch are fetched before its
    step and written back after it, for which the host waits.

    Args:
        capture: from the step as a function to what replays it; by default a CUDA graph.
    """

    def __init__(
        self,
        step: Step,
        loader: DeviceLoader,
        capture: Callable[[Body], Body] | None = None,
        first: int = 0,
    ) -> None:
        super().__init__(step, loader, first)
        self._capture = capture or cuda_graph
        self._replay: Body | None = None
        sizes = [part.stop - part.start for part in loader.slices]
        self._size = sizes[0]
        self._full = sum(size == self._size for size in sizes)
        device = step.device
        self._order = loader.order(0)
        self._rates = torch.zeros(self._full, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self._places = torch.arange(self._size, device=device)
        self._sums = torch.zeros(0, dtype=torch.float64, device=device)
        histories = [m for m in step.method.modules() if isinstance(m, SoftLabelHistory)]
        self._entries = [e for h in histories if h.mapped is None for e in h.entries()]
        self._mapped = [history.mapped for history in histories if history.mapped is not None]

    def run(self, epoch: int, most: int | None = None) -> Sums:
        """As of `Steps`; a batch that is not full is taken in any case."""
        drawn = self.loader.order(self.first + epoch)
        for slot, value in zip(self._order.tensors(), drawn.tensors(), strict=True):
            slot.copy_(value)
        steps = len(self.loader)
        rates = [self.step.rate(epoch + step / steps) for step in range(self._full)]
        self._rates.copy_(torch.tensor(rates))
        self._position.zero_()
        batches = self._batches()
        if self._replay is None:
            self._fetch(batches[0])
            self._replay = self._captured()
        self._sums.zero_()
        for batch in batches[:most]:
            self._fetch(batch)
            self._replay()
            for rows in self._mapped:
                rows.flush()
        vectors = [self._plain(self._order, epoch, step) for step in range(self._full, steps)]
        return self._named([self._sums.clone(), *vectors])

    def forget(self) -> None:
        """The optimizer's state was replaced: what the graph points at is no longer it."""
        self._replay = None

    def _batches(self) -> Sequence[Tensor | None]:
        """The samples of every full batch, on the host, if anything there waits for them."""
        if not self._mapped:
            return [None] * self._full
        return torch.split(self._order.indices[: self._full * self._size].cpu(), self._size)

    def _fetch(self, batch: Tensor | None) -> None:
        """Bring what is on the host into the slots that a step reads and writes."""
        for rows in self._mapped:
            assert batch is not None
            rows.fetch(batch, self.step.device)

    def _body(self) -> None:
        """The step at the position in the slots, which it moves on, around the epoch."""
        places = self._position * self._size + self._places
        self.step.spread(self._rates.index_select(0, self._position).squeeze(0))
        loss = self.step.update(self.loader.take(self._order, places))
        vector = self._vector(loss)
        if len(self._sums) != len(vector):
            self._sums = torch.zeros_like(vector)
        self._sums.add_(vector)
        self._position.add_(1).remainder_(self._full)

    def _captured(self) -> Body:
        self.step.use_rate(self._rates[0])
        kept, entries = self._changing(), self._entries
        # Of a history, which may fill the device, only what the steps to warm up will write.
        rows = self._order.indices[: WARM_UP * self._size]
        before = [tensor.detach().clone() for tensor in kept]
        written = [entry.index_select(0, rows) for entry in entries]
        try:
            return self._capture(self._body)
        finally:
            with torch.no_grad():
                for tensor, old in zip(kept, before, strict=True):
                    tensor.copy_(old)
                for entry, old in zip(entries, written, strict=True):
                    entry.index_copy_(0, rows, old)
                for mapped in self._mapped:
                    mapped.forget()

    def _changing(self) -> list[Tensor]:
        """All that a step changes, but for its gradients, its sums, and its memories' entries."""
        method, apart = self.step.method, {id(entry) for entry in self._entries}
        buffers = [buffer for buffer in method.buffers() if id(buffer) not in apart]
        rates = [group["lr"] for group in self.step.optimizer.param_groups]
        own = [self._position, *rates]
        return [*method.parameters(), *buffers, *self.step.momenta(), *own]


def cuda_graph(body: Body) -> Body:
    """Warm `body` up and capture it, on a stream of its own; random state stays as it was."""
    random = torch.cuda.get_rng_state()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            body()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.set_rng_state(random)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        body()
    return graph.replay
