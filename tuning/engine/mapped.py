"""Images in Ray's object store, of which all processes of a machine hold one copy together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from kd.data import Images
from kd.data.stored import Stored


class Mapped(np.ndarray[Any, np.dtype[np.uint8]]):
    """An array that lies in the store; to another process goes only where it lies.

    `found` is Ray's reference to it; None for what is made of such an array, which goes as it is.
    """

    found: Any = None

    def __array_finalize__(self, made_of: object) -> None:
        self.found = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.found is None:
            return super().__reduce_ex__(protocol)
        import ray

        return ray.get, (self.found,)


@contextmanager
def mapping() -> Iterator[Callable[[Images], Images]]:
    """What puts images into the store of the Ray that was joined, the same ones once.

    What it gives has no pixels any more once the `with` is over: the store's memory must not be
    touched when its Ray has ended.
    """
    import ray

    made = []

    @cache
    def mapped(images: Images) -> Images:
        if isinstance(images.images, Stored):
            return images
        found = ray.put(images.images)
        pixels = ray.get(found).view(Mapped)
        pixels.found = found
        made.append(replace(images, images=pixels))
        return made[-1]

    try:
        yield mapped
    finally:
        for images in made:
            none = np.empty((0, *images.images.shape[1:]), np.uint8)
            object.__setattr__(images, "images", none)
