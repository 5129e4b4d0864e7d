"""What the name of a data set means, however a folder is spelled."""

from pathlib import Path

import pytest

from kd.data import DatasetName
from kd.data.names import DOWNLOADED, dataset_names


@pytest.mark.parametrize(
    ("text", "folder", "published", "portable"),
    [
        ("digits", None, "digits", "digits"),
        ("cifar100", None, "cifar100", "cifar100"),
        ("parquet:data/tiny-imagenet", "data/tiny-imagenet", "tiny-imagenet", None),
        ("parquet:/data/tiny-imagenet/", "/data/tiny-imagenet", "tiny-imagenet", None),
        ("parquet:./tiny-imagenet/.", "tiny-imagenet", "tiny-imagenet", None),
        ("parquet:data/x/../tiny-imagenet", "data/x/../tiny-imagenet", "tiny-imagenet", None),
        ("parquet:~/tiny-imagenet", "/home/me/tiny-imagenet", "tiny-imagenet", None),
        ("parquet:~nobody-of-this-name/x", "~nobody-of-this-name/x", "x", None),
        ("parquet:a:b", "a:b", "a:b", None),
        ("parquet:Größe 🐈", "Größe 🐈", "Größe 🐈", None),
        ("parquet:..", "..", "..", None),
        ("folder:a/b", "a/b", "b", "folder:b"),
        ("imagenet", None, "imagenet", "imagenet"),
        ("imagenet:/data/ILSVRC2012", "/data/ILSVRC2012", "imagenet", "imagenet"),
        ("tiny-imagenet:x", "x", "tiny-imagenet", "tiny-imagenet"),
        # -- none of ours, and left as it is
        ("parquet:", None, "parquet:", "parquet:"),
        ("parquet", None, "parquet", "parquet"),
        ("folder:", None, "folder:", "folder:"),
        ("imagenet:", None, "imagenet:", "imagenet:"),
        ("data:a/b", None, "data:a/b", "data:a/b"),
        ("", None, "", ""),
    ],
)
def test_a_name_is_taken_apart(text, folder, published, portable, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    name = DatasetName.parse(text)
    assert name.folder == (Path(folder) if folder else None)
    kind = text.partition(":")[0]
    assert name.kind == (kind if folder else text)
    assert name.published == published
    assert name.portable == (portable if portable is not None else f"parquet:{published}")
    assert str(name) == (f"{kind}:{folder}" if folder else text)
    assert DatasetName.parse(str(name)) == name


def test_a_folder_is_placed_beside_a_file_or_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beside = tmp_path / "file's"
    (beside / "both").mkdir(parents=True)
    for text, expected in (
        ("parquet:both", beside / "both"),
        ("parquet:one", tmp_path / "one"),
        ("parquet:../one", tmp_path / "../one"),
        ("parquet:/one", Path("/one")),
        ("parquet:" + "x" * 300, tmp_path / ("x" * 300)),
    ):
        assert DatasetName.parse(text).placed(beside).folder == expected
    assert DatasetName.parse("parquet:both").placed().folder == tmp_path / "both"
    assert str(DatasetName.parse("digits").placed(beside)) == "digits"


def test_every_known_name_is_listed():
    own = ("folder:DIR", "imagenet", "parquet:FOLDER", "prepared:DIR", "tiny-imagenet")
    assert dataset_names() == ("cifar10", "cifar100", "digits", "fashion-mnist", *own)
    assert set(DOWNLOADED) < set(dataset_names())
