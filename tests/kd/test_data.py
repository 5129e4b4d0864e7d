import io
import json
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kd.config import AugmentConfig, SplitConfig
from kd.data import Images, check_dataset, dataset_names, default_augment, open_dataset
from kd.data.sources.rows import opened, read_form, read_labels
from kd.data.split import train_val
from kd.errors import UserError

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def digits() -> Images:
    return open_dataset("digits").train


def write_parquet(path: Path, images: Images, encoding: str = "raw-uint8", **changes: str) -> None:
    """`images` as a Parquet file; `changes` replace entries of the metadata, "" drops one."""
    channels_last = images.images.transpose(0, 2, 3, 1)

    def encode(image: np.ndarray) -> bytes:
        if encoding == "raw-uint8":
            return image.tobytes()
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, encoding.removesuffix("-lossless"))
        return file.getvalue()

    columns = {"image": [encode(i) for i in channels_last], "label": images.labels.astype(np.int16)}
    metadata = {
        "shape": json.dumps(channels_last.shape[1:]),
        "class_names": json.dumps(images.class_names),
        "encoding": encoding,
    }
    metadata = {k: v for k, v in {**metadata, **changes}.items() if v}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)


@pytest.fixture
def folder(tmp_path: Path, digits: Images) -> Path:
    """A sound folder of 50 training and 20 test images."""
    write_parquet(tmp_path / "train.parquet", digits.subset(np.arange(50)))
    write_parquet(tmp_path / "test.parquet", digits.subset(np.arange(50, 70)))
    return tmp_path


# -- digits -----------------------------------------------------------------------------------


def test_digits_are_scikit_learns_cut_in_two() -> None:
    dataset = open_dataset("digits")
    test = dataset.load_test()
    assert dataset.train.images.shape == (1297, 1, 8, 8)
    assert test.images.shape == (500, 1, 8, 8)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int64
    both = np.concatenate([dataset.train.images, test.images]).reshape(1797, 64)
    theirs = load_digits().data
    assert both.max() == 255
    back = np.rint(both * (16 / 255))
    assert np.array_equal(np.sort(back, axis=0), np.sort(theirs, axis=0))
    counts = np.bincount(test.labels, minlength=10)
    assert counts.min() >= 48
    assert counts.max() <= 51


def test_the_test_digits_are_the_same_for_ever() -> None:
    test = open_dataset("digits").load_test()
    first = test.labels[:20].tolist()
    assert first == [1, 2, 3, 1, 3, 5, 0, 1, 5, 5, 0, 2, 8, 0, 6, 3, 7, 3, 4, 6]


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("cifar-100", "did you mean 'cifar100'"),
        ("fashion", "did you mean 'fashion-mnist'"),
        ("parquet:", "did you mean 'parquet:FOLDER'"),
        ("imagenet-1k", "did you mean 'imagenet'"),
        ("folder", "did you mean 'folder:DIR'"),
        ("zzz", "choose one of: cifar10, cifar100, digits, fashion-mnist, folder:DIR, imagenet, p"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, sentence: str) -> None:
    for ask in (check_dataset, open_dataset, default_augment):
        with pytest.raises(UserError, match=sentence):
            ask(name)


def test_augmentation_suits_the_images(folder: Path) -> None:
    assert default_augment("digits") == AugmentConfig(crop_padding=1, flip=0.0)
    assert default_augment("cifar100") == AugmentConfig(crop_padding=4, flip=0.5)
    assert default_augment("fashion-mnist") == AugmentConfig(crop_padding=2, flip=0.5)
    assert default_augment(f"parquet:{folder}") == AugmentConfig(crop_padding=1, flip=0.5)
    assert "digits" in dataset_names()


# -- downloads --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist"])
def test_no_network_and_no_data_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.delenv("no_proxy", raising=False)
    # urllib keeps the proxies of its first request for the rest of the process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    check_dataset(name, tmp_path)
    with pytest.raises(UserError, match=r"cannot be downloaded.*--dataset digits"):
        open_dataset(name, tmp_path)


