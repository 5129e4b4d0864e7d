"""What a method takes of a batch beside its images, labels and indices."""

from collections.abc import Mapping
from dataclasses import dataclass

from kd.errors import UserError, brief


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What loaders must serve, and what images must be like; declared by a configuration.

    views: how often each image is seen in a step, each time augmented by chance of its own
        (DDGSD, MLKD: 2).
    partner: whether each image comes with another one of its class (CS-KD).
    square: whether images are turned by quarters (LSSKD, HSAKD, SSKD).
    others: whether each image is compared with those of other classes (CRD).
    """

    views: int = 1
    partner: bool = False
    square: bool = False
    others: bool = False

    def check(self, method: str, size: tuple[int, int], counts: Mapping[str, int]) -> None:
        """Raise UserError where images of `size` (H, W) cannot serve `method`.

        counts: how many images to train on every class has, by its name.
        """
        if self.square and size[0] != size[1]:
            raise UserError(
                f"{method} turns images by quarters, and these have {size[0]}×{size[1]} pixels; "
                "pad or cut them to squares, or choose another method."
            )
        alone = [name for name, count in counts.items() if count == 1]
        if self.partner and alone:
            raise UserError(
                f"{method} takes two images of a class at a time, and class "
                f"{brief(repr(alone[0]))} has one to train on; add images of it, or choose another "
                "method."
            )
        if self.others and sum(map(bool, counts.values())) < 2:
            raise UserError(
                f"{method} compares images with those of other classes, and all of these are of "
                "one; add images of another class, or choose another method."
            )
