"""The steps of one epoch: one after the other, or replayed from one CUDA graph.

Both take exactly the same steps. Launching the hundreds of kernels of a step takes Python several
times as long as they take a GPU; a graph launches them all at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kd.data.device_loader import DeviceLoader, Order
from kd.methods.base import Loss
from kd.parts.history import SoftLabelHistory
from kd.training.capture import WARM_UP, Body, Capture, cuda_graph, reason
from kd.training.step import Step

Sums = dict[str, Tensor]


class Steps:
    """One step after the other; what is measured of them is summed on the device.

    `remarks` says, in a sentence each, what of them was not to be had as it was asked for.

    Args:
        first: the number that the loader knows the first epoch by.
    """

    def __init__(self, step: Step, loader: DeviceLoader, first: int = 0) -> None:
        self.step = step
        self.loader = loader
        self.first = first
        self.remarks: list[str] = []
        self._names: list[str] = []
        self._begun = False

    def run(self, epoch: int, most: int | None = None) -> Sums:
        """Take the steps of `epoch`, counted from 0; the sums of the loss and its terms.

        At most the first `most` of them, where that is given: to see what they need.
        """
        order = self.loader.order(self.first + epoch)
        self.loader.begin(order)
        self._begin(order)
        steps = range(len(self.loader))[:most]
        return self._named([self._plain(order, epoch, step) for step in steps])

    def forget(self) -> None:
        """The optimizer's state was replaced by another one."""

    def _begin(self, order: Order) -> None:
        """Before the first step: compile its loss, if that was asked for and can be done."""
        if self._begun or self.step.compiled_size is None:
            return
        self._begun = True
        self.loader.fetch(0)
        batch = self.loader.take(order, self.loader.slices[0])
        gpus = [self.step.device] if self.step.device.type == "cuda" else []
        try:
            with (
                torch.random.fork_rng(gpus),
                undone(self.step.method, [], order.indices[: len(batch.labels)]),
            ):
                self.step.gradients(batch)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            self.step.compiled_size = None
            self.remarks.append(f"Steps are not compiled, as that failed ({reason(error)}).")

    def _plain(self, order: Order, epoch: int, step: int) -> Tensor:
        """Step number `step`: the weighted loss and terms, float64."""
        self.loader.fetch(step)
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
    are undone. Where it fails, steps are taken one after the other.

    A memory on the host takes part by slots as well: the rows of a batch are fetched before its
    step and written back after it, for which the host waits.

    Args:
        capture: from the step as a function to what replays it; by default a CUDA graph.
    """

    def __init__(
        self,
        step: Step,
        loader: DeviceLoader,
        capture: Capture | None = None,
        first: int = 0,
    ) -> None:
        super().__init__(step, loader, first)
        self._capture: Capture | None = capture or cuda_graph
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
        self._mapped = [own.mapped for own in histories(step.method) if own.mapped is not None]

    def run(self, epoch: int, most: int | None = None) -> Sums:
        """As of `Steps`; a batch that is not full is taken in any case."""
        if self._capture is not None:
            order = self.loader.order(self.first + epoch)
            self.loader.begin(order)
            self._begin(order)
            self._fill(order, epoch)
            if self._replay is None:
                self.loader.fetch(0)
                self._fetch(self._batches()[0])
                self._replay = self._captured(self._capture)
        if self._replay is None:
            return super().run(epoch, most)
        self._sums.zero_()
        for step, batch in enumerate(self._batches()[:most]):
            self.loader.fetch(step)
            self._fetch(batch)
            self._replay()
            for rows in self._mapped:
                rows.flush()
        steps = range(self._full, len(self.loader))
        vectors = [self._plain(self._order, epoch, step) for step in steps]
        return self._named([self._sums.clone(), *vectors])

    def _fill(self, order: Order, epoch: int) -> None:
        """Put into the slots what the steps of `epoch` read there."""
        for slot, value in zip(self._order.tensors(), order.tensors(), strict=True):
            slot.copy_(value)
        rates = [self.step.rate(epoch + step / len(self.loader)) for step in range(self._full)]
        self._rates.copy_(torch.tensor(rates))
        self._position.zero_()

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

    def _captured(self, capture: Capture) -> Body | None:
        """What replays a step; None where it cannot be captured, now or later."""
        self.step.use_rate(self._rates[0])
        method, momenta = self.step.method, self.step.momenta()
        rates = [group["lr"] for group in self.step.optimizer.param_groups]
        changed = [*method.parameters(), *momenta, self._position, *rates]
        # Of a history, which may fill the device, only what the steps to warm up will write.
        rows = self._order.indices[: WARM_UP * self._size]
        try:
            with undone(method, changed, rows):
                return capture(self._body)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._capture = None
            self.remarks.append(
                f"Steps are taken one by one, as capturing them failed ({reason(error)})."
            )
            return None


def histories(model: nn.Module) -> list[SoftLabelHistory]:
    """The soft-label memories of a method."""
    return [module for module in model.modules() if isinstance(module, SoftLabelHistory)]


@contextmanager
def undone(model: nn.Module, changed: Iterable[Tensor], rows: Tensor) -> Iterator[None]:
    """Undo, at the end, what steps changed: `changed`, buffers, gradients, `rows` of memories."""
    entries = [entry for history in histories(model) for entry in history.entries()]
    apart = {id(entry) for entry in entries}
    kept = [*changed, *(buffer for buffer in model.buffers() if id(buffer) not in apart)]
    before = [tensor.detach().clone() for tensor in kept]
    # Entries lie on the device, or on the host.
    places = [rows.to(entry.device) for entry in entries]
    written = [e.index_select(0, place) for e, place in zip(entries, places, strict=True)]
    try:
        yield
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for tensor, old in zip(kept, before, strict=True):
                tensor.copy_(old)
            for entry, place, old in zip(entries, places, written, strict=True):
                entry.index_copy_(0, place, old)
            for history in histories(model):
                if history.mapped is not None:
                    history.mapped.forget()
