"""Images that are prepared once: the same ones, resumed, compared, and never half used."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from image_folders import picture
from PIL import Image

from kd.config import AugmentConfig, TrainConfig
from kd.data import DatasetName, check_dataset, open_dataset
from kd.data import preparing as writing
from kd.data.__main__ import main
from kd.data.config import ImagesConfig
from kd.data.device_loader import DeviceLoader
from kd.data.images import Dataset, Images
from kd.data.preparing import compare, prepare
from kd.data.sources import prepared as reading
from kd.data.split import train_val
from kd.data.stored import Stored
from kd.errors import UserError
from kd.training.parallel import Place
from kd.training.trainer import Trainer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder of pictures of three classes and mixed sizes, with train, val and test."""
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("val", 5), ("test", 7)):
        for name in ("ant", "bee", "cat"):
            (tmp_path / "tree" / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (12 + number % 3, 14, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "tree" / part / name / f"{number}.jpg")
    return tmp_path / "tree"


def opened(folder: Path, *, stored: bool, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr(reading, "RESIDENT", 0.0 if stored else 0.5)
    return open_dataset(f"prepared:{folder}")


@pytest.mark.parametrize("stored", [False, True])
def test_prepared_images_are_those_of_the_folder(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    images, name = ImagesConfig(size=10), f"folder:{tree}"
    prepare(name, images, tmp_path / "to")
    usual = open_dataset(name, images=images)
    found = opened(tmp_path / "to", stored=stored, monkeypatch=monkeypatch)
    assert isinstance(found.train.images, Stored) == stored
    assert found.train.digest == usual.train.digest
    assert found.train.val is not None
    assert usual.train.val is not None
    assert found.train.val.digest == usual.train.val.digest
    assert found.load_test().digest == usual.load_test().digest
    assert (found.train.counts, found.train.size) == (usual.train.counts, (10, 10))
    info = check_dataset(f"prepared:{tmp_path / 'to'}")
    assert info == replace(check_dataset(name, images=images), notes=info.notes)
    config = TrainConfig.paper("ce", "resnet8", "cifar100", epochs=1, batch_size=16)
    losses = [
        Trainer(config, *train_val(each.train, config.split), place=Place.local("cpu")).fit()
        for each in (usual, found)
    ]
    assert losses[0]["train_loss"] == losses[1]["train_loss"]
    assert losses[0]["val_acc"] == losses[1]["val_acc"]


@pytest.mark.parametrize("name", ["digits", "folder"])
def test_it_is_written_once(name: str, tree: Path, tmp_path: Path) -> None:
    asked = (name if name == "digits" else f"folder:{tree}", ImagesConfig())
    asked = (asked[0], ImagesConfig(size=10)) if name == "folder" else asked
    first = prepare(*asked, tmp_path / "to")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "to").iterdir()}
    assert prepare(*asked, tmp_path / "to") == first
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "to").iterdir()}
    compare(tmp_path / "to")
    assert not (tmp_path / "to" / writing.STATE).exists()


