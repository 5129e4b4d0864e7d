"""Where images come from, by name. Importing this reads no image and no torch.

`digits` ships with scikit-learn; `cifar10`, `cifar100` and `fashion-mnist` are downloaded by
torchvision; `imagenet` and `tiny-imagenet` are unpacked by whoever has them; `folder:DIR` and
`parquet:FOLDER` are anyone's own images.
"""

from kd.data.images import Dataset, DatasetInfo, Images
from kd.data.names import DatasetName, dataset_names
from kd.data.sources import check_dataset, default_augment, open_dataset, verify_dataset

__all__ = [
    "Dataset",
    "DatasetInfo",
    "DatasetName",
    "Images",
    "check_dataset",
    "dataset_names",
    "default_augment",
    "open_dataset",
    "verify_dataset",
]
