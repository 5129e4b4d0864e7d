"""Parquet files in Hugging Face's forms, beside our own."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_folders import picture
from parquet_folder import parquet_folder

from kd.config import ImagesConfig, SplitConfig
from kd.data import check_dataset, open_dataset
from kd.data.split import train_val
from kd.errors import UserError

NAMES = ("airplane", "frog")
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encoded(
    seed: int, form: str = "png", mode: str = "RGB", size: tuple[int, int] = (8, 8)
) -> bytes:
    file = io.BytesIO()
    picture(mode, size, seed).save(file, form)
    return file.getvalue()


def write(
    path: Path,
    count: int = 8,
    image: str = "img",
    label: str = "label",
    names: Sequence[str] | None = NAMES,
    struct: bool = True,
    more: dict[str, Any] | None = None,
    bytes_of: Callable[[int], bytes | None] = encoded,
    first: int = 0,
    labels: Sequence[int] | None = None,
) -> None:
    """One file as the `datasets` library writes it."""
    files = [bytes_of(first + number) for number in range(count)]
    held = [{"bytes": file, "path": None} for file in files] if struct else files
    columns = {
        image: pa.array(held, STRUCT if struct else pa.binary()),
        label: pa.array([n % 2 for n in range(count)] if labels is None else labels, pa.int64()),
        **(more or {}),
    }
    table = pa.table(columns)
    if names is not None:
        features = {
            image: {"_type": "Image"},
            label: {"names": list(names), "_type": "ClassLabel"},
        }
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(about)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=3)


def both(folder: Path, sets: Sequence[str] = ("train", "test"), **given: Any) -> str:
    for number, name in enumerate(sets):
        write(folder / f"{name}.parquet", first=100 * number, **given)
    return f"parquet:{folder}"


def refused(name: str, images: ImagesConfig | None = None) -> str:
    with pytest.raises(UserError) as told:
        open_dataset(name, images=images)
    assert len(str(told.value)) < 700
    return str(told.value)


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("image", ["img", "image"])
@pytest.mark.parametrize("label", ["label", "fine_label", "target"])
def test_columns_are_found_by_name_or_as_the_only_one(tmp_path, struct, image, label):
    name = both(tmp_path, struct=struct, image=image, label=label)
    info = check_dataset(name)
    assert (info.size, info.channels, info.counts) == ((8, 8), 3, {"airplane": 4, "frog": 4})
    dataset = open_dataset(name)
    train, test = dataset.train, dataset.load_test()
    assert train.class_names == NAMES
    assert train.labels.tolist() == [0, 1] * 4
    for images, first in ((train.images, 0), (test.images, 100)):
        whole = [np.asarray(picture(seed=first + n)).transpose(2, 0, 1) for n in range(8)]
        assert np.array_equal(images, whole)
    dataset.check_test()


def test_cifar100s_fine_labels_are_its_labels(tmp_path):
    more = {"coarse_label": pa.array([1] * 8, pa.int64())}
    assert check_dataset(both(tmp_path, label="fine_label", more=more)).counts == {
        "airplane": 4,
        "frog": 4,
    }


def test_labels_without_names_are_numbers(tmp_path):
    name = both(tmp_path, ("train",))
    for split, last in (("train", 1), ("test", 3)):
        write(tmp_path / f"{split}.parquet", names=None, labels=[0, 1] * 3 + [0, last])
    assert open_dataset(name).train.class_names == ("0", "1", "2", "3")
    assert check_dataset(name).counts == {"0": 4, "1": 4, "2": 0, "3": 0}


@pytest.mark.parametrize("within", ["", "data"])
def test_a_set_in_several_parts(tmp_path, within):
    for part in range(3):
        write(tmp_path / within / f"train-0000{part}-of-00003.parquet", first=10 * part)
    write(tmp_path / within / "test-00000-of-00001-0123456789abcdef.parquet", first=100)
    name = f"parquet:{tmp_path}"
    assert check_dataset(name).counts == {"airplane": 12, "frog": 12}
    train = open_dataset(name).train
    assert np.array_equal(train.images[17], np.asarray(picture(seed=21)).transpose(2, 0, 1))
    (tmp_path / within / "train-00001-of-00003.parquet").unlink()
    assert "has 2 files of train, and their names say 00003; put all parts" in refused(name)


@pytest.mark.parametrize("name", ["validation", "valid", "val"])
def test_which_set_is_which(tmp_path, name):
    data = both(tmp_path, ("train", name))
    assert check_dataset(data).notes == (
        f"The test set is {name} of {tmp_path}, which has no other, so it stays sealed.",
    )
    assert len(open_dataset(data).load_test()) == 8
    write(tmp_path / "test.parquet", count=4, first=200)
    assert check_dataset(data).val == {"airplane": 4, "frog": 4}
    dataset = open_dataset(data)
    assert len(dataset.load_test()) == 4
    learnt, val = train_val(dataset.train, SplitConfig())
    assert (len(learnt), len(val)) == (8, 8)


def test_a_val_set_of_ones_own_is_a_file_or_a_folder(tmp_path):
    data = both(tmp_path / "data")
    for number in (0, 1):
        write(tmp_path / "own" / f"part{number}.parquet", count=4, first=300 + number)
    for place, count in (("own", 8), ("own/part1.parquet", 4)):
        images = ImagesConfig(val=str(tmp_path / place))
        assert sum(check_dataset(data, images=images).val.values()) == count
        assert len(train_val(open_dataset(data, images=images).train, SplitConfig())[1]) == count
    own = ImagesConfig(val=str(tmp_path / "data" / "test.parquet"))
    assert "is the test set here, and cannot be val too" in refused(data, own)
    own = ImagesConfig(val=str(tmp_path / "data" / "train.parquet"))
    assert "is the training set here, and cannot be val too; give another" in refused(data, own)
    (tmp_path / "empty").mkdir()
    assert "holds no Parquet file" in refused(data, ImagesConfig(val=str(tmp_path / "empty")))
    assert "is not there" in refused(data, ImagesConfig(val=str(tmp_path / "nowhere")))
    write(tmp_path / "other.parquet", names=("frog", "airplane"))
    images = ImagesConfig(val=str(tmp_path / "other.parquet"))
    assert "has other shapes or classes than train.parquet" in refused(data, images)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image": "picture"}, "has no binary column 'image', nor 'img'"),
        ({"label": "a", "more": {"b": [1] * 8}}, "has the integer columns a, b, and which are the"),
        ({"names": ("frog", "frog")}, "gives the name 'frog' to two classes"),
        (
            {"labels": [-1] * 8},
            "row 0: the label is -1; it must lie between 0 and 1, and a set wit",
        ),
        ({"labels": [0, 1, 2] + [0] * 5}, "row 2: the label is 2; it must lie between 0 and 1"),
        ({"labels": [None] * 8}, "row 0: the label is None"),
        ({"labels": [-2] * 8, "names": None}, "row 0: the label is -2; it must be 0 or more"),
        (
            {"bytes_of": lambda n: b"" if n == 5 else encoded(n)},
            "row 5 cannot be decoded (it is no",
        ),
        (
            {"bytes_of": lambda n: None if n == 5 else encoded(n)},
            "row 5 cannot be decoded (it has ",
        ),
        (
            {"bytes_of": lambda n: encoded(n, "png", "P" if n == 6 else "RGB")},
            "row 6 is an image w",
        ),
        (
            {"bytes_of": lambda n: encoded(n, size=(8, 8 + n % 100 // 7))},
            "row 7 has 9×8 pixels and ",
        ),
        ({"bytes_of": lambda n: encoded(n, mode="L" if n == 4 else "RGB")}, "row 4 is grey and "),
    ],
)
def test_what_makes_no_sense_is_one_sentence(tmp_path, given, sentence):
    assert sentence in refused(both(tmp_path, **given))


def test_a_file_without_labels_is_refused(tmp_path):
    name = both(tmp_path)
    for split in ("train", "test"):
        table = pq.read_table(tmp_path / f"{split}.parquet").drop_columns("label")
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert "has no integer column 'label'; write it with one" in refused(name)


def test_images_are_converted_resized_and_left_out(tmp_path, capsys):
    def bytes_of(number: int) -> bytes:
        if number in (3, 103):
            return b"no image"
        mode = ("RGB", "L", "P", "CMYK")[number % 4]
        return encoded(number, "jpeg" if mode == "CMYK" else "png", mode, (9, 8 + number % 3))

    images = ImagesConfig(size=4, convert=True, skip_bad=1)
    name = both(tmp_path, bytes_of=bytes_of)
    assert check_dataset(name, images=images).size == (4, 4)
    dataset = open_dataset(name, images=images)
    assert dataset.train.images.shape == (7, 3, 4, 4)
    assert dataset.train.labels.tolist() == [0, 1, 0, 0, 1, 0, 1]
    dataset.check_test()
    said = capsys.readouterr().out.splitlines()
    assert ["1 of 8 training" in said[0], "1 of 8 test" in said[1]] == [True, True]


def test_the_first_of_each_may_be_a_bad_one(tmp_path):
    def bytes_of(number: int) -> bytes:
        return b"no image" if number in (0, 1, 100) else encoded(number)

    name = both(tmp_path, bytes_of=bytes_of)
    info = check_dataset(name, images=ImagesConfig(skip_bad=2))
    assert (info.size, info.channels) == ((8, 8), 3)


# -- our own form ----------------------------------------------------------------------------------


def test_our_own_form_is_resized_and_converted_too(tmp_path):
    name = f"parquet:{parquet_folder(tmp_path, (8, 6))}"
    images = ImagesConfig(size=4, convert=True)
    info = check_dataset(name, images=images)
    assert (info.size, info.channels) == ((4, 4), 3)
    assert open_dataset(name, images=images).train.images.shape == (40, 3, 4, 4)
    odd = f"parquet:{parquet_folder(tmp_path / 'odd', (8, 6, 5))}"
    assert open_dataset(odd).train.images.shape == (40, 5, 8, 6)
    assert "row 0 has 5 channels" in refused(odd, images)


def test_bare_pixels_may_begin_as_a_jpeg_does(tmp_path):
    name = f"parquet:{parquet_folder(tmp_path, (8, 8, 3))}"
    table = pq.read_table(tmp_path / "train.parquet")
    images = table["image"].to_pylist()
    images[3] = b"\xff\xd8\xff" + images[3][3:]
    changed = table.set_column(0, "image", pa.array(images))
    pq.write_table(
        changed.replace_schema_metadata(table.schema.metadata), tmp_path / "train.parquet"
    )
    assert open_dataset(name).train.images[3, :, 0, 0].tolist() == [0xFF, 0xD8, 0xFF]


@pytest.mark.parametrize("encoding", ["raw-uint8", "png", "jpeg", "webp-lossless"])
@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_png_and_jpeg_are_read_whatever_the_metadata_says(tmp_path, encoding, form):
    for split in ("train", "test"):
        about = {
            "shape": "[8, 8, 3]",
            "class_names": json.dumps(NAMES),
            "encoding": encoding,
        }
        table = pa.table({"image": [encoded(n, form) for n in range(4)], "label": [0, 1, 0, 1]})
        pq.write_table(table.replace_schema_metadata(about), tmp_path / f"{split}.parquet")
    train = open_dataset(f"parquet:{tmp_path}").train
    assert train.images.shape == (4, 3, 8, 8)
    if form == "png":
        assert np.array_equal(train.images[2], np.asarray(picture(seed=2)).transpose(2, 0, 1))