def test_it_goes_on_where_it_was_stopped(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, name = ImagesConfig(size=10, skip_bad=3), f"folder:{tree}"
    for bad in ("train/ant/3.jpg", "train/cat/20.jpg", "test/bee/0.jpg"):
        (tree / bad).write_bytes(b"\xff\xd8\xff no picture")
    whole = prepare(name, images, tmp_path / "whole")
    monkeypatch.setattr(writing, "PIECE", 7 * 300)
    seen: list[int] = []
    usual = writing._save

    for stop in range(1, 14):

        def stopping(*args: object, stop: int = stop) -> None:
            usual(*args)  # type: ignore[arg-type]
            seen.append(stop)
            if len(seen) > stop:
                raise KeyboardInterrupt

        seen.clear()
        monkeypatch.setattr(writing, "_save", stopping)
        target = tmp_path / f"to-{stop}"
        with pytest.raises(KeyboardInterrupt):
            prepare(name, images, target)
        with pytest.raises(UserError, match="not prepared, or not whole yet"):
            open_dataset(f"prepared:{target}")
        # What was written after the last note of how far it is.
        with (target / "training.images").open("ab") as file:
            file.write(b"torn")
        monkeypatch.setattr(writing, "_save", usual)
        assert prepare(name, images, target).digests == whole.digests
    assert whole.counts == {"training": 88, "val": 15, "test": 20}


def test_one_command_writes_at_a_time(tree: Path, tmp_path: Path) -> None:
    images, name = ImagesConfig(size=10), f"folder:{tree}"
    (tmp_path / "to").mkdir()
    with writing._alone(tmp_path / "to"):
        asked = {"source": name, "images": asdict(images), "shape": [3, 10, 10]}
        writing._save(tmp_path / "to", asked, {})
        with pytest.raises(UserError, match="is being prepared by another command; wait for it"):
            prepare(name, images, tmp_path / "to")
    prepare(name, images, tmp_path / "to")
    assert not (tmp_path / "to" / writing.LOCK).exists()


def interrupted(name: str, images: ImagesConfig, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare in small pieces, of which the fifth is the last before an interruption."""
    usual, seen = writing._save, []

    def stopping(*args: object) -> None:
        usual(*args)  # type: ignore[arg-type]
        seen.append(1)
        if len(seen) > 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(writing, "PIECE", 7 * 300)
    monkeypatch.setattr(writing, "_save", stopping)
    with pytest.raises(KeyboardInterrupt):
        prepare(name, images, to)
    monkeypatch.setattr(writing, "_save", usual)


def test_other_images_of_the_same_name_are_never_mixed_in(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class that comes first would give those that were written the labels of others."""
    images, name = ImagesConfig(size=10), f"folder:{tree}"
    prepare(name, images, tmp_path / "whole")
    interrupted(name, images, tmp_path / "to", monkeypatch)
    for part in ("train", "val", "test"):
        (tree / part / "aardvark").mkdir()
        Image.new("RGB", (10, 10)).save(tree / part / "aardvark" / "1.jpg")
    for target, what in (("to", "a half of folder:"), ("whole", "folder:")):
        says = f"holds {what}.* as it was before, and it has other images or classes by now"
        with pytest.raises(UserError, match=says):
            prepare(name, images, tmp_path / target)
    for part in ("train", "val", "test"):
        (tree / part / "aardvark" / "1.jpg").unlink()
        (tree / part / "aardvark").rmdir()
    (tree / "train" / "ant" / "0.jpg").rename(tree / "train" / "ant" / "999.jpg")
    with pytest.raises(UserError, match="other images or classes by now"):
        prepare(name, images, tmp_path / "to")
    (tree / "train" / "ant" / "999.jpg").rename(tree / "train" / "ant" / "0.jpg")
    found = prepare(name, images, tmp_path / "to")
    assert found.digests == prepare(name, images, tmp_path / "whole").digests


def test_a_folder_among_the_images_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tree)
    for to in (tree / "train" / "new", tmp_path / "link" / "deep" / "new"):
        with pytest.raises(UserError, match=r"lies in .*tree, whose folders are classes; give"):
            prepare(f"folder:{tree}", ImagesConfig(size=10), to)
    assert not (tree / "train" / "new").exists()


def test_what_a_kill_left_at_the_very_beginning_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    for left in (writing.LOCK, f".{writing.STATE}.0123abcd"):
        (tmp_path / "to" / left).write_text("")
    prepare("digits", ImagesConfig(), tmp_path / "to")
    assert not [path for path in (tmp_path / "to").iterdir() if "state" in path.name]


def test_a_command_that_waited_for_no_one_finds_what_another_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its first look and its lock another came to its end."""
    usual, whole = writing._alone, []

    def late(folder: Path) -> object:
        if not whole:
            whole.append(1)
            whole.append(prepare("digits", ImagesConfig(), folder))
        return usual(folder)

    monkeypatch.setattr(writing, "_alone", late)
    assert prepare("digits", ImagesConfig(), tmp_path / "to") == whole[1]
    compare(tmp_path / "to")


def test_what_goes_on_is_held_to_what_was_written(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its size, and to how many images were left out."""
    for file in (tree / "train").rglob("*.jpg"):
        Image.new("RGB", (10, 10)).save(file)
    for part in ("val", "test"):
        for file in (tree / part).rglob("*.jpg"):
            Image.new("RGB", (10, 10)).save(file)
    later = tree / "train" / "cat" / "29.jpg"
    (tree / "train" / "ant" / "1.jpg").write_bytes(b"\xff\xd8\xff no picture")
    images = ImagesConfig(skip_bad=1)
    interrupted(f"folder:{tree}", images, tmp_path / "to", monkeypatch)
    Image.new("RGB", (12, 12)).save(later)
    with pytest.raises(UserError, match="make them alike by --resize N"):
        prepare(f"folder:{tree}", images, tmp_path / "to")
    later.write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(UserError, match="more than 1 such images are there"):
        prepare(f"folder:{tree}", images, tmp_path / "to")
    Image.new("RGB", (10, 10)).save(later)
    assert prepare(f"folder:{tree}", images, tmp_path / "to").counts["training"] == 89


def test_a_kill_at_any_time_loses_nothing(tmp_path: Path) -> None:
    """The digest would differ if a row came twice or was left out."""
    for name in ("ant", "bee"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        for number in range(300):
            drawn = picture(size=(40 + number % 5, 40), seed=number)
            drawn.save(tmp_path / "tree" / name / f"{number}.png")
    words = [sys.executable, "-m", "kd.data", f"folder:{tmp_path / 'tree'}", "--resize", "32"]
    code = (
        "import sys; from kd.data import preparing; preparing.PIECE = 3 * 32 * 32 * 20; "
        "from kd.data.__main__ import main; main(sys.argv[1:])"
    )
    slow = [sys.executable, "-c", code, *words[3:], "--to", str(tmp_path / "to")]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    kills = 0
    for wait in (0.02, 0.05, 0.1, 0.15, 0.2):
        process = subprocess.Popen(slow, env=env, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not (tmp_path / "to").exists() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills
    subprocess.run(slow, env=env, check=True, stdout=subprocess.DEVNULL)
    usual = open_dataset(f"folder:{tmp_path / 'tree'}", images=ImagesConfig(size=32))
    assert open_dataset(f"prepared:{tmp_path / 'to'}").train.digest == usual.train.digest


def test_what_memory_does_not_hold_can_be_prepared(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kd.data.sources.reading.os.sysconf", lambda _: 100)
    images, name = ImagesConfig(size=10), f"folder:{tree}"
    with pytest.raises(UserError, match=r"or prepare them: python -m kd.data NAME --to DIR"):
        check_dataset(name, images=images)
    assert prepare(name, images, tmp_path / "to").counts["training"] == 90


def test_what_lies_there_is_not_written_over(tree: Path, tmp_path: Path) -> None:
    prepare("digits", ImagesConfig(), tmp_path / "to")
    with pytest.raises(UserError, match="holds digits, prepared otherwise; give another --to"):
        prepare(f"folder:{tree}", ImagesConfig(size=10), tmp_path / "to")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty, and no prepared images"):
        prepare("digits", ImagesConfig(), other)
    assert (other / "mine.txt").read_text() == "mine"
    half = tmp_path / "half"
    half.mkdir()
    (half / writing.STATE).write_text('{"asked": {"source": "imagenet"}, "sets": {}}')
    with pytest.raises(UserError, match="holds imagenet, prepared otherwise and half"):
        prepare("digits", ImagesConfig(), half)
    (half / writing.STATE).write_text("{")
    with pytest.raises(UserError, match=r"state.json is damaged; delete the folder"):
        prepare("digits", ImagesConfig(), half)


def test_damage_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "to"
    prepare("digits", ImagesConfig(), folder)
    pixels = folder / "training.images"
    whole = pixels.read_bytes()
    pixels.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"training.images is not whole; prepare"):
        open_dataset(f"prepared:{folder}")
    pixels.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    open_dataset(f"prepared:{folder}")
    with pytest.raises(UserError, match=r"training.images is not what was written"):
        compare(folder)
    pixels.write_bytes(whole)
    labels = folder / "training.labels"
    labels.write_bytes(np.full(1297, 10).tobytes())
    with pytest.raises(UserError, match=r"training.labels is damaged"):
        open_dataset(f"prepared:{folder}")
    for text in ("", "[]", '{"shape": [1]}', "null"):
        (folder / "about.json").write_text(text)
        with pytest.raises(UserError, match=r"about.json is damaged; prepare the images again"):
            open_dataset(f"prepared:{folder}")
    with pytest.raises(UserError, match=r"is not a folder; give prepared:DIR one"):
        check_dataset(f"prepared:{tmp_path / 'nowhere'}")


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: type("Free", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"needs 0.1 MiB, and 1.0 KiB are free there; make the"):
        prepare("digits", ImagesConfig(), tmp_path / "to")
    assert not (tmp_path / "to" / "training.images").exists()


def test_a_file_that_is_gone_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare("digits", ImagesConfig(), tmp_path / "to")
    found = opened(tmp_path / "to", stored=True, monkeypatch=monkeypatch)
    (tmp_path / "to" / "training.images").unlink()
    assert isinstance(found.train.images, Stored)
    with pytest.raises(UserError, match="is no longer there; put it back"):
        found.train.images.read(np.array([0]))


def test_a_val_set_of_its_own_may_be_trained_on_too(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(f"folder:{tree}", ImagesConfig(size=10), tmp_path / "to")
    split = replace(TrainConfig.paper("ce", "resnet8", "digits").split, train_on_val=True)
    usual, lazy = (
        train_val(opened(tmp_path / "to", stored=s, monkeypatch=monkeypatch).train, split)[0]
        for s in (False, True)
    )
    assert len(usual) == len(lazy) == 105
    assert isinstance(lazy.images, Stored)
    assert np.array_equal(lazy.images.read(np.arange(105)), usual.images)
    mixed = np.array([104, 0, 90, 89])
    assert np.array_equal(lazy.images.read(mixed), usual.images[mixed])


def test_as_many_images_as_imagenet_has_are_each_seen_once(tmp_path: Path) -> None:
    """1,281,167 tiny ones, by the path of those that memory does not hold."""
    count, shape, names = 1_281_167, (1, 1, 3), ("even", "odd")
    folder = tmp_path / "many"
    folder.mkdir()
    numbers = np.arange(count)
    pixels = np.stack([numbers >> 16, numbers >> 8, numbers], axis=1).astype(np.uint8)
    (folder / "training.images").write_bytes(pixels.tobytes())
    (folder / "training.labels").write_bytes((numbers % 2).tobytes())
    about = {
        "source": "many", "images": {}, "shape": shape, "class_names": names, "notes": [],
        "counts": {"training": count}, "digests": {"training": "0"},
    }  # fmt: skip
    (folder / "about.json").write_text(json.dumps(about))
    reader = reading.Mapped(folder / "training.images", count, shape, "0")
    train = Images(Stored(reader, np.arange(count)), numbers % 2, names)
    loader = DeviceLoader(
        train, 8192, augment=AugmentConfig(crop_padding=0, flip=0),
        statistics=((0.0,), (1 / 255,)), device="cpu",
    )  # fmt: skip
    seen = np.zeros(count, np.int64)
    for batch in loader.epoch(0):
        bytes_ = batch.images.round().numpy().astype(np.int64)[:, 0, 0]
        read = (bytes_[:, 0] << 16) + (bytes_[:, 1] << 8) + bytes_[:, 2]
        assert np.array_equal(read, batch.indices.numpy())
        assert np.array_equal(batch.labels.numpy(), read % 2)
        seen[read] += 1
    assert (seen == 1).all()


def test_the_command_says_what_is_there(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(words)
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out + found.err

    code, said = typed(f"folder:{tree}", "--resize", "10")
    assert code == 0
    assert "90 training images of 10×10 pixels and 3 channel(s), 3 classes of 30 to 30" in said
    assert "val: 15 images" in said
    code, said = typed(f"folder:{tree}", "--resize", "10", "--to", str(tmp_path / "to"))
    assert said.startswith("Prepared: 90 training, 15 val, 21 test images. Train on them as")
    assert f"--dataset prepared:{tmp_path / 'to'}" in said
    assert typed(f"prepared:{tmp_path / 'to'}")[0] == 0
    assert typed(f"prepared:{tmp_path / 'to'}", "--to", "x")[0] == 2
    code, said = typed(f"folder:{tree}")
    assert code == 2
    assert "make them alike by --resize N" in said
    assert str(DatasetName.parse("prepared:a/b")) == "prepared:a/b"
