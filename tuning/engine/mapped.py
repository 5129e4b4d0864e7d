"""Images in Ray's object store, of which all processes of a machine hold one copy together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kd.data import Images
from kd.data.stored import Stored


@dataclass(frozen=True)
class InStore:
    """In the place of pixels that lie in the store: to another process goes where, and it has them.

    There, they are an array that maps the store's memory and cannot be written to. Here is none
    of them: memory of a store must not be held on to when its Ray ends, as that ends the process.

    found: Ray's reference to them.
    """

    found: Any
    shape: tuple[int, ...]
    nbytes: int

    def __reduce__(self) -> tuple[Any, ...]:
        import ray

        return ray.get, (self.found,)


def mapping() -> Callable[[Images], Images]:
    """What puts images into the store of the Ray that was joined, the same ones once.

    What it gives is to be sent, and has no pixels itself; stored images remain as they are.
    """
    import ray

    @cache
    def mapped(images: Images) -> Images:
        pixels = images.images
        if isinstance(pixels, Stored):
            return images
        held = InStore(ray.put(pixels), pixels.shape, pixels.nbytes)
        return replace(images, images=cast("NDArray[np.uint8]", held))

    return mapped
