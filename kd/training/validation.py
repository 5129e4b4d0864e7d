"""What the student says of val: batch by batch, or replayed from one CUDA graph of a batch."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from kd.backbones.staged import StagedBackbone
from kd.data.device_loader import DeviceLoader
from kd.metrics import ValidationMetrics, distillation_factor
from kd.parts.teacher import mean_logits
from kd.training.capture import Body, Capture, cuda_graph, reason
from kd.training.parallel import sum_over_workers

BATCH = 512


class Validation:
    """The logits of this worker's part of the images, in eval mode and without gradients.

    `remarks` says in a sentence what was not to be had as it was asked for.

    Args:
        student: called on normalised images (B, C, H, W).
        loader: of the images, evaluated.
        autocast: gives the context in which the network computes.
        teachers: likewise called, in eval mode, once; of several the `mean_logits` count, and the
            sum of their parameters.
    """

    def __init__(
        self,
        student: StagedBackbone,
        loader: DeviceLoader,
        autocast: Callable[[], AbstractContextManager[object]],
        teachers: Sequence[nn.Module] = (),
    ) -> None:
        self.student = student
        self.loader = loader
        self.teachers = teachers
        self.remarks: list[str] = []
        self._autocast = autocast
        self._taught: Tensor | None = None

    def scores(self, num_classes: int) -> dict[str, float]:
        """`kd.metrics.ValidationMetrics` of all workers' images; with teachers, beside them."""
        scores = ValidationMetrics()
        scores.update(sum_over_workers(self.logits(num_classes)), self.loader.labels)
        if not self.teachers:
            return scores.compute()
        sizes = [distillation_factor(self.student, teacher) for teacher in self.teachers]
        if self._taught is None:
            taught = self._by_place(num_classes, self._of_teachers)
            self._taught = sum_over_workers(taught)
        return scores.compute(self._taught) | {"distillation_factor": sum(sizes)}

    def logits(self, num_classes: int) -> Tensor:
        """(N, num_classes) float32, by the place of the image; zeros where it is another's."""
        return self._by_place(num_classes, self._of)

    @torch.no_grad()
    def _by_place(self, num_classes: int, of: Callable[[Tensor], Tensor]) -> Tensor:
        labels = self.loader.labels
        whole = torch.zeros(len(labels), num_classes, device=labels.device)
        for batch in self.loader.evaluate(BATCH):
            whole[batch.indices] = of(batch.images)
        return whole

    def _of(self, images: Tensor) -> Tensor:
        with self._autocast():
            return self.student(images).float()  # type: ignore[no-any-return]

    def _of_teachers(self, images: Tensor) -> Tensor:
        with self._autocast():
            return mean_logits(self.teachers, images).float()


class CapturedValidation(Validation):
    """The full batches are replayed from one graph; a short one is not. The logits are the same.

    The graph reads the weights where they lie, which an update changes in place.

    Args:
        capture: from a batch as a function to what replays it; by default a CUDA graph.
    """

    def __init__(
        self,
        student: StagedBackbone,
        loader: DeviceLoader,
        autocast: Callable[[], AbstractContextManager[object]],
        teachers: Sequence[nn.Module] = (),
        capture: Capture | None = None,
    ) -> None:
        super().__init__(student, loader, autocast, teachers)
        self._capture: Capture | None = capture or cuda_graph
        self._replay: Body | None = None
        self._images = torch.zeros(0)
        self._logits = torch.zeros(0)

    def _of(self, images: Tensor) -> Tensor:
        if len(images) != BATCH or self._capture is None:
            return super()._of(images)
        if self._replay is None:
            self._images = images.clone()
            try:
                self._replay = self._capture(self._body)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._capture = None
                why = f"as capturing that failed ({reason(error)})"
                self.remarks.append(f"Validation is not replayed, {why}.")
                return super()._of(images)
        self._images.copy_(images)
        self._replay()
        return self._logits

    def _body(self) -> None:
        """The batch in the slot."""
        self._logits = super()._of(self._images)


class BestOf:
    """The looks at networks that learn beside each other: the best of them is the student.

    `chosen` is its name: at the last look the first of the highest val accuracy.
    """

    def __init__(self, looks: Mapping[str, Validation]) -> None:
        self.looks = dict(looks)
        self.chosen = next(iter(looks))

    @property
    def best(self) -> Validation:
        """The look at the student."""
        return self.looks[self.chosen]

    @property
    def remarks(self) -> list[str]:
        """Those of all looks."""
        return list(dict.fromkeys(said for look in self.looks.values() for said in look.remarks))

    def choose(self, name: str) -> None:
        """Make the network of that name the student, as a look before did; KeyError for none."""
        if name not in self.looks:
            raise KeyError(name)
        self.chosen = name

    def scores(self, num_classes: int) -> dict[str, float]:
        """`Validation.scores` of the best, which is chosen by them."""
        scores = {name: look.scores(num_classes) for name, look in self.looks.items()}
        self.chosen = max(scores, key=lambda name: scores[name]["val_acc"])
        return scores[self.chosen]
