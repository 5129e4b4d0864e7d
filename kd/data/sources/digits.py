"""The handwritten digits that ship with scikit-learn: real images that need no network."""

import numpy as np

from kd.data.config import AugmentConfig
from kd.data.images import Dataset, DatasetInfo, Images
from kd.data.split import stratified_choice

TEST_SIZE = 500
TEST_SEED = 0
COUNTS = (128, 131, 128, 132, 131, 131, 131, 129, 126, 130)
"""Training images of every digit."""
GREY_LEVELS = 16  # above 0


class Digits:
    """1,797 images of 1×8×8 (Alpaydin and Kaynak 1998, the optdigits of UCI).

    They have no official test set, so 500 images, stratified by class and the same ones for
    ever, are the test set, and the other 1,297 the training set.
    """

    def check(self) -> DatasetInfo:
        """Nothing can be wrong: scikit-learn is a dependency."""
        return DatasetInfo((8, 8), 1, dict(zip("0123456789", COUNTS, strict=True)))

    def verify(self) -> None:
        """Nothing can be wrong."""

    def open(self) -> Dataset:
        """Read the images from the installed scikit-learn."""
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        grey = np.rint(pixels * (255 / GREY_LEVELS)).astype(np.uint8).reshape(-1, 1, 8, 8)
        images = Images(grey, labels.astype(np.int64), tuple("0123456789"))
        test = stratified_choice(images.labels, TEST_SIZE, np.random.PCG64(TEST_SEED))
        train = np.setdiff1d(np.arange(len(images)), test)
        return Dataset("digits", images.subset(train), lambda: images.subset(test))

    def augment(self) -> AugmentConfig:
        """A pixel's shift; a mirrored digit is no digit."""
        return AugmentConfig(crop_padding=1, flip=0.0)