def test_a_download_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="not a folder; set KD_DATA"):
        check_dataset("cifar100", tmp_path / "file")


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(header + values.tobytes())


@pytest.fixture
def fashion_root(tmp_path: Path, digits: Images) -> Path:
    """Digits in the place and the form of Fashion-MNIST's unpacked files."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for split, part in (("train", slice(0, 30)), ("t10k", slice(30, 40))):
        write_idx(raw / f"{split}-images-idx3-ubyte", digits.images[part, 0])
        write_idx(raw / f"{split}-labels-idx1-ubyte", digits.labels[part].astype(np.uint8))
    return tmp_path


def test_torchvisions_files_are_read_and_kd_data_names_their_folder(
    fashion_root: Path, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KD_DATA", str(fashion_root))
    dataset = open_dataset("fashion-mnist")
    test = dataset.load_test()
    assert np.array_equal(dataset.train.images, digits.images[:30])
    assert np.array_equal(test.images, digits.images[30:40])
    assert np.array_equal(test.labels, digits.labels[30:40])
    assert dataset.train.class_names[0] == "T-shirt/top"


def test_a_cut_off_download_is_one_sentence(fashion_root: Path) -> None:
    images = fashion_root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:500])
    with pytest.raises(UserError, match="fashion-mnist is not whole"):
        open_dataset("fashion-mnist", fashion_root)


# -- parquet ----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["raw-uint8", "png"])
def test_parquet_gives_back_what_was_written(tmp_path: Path, digits: Images, encoding: str) -> None:
    train, test = digits.subset(np.arange(50)), digits.subset(np.arange(50, 70))
    write_parquet(tmp_path / "train.parquet", train, encoding)
    write_parquet(tmp_path / "test.parquet", test, encoding)
    dataset = open_dataset(f"parquet:{tmp_path}")
    for read, written in ((dataset.train, train), (dataset.load_test(), test)):
        assert np.array_equal(read.images, written.images)
        assert np.array_equal(read.labels, written.labels)
        assert read.class_names == written.class_names


def test_colours_and_oblong_images_survive_lossless_webp(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 6, 10), np.uint8)
    images = Images(pixels, np.array([0, 1, 0, 1]), ("a", "b"))
    channels_last = pixels.transpose(0, 2, 3, 1)
    for name in ("train", "test"):
        write_parquet(tmp_path / f"{name}.parquet", images)
        table = pq.read_table(tmp_path / f"{name}.parquet")
        files = []
        for image in channels_last:
            file = io.BytesIO()
            Image.fromarray(image).save(file, "webp", lossless=True)
            files.append(file.getvalue())
        metadata = {**table.schema.metadata, b"encoding": b"webp-lossless"}
        table = pa.table({"image": files, "label": table["label"]})
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / f"{name}.parquet")
    assert np.array_equal(open_dataset(f"parquet:{tmp_path}").train.images, pixels)


def test_the_test_file_is_not_read_before_it_is_asked_for(folder: Path) -> None:
    dataset = open_dataset(f"parquet:{folder}")
    (folder / "test.parquet").unlink()
    with pytest.raises(UserError, match=r"test\.parquet is not there"):
        dataset.load_test()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_or_damaged_file_is_found_by_the_quick_check(folder: Path, split: str) -> None:
    path = folder / f"{split}.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"{split}\.parquet cannot be read as Parquet"):
        check_dataset(f"parquet:{folder}")
    path.unlink()
    with pytest.raises(UserError, match=rf"{split}\.parquet is not there"):
        check_dataset(f"parquet:{folder}")
    with pytest.raises(UserError, match="is not a folder"):
        check_dataset(f"parquet:{path}")


@pytest.mark.parametrize("name", ["parquet:~nobody-of-this-name/x", "parquet:no-such-folder"])
def test_a_folder_that_is_not_there_is_one_sentence(name: str) -> None:
    for ask in (check_dataset, open_dataset):
        with pytest.raises(UserError, match="is not a folder; give parquet:FOLDER one"):
            ask(name)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shape": ""}, "does not say what its images are"),
        ({"class_names": "apple, pear"}, "does not say what its images are"),
        ({"class_names": '"abcdefghij"'}, "does not say what its images are"),
        ({"shape": '"88"'}, "does not say what its images are"),
        ({"shape": "[Infinity, 8]"}, "does not say what its images are"),
        ({"shape": "[8.5, 8]"}, "does not say what its images are"),
        ({"shape": "[" * 100_000}, "does not say what its images are"),
        ({"shape": "[64]"}, r"it needs \[H, W\]"),
        ({"encoding": "gif"}, "one of raw-uint8, webp-lossless, png, jpeg"),
        ({"shape": "[4, 16]"}, "other shapes or classes"),
        ({"class_names": '["a"]'}, "other shapes or classes"),
    ],
)
def test_wrong_metadata_is_found_by_the_quick_check(
    folder: Path, digits: Images, changes: dict[str, str], sentence: str
) -> None:
    write_parquet(folder / "train.parquet", digits.subset(np.arange(50)), **changes)
    with pytest.raises(UserError, match=sentence):
        check_dataset(f"parquet:{folder}")


@pytest.mark.parametrize(("column", "kind"), [("image", "binary"), ("label", "integer")])
@pytest.mark.parametrize("change", ["drop", "retype"])
def test_wrong_columns_are_found_by_the_quick_check(
    folder: Path, column: str, kind: str, change: str
) -> None:
    table = pq.read_table(folder / "train.parquet")
    place = table.schema.get_field_index(column)
    if change == "drop":
        table = table.remove_column(place)
    else:
        table = table.set_column(place, column, pa.array([0.5] * len(table)))
    pq.write_table(table, folder / "train.parquet")
    with pytest.raises(UserError, match=f"no {kind} column '{column}'"):
        check_dataset(f"parquet:{folder}")


def test_a_label_out_of_range_or_missing_is_named_by_its_row(folder: Path) -> None:
    for label, kind in (
        (10, pa.int16()),
        (-1, pa.int16()),
        (None, pa.int16()),
        (2**63, pa.uint64()),
    ):
        table = pq.read_table(folder / "train.parquet")
        labels = table["label"].to_pylist()
        labels[7] = label
        table = table.set_column(1, "label", pa.array(labels, kind))
        pq.write_table(table, folder / "train.parquet")
        with pytest.raises(UserError, match=f"row 7: the label is {label}; it must lie between"):
            open_dataset(f"parquet:{folder}")


@pytest.mark.parametrize("wrong", [b"short", b"", None])
@pytest.mark.parametrize("encoding", ["raw-uint8", "png"])
def test_an_image_that_is_none_is_named_by_its_row(
    folder: Path, digits: Images, encoding: str, wrong: bytes | None
) -> None:
    write_parquet(folder / "train.parquet", digits.subset(np.arange(50)), encoding)
    table = pq.read_table(folder / "train.parquet")
    images = table["image"].to_pylist()
    images[3] = wrong
    pq.write_table(table.set_column(0, "image", pa.array(images)), folder / "train.parquet")
    with pytest.raises(UserError, match=r"row 3 cannot be decoded \(it .*--skip-bad-images N"):
        open_dataset(f"parquet:{folder}")


def test_a_colour_picture_among_grey_ones_is_refused(folder: Path, digits: Images) -> None:
    write_parquet(folder / "train.parquet", digits.subset(np.arange(50)), "png")
    table = pq.read_table(folder / "train.parquet")
    images = table["image"].to_pylist()
    for mode in ("RGB", "P", "I;16"):
        file = io.BytesIO()
        Image.new(mode, (8, 8)).save(file, "png")
        images[3] = file.getvalue()
        pq.write_table(table.set_column(0, "image", pa.array(images)), folder / "train.parquet")
        with pytest.raises(UserError, match="row 3"):
            open_dataset(f"parquet:{folder}")


def test_a_picture_too_large_for_pillow_is_named_by_its_row(folder: Path, digits: Images) -> None:
    write_parquet(folder / "train.parquet", digits.subset(np.arange(50)), "png")
    table = pq.read_table(folder / "train.parquet")
    images, file = table["image"].to_pylist(), io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "png")
    images[3] = file.getvalue()
    pq.write_table(table.set_column(0, "image", pa.array(images)), folder / "train.parquet")
    with pytest.raises(UserError, match=r"row 3 cannot be decoded \(it has more"):
        open_dataset(f"parquet:{folder}")


def test_a_shape_that_no_memory_holds_is_one_sentence(folder: Path, digits: Images) -> None:
    for split in ("train", "test"):
        images = digits.subset(np.arange(50))
        write_parquet(folder / f"{split}.parquet", images, shape="[1000000, 1000000, 3]")
    with pytest.raises(UserError, match=r"shape \[1000000, 1000000, 3\]"):
        open_dataset(f"parquet:{folder}")


def test_a_file_without_rows_is_found_by_the_quick_check(folder: Path) -> None:
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.slice(0, 0), folder / "train.parquet")
    with pytest.raises(UserError, match="has no rows"):
        check_dataset(f"parquet:{folder}")


# -- strange files and names --------------------------------------------------------------------


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_circle_of_links(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Path.mkdir, "is not a file; put a Parquet file there"),
        (a_pipe, "is not a file; put a Parquet file there"),
        (a_circle_of_links, "cannot be read: Too many levels of symbolic links; see that"),
        (Path.touch, r"cannot be read as Parquet \(.*\); write or copy it again"),
    ],
)
def test_what_is_no_file_is_one_sentence(
    folder: Path, split: str, make: Callable[[Path], None], sentence: str
) -> None:
    path = folder / f"{split}.parquet"
    path.unlink()
    make(path)
    with pytest.raises(UserError, match=rf"{split}\.parquet {sentence}"):
        check_dataset(f"parquet:{folder}")


@pytest.mark.parametrize("column", ["image", "label"])
def test_two_columns_of_one_name_are_refused(folder: Path, column: str) -> None:
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.append_column(column, table[column]), folder / "train.parquet")
    with pytest.raises(UserError, match=f"has 2 columns '{column}'; write it with one"):
        check_dataset(f"parquet:{folder}")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shape": "[0, 5]"}, r"has shape \[0, 5\]"),
        ({"shape": f"[{10**9}, {10**9}]"}, "more than the memory holds"),
        ({"shape": str([8] * 5000)}, r"has shape .{1,130}, 10 classes"),
        ({"class_names": json.dumps(["a", "b"] * 5)}, "gives the name 'a' to two classes"),
        ({"class_names": json.dumps(["x" * 10**5] * 10)}, "gives the name .{1,130} to two classes"),
        ({"encoding": "x" * 10**5}, "encoding .{1,130}; it needs"),
    ],
)
def test_strange_metadata_is_one_short_sentence(
    folder: Path, changes: dict[str, str], sentence: str
) -> None:
    for name in ("train.parquet", "test.parquet"):
        table = pq.read_table(folder / name)
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        pq.write_table(table.replace_schema_metadata(metadata | changes), folder / name)
    with pytest.raises(UserError, match=sentence) as refused:
        check_dataset(f"parquet:{folder}")
    assert len(str(refused.value)) < 600


def test_a_label_out_of_range_is_found_by_the_quick_check(folder: Path) -> None:
    table = pq.read_table(folder / "train.parquet")
    labels = [10, *table["label"].to_pylist()[1:]]
    pq.write_table(table.set_column(1, "label", pa.array(labels)), folder / "train.parquet")
    with pytest.raises(UserError, match="row 0: the label is 10; it must lie between"):
        check_dataset(f"parquet:{folder}")


def test_a_file_that_is_written_while_it_is_read_is_one_sentence(folder: Path) -> None:
    path = folder / "train.parquet"
    whole = path.read_bytes()

    def read_while_it_is_cut() -> None:
        with opened(path) as file:
            path.write_bytes(whole[: len(whole) // 2])
            file.read(columns=["image"])

    with pytest.raises(UserError, match="was written while it was read; try again when"):
        read_while_it_is_cut()


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(
    folder: Path, digits: Images
) -> None:
    path = folder / "train.parquet"
    with opened(path) as file:
        write_parquet(folder / "new", digits.subset(np.arange(60, 90)))
        (folder / "new").replace(path)
        assert read_labels(path, file, read_form(path, file)).tolist() == [
            *digits.labels[:50].tolist()
        ]


@pytest.mark.parametrize(
    "name",
    [
        "x" * 10_000,
        "parquet:" + "x" * 10_000,
        "parquet:no\nsuch\nfolder",
        "no\nsuch\nname",
        "parquet:\0",
        "parquet:a\0b",
        "parquet:~nobody-of-this-name/x",
        "parquet:\ud800",
    ],
)
def test_a_strange_name_is_one_short_sentence(name: str) -> None:
    for ask in (check_dataset, open_dataset, default_augment):
        with pytest.raises(UserError) as refused:
            ask(name)
        assert len(str(refused.value)) < 400
        assert str(refused.value).isprintable()


def test_a_download_folder_of_nobody_is_a_folder_of_that_name() -> None:
    assert check_dataset("cifar10", "~nobody-of-this-name/x").channels == 3


@pytest.mark.parametrize(
    ("name", "shape"), [("cifar100-mini", (3, 32, 32)), ("fashion-mini", (1, 28, 28))]
)
def test_real_folders(name: str, shape: tuple[int, ...]) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"The images of ../shared/data/{name} are not beside this checkout.")
    dataset = open_dataset(f"parquet:{SHARED / name}")
    assert dataset.train.images.shape == (1000, *shape)
    assert dataset.load_test().images.shape == (200, *shape)
    assert np.bincount(dataset.train.labels).tolist() == [100] * 10
    assert dataset.train.images.std() > 30


# -- split ------------------------------------------------------------------------------------


def test_val_is_stratified_and_never_overlaps_train(digits: Images) -> None:
    numbered = Images(
        np.arange(len(digits)).astype(np.int64).view(np.uint8).reshape(-1, 1, 1, 8),
        digits.labels,
        digits.class_names,
    )
    train, val = train_val(numbered, SplitConfig(val_fraction=0.3))
    assert len(val) == round(0.3 * len(digits))
    numbers = [part.images.reshape(-1, 8).view(np.int64).ravel() for part in (train, val)]
    assert sorted(np.concatenate(numbers)) == list(range(len(digits)))
    for part, share in ((train, 0.7), (val, 0.3)):
        counts = np.bincount(part.labels)
        assert np.abs(counts - share * np.bincount(digits.labels)).max() <= 1
    assert np.array_equal(digits.labels[numbers[1]], val.labels)


def test_a_split_depends_on_the_seed_alone(digits: Images) -> None:
    val = {seed: train_val(digits, SplitConfig(seed=seed))[1].images for seed in (0, 1)}
    again = train_val(digits, SplitConfig(seed=0))[1].images
    assert np.array_equal(val[0], again)
    assert not np.array_equal(val[0], val[1])
    first = train_val(digits, SplitConfig())[1].labels[:20].tolist()
    assert first == [5, 6, 7, 9, 8, 5, 1, 3, 3, 8, 1, 5, 9, 3, 0, 5, 9, 8, 3, 6]


def test_few_shot_keeps_a_stratified_part_and_the_same_val(digits: Images) -> None:
    whole = train_val(digits, SplitConfig())
    few = train_val(digits, SplitConfig(train_size=100))
    assert np.array_equal(whole[1].images, few[1].images)
    assert np.bincount(few[0].labels).tolist() == [10] * 10
    kept = {image.tobytes() for image in whole[0].images}
    assert all(image.tobytes() in kept for image in few[0].images)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (SplitConfig(val_fraction=0.001), "val_fraction 0.001 leaves no image of class"),
        (SplitConfig(val_fraction=0.999), "leaves no image of class .* for training"),
        (SplitConfig(train_size=9), "train_size 9 leaves no image of class"),
        (SplitConfig(train_size=1200), "give at most 1167"),
    ],
)
def test_a_split_that_leaves_a_class_empty_is_refused(
    digits: Images, config: SplitConfig, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        train_val(digits, config)
