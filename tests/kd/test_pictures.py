"""What is made of image files as they are read: kinds, sizes, damage; real files, by Pillow."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import picture, split_folder
from PIL import Image
from torchvision.transforms.v2 import functional

from kd.config import ImagesConfig
from kd.data import check_dataset, open_dataset, verify_dataset
from kd.data.__main__ import main
from kd.data.sources import pictures, reading
from kd.data.sources.pictures import Encoded, decode_file, shape_of, squared
from kd.errors import UserError

RGB = ImagesConfig(convert=True)
PLAIN = ImagesConfig()
KINDS = {
    "1": ("png", "black and white"),
    "P": ("png", "an image with a palette"),
    "LA": ("png", "grey with transparency"),
    "RGBA": ("png", "RGB with transparency"),
    "CMYK": ("jpg", "CMYK"),
    "I;16": ("png", "grey of 16 bits"),
}


def saved(path: Path, image: Image.Image, **how: object) -> Encoded:
    image.save(path, **how)
    return Encoded(path)


# -- kinds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", KINDS)
def test_a_kind_that_is_neither_grey_nor_rgb_is_refused_by_name_and_converted(mode, tmp_path):
    ending, kind = KINDS[mode]
    one = saved(tmp_path / f"x.{ending}", picture(mode, (7, 5)))
    for look in (decode_file, shape_of):
        with pytest.raises(UserError, match=rf"x\.{ending} is {kind}; make every image RGB by"):
            look(one, PLAIN)
    pixels = decode_file(one, RGB)
    assert (pixels.shape, pixels.dtype) == ((5, 7, 3), np.uint8)
    assert shape_of(one, RGB) == (5, 7, 3)
    assert pixels.std() > 20


def test_grey_of_16_bits_keeps_its_higher_8(tmp_path):
    deep = np.array([[0, 255, 256], [32768, 65535, 4660]], np.uint16)
    one = saved(tmp_path / "x.png", Image.fromarray(deep))
    assert decode_file(one, RGB)[..., 0].tolist() == [[0, 0, 1], [128, 255, 18]]


def test_a_transparent_palette_is_converted_without_a_word(tmp_path, recwarn):
    image = picture("P")
    image.info["transparency"] = bytes(range(200))
    one = saved(tmp_path / "x.png", image, transparency=bytes(range(200)))
    with Image.open(one.file) as opened:
        whole = np.asarray(opened.convert("RGBA"))[..., :3]
    assert np.array_equal(decode_file(one, RGB), whole)
    assert not recwarn.list


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tiff"])
def test_grey_and_rgb_stay_what_they_are(mode, channels, ending, tmp_path):
    one = saved(tmp_path / f"x.{ending}", picture(mode, (7, 5)))
    if ending == "webp" and mode == "L":
        channels = 3  # It has no grey.
    assert decode_file(one, PLAIN).shape == shape_of(one, PLAIN) == (5, 7, channels)
    if ending in ("png", "bmp", "tiff"):
        assert np.array_equal(decode_file(one, PLAIN).squeeze(), np.asarray(picture(mode, (7, 5))))


def test_a_set_that_is_all_grey_has_one_channel(tmp_path):
    split_folder(tmp_path, mode="L")
    name = f"folder:{tmp_path}"
    assert check_dataset(name).channels == open_dataset(name).train.images.shape[1] == 1
    assert check_dataset(name, images=RGB).channels == 3
    assert open_dataset(name, images=RGB).load_test().images.shape[1] == 3


def test_floating_point_pixels_are_refused_in_any_case(tmp_path):
    one = saved(tmp_path / "x.tiff", Image.fromarray(np.zeros((4, 4), np.float32)))
    for images in (PLAIN, RGB):
        with pytest.raises(UserError, match="has floating-point pixels; write it as PNG or JPEG"):
            decode_file(one, images)


def test_the_name_of_a_file_says_nothing_of_its_form(tmp_path):
    file = tmp_path / "n02105855_2933.JPEG"
    picture().save(file, "png")
    assert np.array_equal(decode_file(Encoded(file), PLAIN), np.asarray(picture()))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_images_stand_upright_as_their_exif_says(orientation, ending, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.zeros((6, 9, 3), np.uint8)
    upright[:3, :4] = 255
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(turned))
    one = saved(tmp_path / f"x.{ending}", image, exif=exif, quality=95)
    pixels = decode_file(one, PLAIN)
    assert pixels.shape == shape_of(one, PLAIN) == upright.shape
    assert np.abs(pixels[:2, :3].astype(int) - 255).max() < 60
    assert pixels[4:, 5:].max() < 60


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 60), (60, 80), (64, 64), (12, 8), (7, 500)])
def test_resizing_is_torchvisions_to_a_rounding(size):
    image, target = picture(size=size), 30
    tensor = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    long = round(target * max(size) / min(size))
    shape = [target, long] if size[0] > size[1] else [long, target]
    theirs = functional.center_crop(functional.resize(tensor, shape, antialias=True), [target] * 2)
    ours = np.asarray(squared(image, target)).transpose(2, 0, 1).astype(int)
    if (long - target) % 2 == 0:
        assert np.abs(ours - theirs.numpy()).max() <= 2


def test_images_of_many_sizes_are_read_as_squares(tmp_path):
    split_folder(tmp_path)
    picture(size=(40, 9)).save(tmp_path / "train" / "dog" / "dog_0.png")
    picture(size=(3, 1)).save(tmp_path / "test" / "dog" / "dog_2.png")
    name, images = f"folder:{tmp_path}", ImagesConfig(size=5)
    assert check_dataset(name, images=images).size == (5, 5)
    dataset = open_dataset(name, images=images)
    assert dataset.train.images.shape == (11, 3, 5, 5)
    assert dataset.load_test().images.shape == (11, 3, 5, 5)


def test_an_extremely_oblong_image_takes_no_memory_to_resize(tmp_path):
    one = saved(tmp_path / "x.png", Image.new("L", (60_000, 1), 7))
    assert decode_file(one, ImagesConfig(size=64)).shape == (64, 64, 1)


def test_more_images_than_the_memory_holds_are_refused_by_the_quick_check(tmp_path, monkeypatch):
    split_folder(tmp_path)
    monkeypatch.setattr(reading.os, "sysconf", {"SC_PAGE_SIZE": 100, "SC_PHYS_PAGES": 12}.get)
    with pytest.raises(UserError, match=r"The 11 images of the training set, of shape \[8, 8, 3\]"):
        check_dataset(f"folder:{tmp_path}")
    assert check_dataset(f"folder:{tmp_path}", images=ImagesConfig(size=4)).size == (4, 4)


# -- damage ----------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    picture(size=(64, 64)).save(path, "jpeg")
    path.write_bytes(path.read_bytes()[:-900])


def garbage(path: Path) -> None:
    path.write_bytes(b"no image at all")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def broken_png(path: Path) -> None:
    whole = io.BytesIO()
    picture(size=(64, 64)).save(whole, "png")
    path.write_bytes(whole.getvalue()[:60] + bytes(400) + whole.getvalue()[460:])


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path, "png")


@pytest.mark.parametrize("damage", [cut, garbage, empty, broken_png, bomb])
@pytest.mark.parametrize("number", [0, 3])
def test_a_damaged_file_is_named_or_left_out(damage, number, tmp_path, capsys):
    split_folder(tmp_path, size=(64, 64))
    damage(tmp_path / "train" / "cat" / f"cat_{number}.png")
    name = f"folder:{tmp_path}"
    with pytest.raises(
        UserError, match=rf"cat_{number}\.png cannot be decoded \(.+\); put a whole image there, or"
    ):
        open_dataset(name)
    images = ImagesConfig(skip_bad=1)
    assert check_dataset(name, images=images).size == (64, 64)
    train = open_dataset(name, images=images).train
    assert train.counts == {"cat": 5, "dog": 5}
    said = capsys.readouterr().out
    assert re.search(rf"Left out, .*: 1 of 11 training images; the first is .*cat_{number}", said)
    whole = [np.asarray(picture(size=(64, 64), seed=n)) for n in range(6) if n != number]
    assert np.array_equal(train.images[:5].transpose(0, 2, 3, 1), whole)


def test_the_listing_counts_what_training_sees(tmp_path, capsys):
    split_folder(tmp_path, ("train", "val", "test"))
    for place in ("train/cat/cat_3.png", "val/dog/dog_1.png"):
        garbage(tmp_path / place)
    with pytest.raises(SystemExit):
        main([f"folder:{tmp_path}", "--skip-bad-images", "2"])
    said = capsys.readouterr().out
    assert "10 training images of 8×8 pixels and 3 channel(s), 2 classes of 5 to 5" in said
    assert "val: 10 images" in said
    for number in range(6):
        for name in ("cat", "dog"):
            garbage(tmp_path / "val" / name / f"{name}_{number}.png")
    with pytest.raises(UserError, match="No val image can be decoded; give others"):
        verify_dataset(f"folder:{tmp_path}", images=ImagesConfig(skip_bad=99))


def test_more_damaged_files_than_are_allowed(tmp_path):
    split_folder(tmp_path)
    for number in (1, 2, 4):
        garbage(tmp_path / "train" / "dog" / f"dog_{number}.png")
    for most in (1, 2):
        with pytest.raises(
            UserError, match=rf"dog_1\.png cannot .*more than {most} such images are there"
        ):
            open_dataset(f"folder:{tmp_path}", images=ImagesConfig(skip_bad=most))
    images = ImagesConfig(skip_bad=3)
    assert len(open_dataset(f"folder:{tmp_path}", images=images).train) == 8


def test_nothing_but_damaged_files(tmp_path):
    split_folder(tmp_path, counts={"cat": 1, "dog": 1})
    for name in ("cat", "dog"):
        garbage(tmp_path / "train" / name / f"{name}_0.png")
        garbage(tmp_path / "test" / name / f"{name}_0.png")
    with pytest.raises(UserError, match=r"No image of .* can be decoded; give others"):
        check_dataset(f"folder:{tmp_path}", images=ImagesConfig(skip_bad=9))


def test_a_damaged_test_image_is_found_before_the_test_set_is_opened(tmp_path):
    split_folder(tmp_path)
    garbage(tmp_path / "test" / "dog" / "dog_4.png")
    dataset = open_dataset(f"folder:{tmp_path}")
    with pytest.raises(UserError, match=r"test/dog/dog_4\.png cannot be decoded"):
        dataset.check_test()
    picture("RGBA").save(tmp_path / "test" / "dog" / "dog_4.png")
    with pytest.raises(UserError, match=r"dog_4\.png is RGB with transparency"):
        dataset.check_test()
    picture().save(tmp_path / "test" / "dog" / "dog_4.png")
    dataset.check_test()


def test_a_file_that_may_not_be_read_is_named(tmp_path):
    split_folder(tmp_path)
    path = tmp_path / "train" / "dog" / "dog_1.png"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(UserError, match=r"dog_1\.png cannot be decoded \(Too many levels of symb"):
        open_dataset(f"folder:{tmp_path}")


def test_what_memory_lacks_is_no_damage(tmp_path, monkeypatch):
    one = saved(tmp_path / "x.png", picture())

    def no_room(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(pictures.ImageOps, "exif_transpose", no_room)
    with pytest.raises(MemoryError):
        decode_file(one, PLAIN)


# -- many ------------------------------------------------------------------------------------------


def test_few_images_are_in_memory_beside_those_that_are_ready(tmp_path, monkeypatch):
    split_folder(tmp_path, counts={"cat": 40, "dog": 40})
    monkeypatch.setattr(reading, "CHUNK", 8)
    source = reading.FileSource("x", PLAIN, lambda: parts)
    parts = check_parts(tmp_path)
    asked: list[int] = []

    def watched() -> object:
        for number, one in enumerate(whole()):
            asked.append(number)
            yield one

    whole = parts.train.encoded
    object.__setattr__(parts.train, "encoded", watched)
    seen = []
    for row, _ in reading.decoded(parts.train, PLAIN, reading.Alike()):
        seen.append(len(asked) - row)
    assert max(seen) <= 8
    assert len(source.open().train) == 80


def check_parts(folder: Path) -> reading.Parts:
    from kd.data.sources.folders import find_folder

    return find_folder(folder, PLAIN, "")


def test_how_far_reading_is_is_told_where_it_takes_long(tmp_path, monkeypatch, capsys):
    split_folder(tmp_path, counts={"cat": 10, "dog": 10})
    open_dataset(f"folder:{tmp_path}")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("kd.progress.SOON", 0.0)
    monkeypatch.setattr("kd.progress.OFTEN", 0.0)
    monkeypatch.setattr(reading, "CHUNK", 8)
    open_dataset(f"folder:{tmp_path}")
    assert capsys.readouterr().out.splitlines() == [
        f"training images read: {done} of 20" for done in (8, 16, 20)
    ]
