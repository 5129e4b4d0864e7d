"""Folders of image files: which set is which, and what is refused, with a sentence."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_folders import CLASSES, class_tree, picture, split_folder, tiny_imagenet
from PIL import Image

from kd.config import AugmentConfig, ImagesConfig, SplitConfig, TrainConfig
from kd.data import check_dataset, default_augment, open_dataset
from kd.data.sources import verify_dataset
from kd.data.split import remarks, train_val
from kd.errors import UserError


def refused(name: str, images: ImagesConfig | None = None, root: Path | None = None) -> str:
    """The one short sentence by which the quick check and the reading refuse `name`."""
    with pytest.raises(UserError) as first:
        check_dataset(name, root, images=images)
    with pytest.raises(UserError) as second:
        open_dataset(name, root, images=images)
    assert str(first.value) == str(second.value)
    assert len(str(first.value)) < 700
    assert str(first.value).isprintable()
    return str(first.value)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


# -- which set is which ------------------------------------------------------------------------


def test_train_and_test_are_read_as_they_are(tmp_path):
    split_folder(tmp_path)
    info, dataset = check_dataset(f"folder:{tmp_path}"), open_dataset(f"folder:{tmp_path}")
    assert (info.size, info.channels, info.counts) == ((8, 8), 3, CLASSES)
    assert (info.val, info.notes) == (None, ())
    train, test = dataset.train, dataset.load_test()
    assert train.class_names == test.class_names == ("cat", "dog")
    assert train.labels.tolist() == test.labels.tolist() == [0] * 6 + [1] * 5
    assert np.array_equal(train.images[1], read(tmp_path / "train" / "cat" / "cat_1.png"))
    assert np.array_equal(test.images[6], read(tmp_path / "test" / "dog" / "dog_0.png"))
    dataset.check_test()


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_without_a_test_set_is_it_and_that_is_said(tmp_path, name):
    split_folder(tmp_path, ("train", name))
    info = check_dataset(f"folder:{tmp_path}")
    assert info.val is None
    assert info.notes == (
        f"The test set is {name} of {tmp_path}, which has no other, so it stays sealed.",
    )
    assert open_dataset(f"folder:{tmp_path}").load_test().counts == CLASSES


def test_val_beside_a_test_set_is_val_whole(tmp_path):
    split_folder(tmp_path, ("train", "test", "val"))
    info, train = check_dataset(f"folder:{tmp_path}"), open_dataset(f"folder:{tmp_path}").train
    assert info.val == CLASSES
    learnt, val = train_val(train, SplitConfig())
    assert learnt.counts == val.counts == CLASSES
    assert np.array_equal(val.images[0], read(tmp_path / "val" / "cat" / "cat_0.png"))
    assert learnt.whole == val.whole == train.digest
    few, same = train_val(train, SplitConfig(fraction=0.5))
    assert few.counts == {"cat": 3, "dog": 3}
    assert np.array_equal(same.images, val.images)
    both, _ = train_val(train, SplitConfig(train_on_val=True))
    assert len(both) == 22


@pytest.mark.parametrize(
    "split", [SplitConfig(val_fraction=0.5), SplitConfig(val_per_class=2)], ids=repr
)
def test_what_says_how_val_is_cut_is_refused_where_it_is_not(tmp_path, split):
    split_folder(tmp_path, ("train", "test", "val"))
    with pytest.raises(UserError, match="have a val set of their own, so none is cut; leave it"):
        train_val(open_dataset(f"folder:{tmp_path}").train, split)


def test_of_one_tree_a_test_set_is_cut_the_same_for_ever(tmp_path):
    class_tree(tmp_path / "one", {"a": 20, "b": 10, "c": 2, "d": 1})
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    sets = [open_dataset(f"folder:{tmp_path / name}") for name in ("one", "other")]
    assert sets[0].train.digest == sets[1].train.digest
    tests = [dataset.load_test() for dataset in sets]
    assert tests[0].digest == tests[1].digest
    assert tests[0].counts == {"a": 4, "b": 2, "c": 1, "d": 0}
    assert sets[0].train.counts == {"a": 16, "b": 8, "c": 1, "d": 1}
    kept = {image.tobytes() for image in sets[0].train.images}
    assert not any(image.tobytes() in kept for image in tests[0].images)
    (note,) = check_dataset(f"folder:{tmp_path / 'one'}").notes
    assert "has no test set: a fifth of each class is cut off as one, the same for ever" in note
    chosen = [
        path.name
        for path in sorted((tmp_path / "one" / "a").iterdir())
        if read(path).tobytes() in {image.tobytes() for image in tests[0].images}
    ]
    assert chosen == ["a_10.png", "a_11.png", "a_19.png", "a_3.png"]


def test_a_val_set_of_ones_own(tmp_path):
    split_folder(tmp_path / "data")
    own = class_tree(tmp_path / "own", {"cat": 2, "dog": 3}, seed=9)
    images = ImagesConfig(val=str(own))
    info = check_dataset(f"folder:{tmp_path / 'data'}", images=images)
    assert info.val == {"cat": 2, "dog": 3}
    train = open_dataset(f"folder:{tmp_path / 'data'}", images=images).train
    assert train_val(train, SplitConfig())[1].counts == {"cat": 2, "dog": 3}
    assert train.digest != open_dataset(f"folder:{tmp_path / 'data'}").train.digest


def test_what_systems_leave_behind_is_no_image(tmp_path):
    split_folder(tmp_path)
    for name in (".DS_Store", "cat/Thumbs.db", "cat/._cat_0.png", "cat/readme.txt", "desktop.ini"):
        (tmp_path / "train" / name).write_text("no image")
    (tmp_path / "train" / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    assert check_dataset(f"folder:{tmp_path}").counts == CLASSES


def test_folders_within_a_class_are_of_it_and_links_in_a_circle_end(tmp_path):
    split_folder(tmp_path, within="deep/er", ending="JPEG")
    (tmp_path / "train" / "cat" / "deep" / "again").symlink_to(tmp_path / "train" / "cat")
    assert open_dataset(f"folder:{tmp_path}").train.counts == CLASSES


def test_a_class_may_be_called_train(tmp_path):
    class_tree(tmp_path, {"bus": 5, "train": 5})
    assert check_dataset(f"folder:{tmp_path}").counts == {"bus": 4, "train": 4}


def test_names_beyond_ascii_and_the_current_folder(tmp_path, monkeypatch):
    split_folder(tmp_path / "Größe 🐈", counts={"á": 4, "猫": 3})
    monkeypatch.chdir(tmp_path)
    assert check_dataset("folder:Größe 🐈").counts == {"á": 4, "猫": 3}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_dataset("folder:~/Größe 🐈").counts == {"á": 4, "猫": 3}


# -- what is refused -------------------------------------------------------------------------------


def no_classes(folder: Path) -> str:
    picture().save(folder / "x.png")
    return "has no subfolders; put the images of each class into one of its own"


def flat_train(folder: Path) -> str:
    for name in ("train", "test"):
        (folder / name).mkdir()
        picture().save(folder / name / "x.png")
    return "train has no subfolders"


def no_train(folder: Path) -> str:
    split_folder(folder, ("test", "val"))
    return "has test and val and no train"


def train_alone(folder: Path) -> str:
    split_folder(folder, ("train",))
    return "has train, and neither test nor val beside it; put one there, or give"


def two_vals(folder: Path) -> str:
    split_folder(folder, ("train", "val", "validation"))
    return "has val and validation; leave one of them"


def empty_class(folder: Path) -> str:
    split_folder(folder)
    (folder / "train" / "eel").mkdir()
    (folder / "train" / "eel" / "Thumbs.db").touch()
    return "eel holds no image; put those of the class there, or delete the folder"


def other_classes(folder: Path) -> str:
    split_folder(folder)
    (folder / "test" / "dog").rename(folder / "test" / "eel")
    return "train has a class 'dog' and "


def flat_test(folder: Path) -> str:
    split_folder(folder, ("train",))
    (folder / "test").mkdir()
    return "test has no subfolders"


def one_each(folder: Path) -> str:
    class_tree(folder, {"a": 1, "b": 1})
    return "has one image of each class, so that none is left for the test set"


def no_text(folder: Path) -> str:
    split_folder(folder)
    os.mkdir(os.fsencode(folder / "train") + b"/\xff")
    return "has a name that is no UTF-8"


def mixed_sizes(folder: Path) -> str:
    split_folder(folder)
    picture(size=(10, 6)).save(folder / "train" / "dog" / "dog_0.png")
    return "dog_0.png has 6×10 pixels and "


def other_size_in_test(folder: Path) -> str:
    split_folder(folder)
    class_tree(folder / "test", size=(9, 9))
    return "make them alike by --resize N (images.size: N in a file)"


def grey_among_colours(folder: Path) -> str:
    split_folder(folder)
    picture("L").save(folder / "train" / "dog" / "dog_0.png")
    return "dog_0.png is grey and "


@pytest.mark.parametrize(
    "lay",
    [no_classes, flat_train, no_train, train_alone, two_vals, empty_class, other_classes,
     flat_test, one_each, no_text, mixed_sizes, other_size_in_test, grey_among_colours],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(lay, tmp_path):
    sentence = lay(tmp_path)
    assert sentence in refused(f"folder:{tmp_path}")


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for name in ("nowhere", "file", "~nobody-of-this-name/x", "x" * 300, "a\nb"):
        assert "is not a folder; give folder:DIR one." in refused(f"folder:{tmp_path / name}")


def test_a_folder_that_may_not_be_read(tmp_path):
    split_folder(tmp_path)
    if os.access(tmp_path, os.W_OK) and os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "train" / "cat").chmod(0)
    assert "cannot be read: Permission denied" in refused(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("val", "sentence"),
    [
        ("test", "is the test set here, and cannot be val too; put a test set of its own beside"),
        ("train", "is the training set here, and cannot be val too; give another --val"),
        ("test/../train", "is the training set here"),
        ("nowhere", "is not a folder; give one with a subfolder for each class"),
        ("train/cat", "has no subfolders"),
    ],
)
def test_a_val_set_that_cannot_be_one(tmp_path, val, sentence):
    split_folder(tmp_path)
    assert sentence in refused(f"folder:{tmp_path}", ImagesConfig(val=str(tmp_path / val)))


def test_two_val_sets_are_one_too_many(tmp_path):
    split_folder(tmp_path, ("train", "val", "test"))
    own = class_tree(tmp_path / "own")
    sentence = refused(f"folder:{tmp_path}", ImagesConfig(val=str(own)))
    assert "has a val set of its own, val, and --val names another; leave --val" in sentence


def test_mixed_sizes_deep_in_a_class_are_found_when_they_are_read(tmp_path):
    split_folder(tmp_path)
    picture(size=(10, 6)).save(tmp_path / "train" / "dog" / "dog_3.png")
    check_dataset(f"folder:{tmp_path}")
    with pytest.raises(UserError, match=r"dog_3\.png has 6×10 pixels and .*cat_0\.png has 8×8"):
        open_dataset(f"folder:{tmp_path}")


# -- published sets --------------------------------------------------------------------------------


def test_imagenet_in_the_data_root_and_elsewhere(tmp_path):
    counts = {"n01440764": 4, "n01443537": 3}
    split_folder(tmp_path / "imagenet", ("train", "val"), counts=counts, ending="JPEG")
    here, there = (
        open_dataset(name, tmp_path) for name in ("imagenet", f"imagenet:{tmp_path}/imagenet")
    )
    assert here.train.digest == there.train.digest
    assert here.train.counts == here.load_test().counts == counts
    assert check_dataset("imagenet", tmp_path).notes == ()


def test_tiny_imagenet_as_it_is_unpacked(tmp_path):
    folder = tiny_imagenet(tmp_path / "tiny-imagenet-200")
    dataset = open_dataset("tiny-imagenet", tmp_path)
    assert dataset.train.counts == {"n01443537": 4, "n01629819": 4}
    test = dataset.load_test()
    assert test.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert np.array_equal(test.images[2], read(folder / "val" / "images" / "val_2.JPEG"))
    with (folder / "val" / "val_annotations.txt").open("a") as file:
        file.write("val_9.JPEG\tn01443537\t0\t0\t1\t1\n")
    assert "line 7: there is no image 'val_9.JPEG'" in refused(f"tiny-imagenet:{folder}")
    (folder / "val" / "val_annotations.txt").unlink()
    assert "val_annotations.txt cannot be read" in refused("tiny-imagenet", root=tmp_path)


@pytest.mark.parametrize(
    ("name", "how"),
    [("imagenet", "image-net.org"), ("tiny-imagenet", "cs231n.stanford.edu/tiny-imagenet-200.zip")],
)
def test_what_is_not_unpacked_is_one_sentence_with_where_it_is(name, how, tmp_path):
    for asked in (name, f"{name}:{tmp_path / 'nowhere'}"):
        sentence = refused(asked, root=tmp_path)
        assert how in sentence
        assert f"give {name}:DIR" in sentence


def test_augmentation_goes_by_the_size_that_they_will_have(tmp_path):
    split_folder(tmp_path, size=(16, 16))
    assert default_augment(f"folder:{tmp_path}") == AugmentConfig(crop_padding=2)
    resized = ImagesConfig(size=32)
    assert default_augment(f"folder:{tmp_path}", resized) == AugmentConfig(crop_padding=4)
    # Nothing is looked at: a configuration is read where its images are not.
    assert default_augment("tiny-imagenet") == AugmentConfig(crop_padding=8)
    assert default_augment("imagenet", resized) == AugmentConfig(crop_padding=4)
    config = TrainConfig.paper("ce", "resnet8", "imagenet", images=resized)
    assert TrainConfig.from_dict(config.to_dict()) == config


# -- small classes ---------------------------------------------------------------------------------


def test_val_per_class_leaves_small_classes_half_and_says_it(tmp_path):
    counts = {"a": 30, "b": 7, "c": 2, "d": 1, "e": 1}
    split_folder(tmp_path, counts=counts)
    train = open_dataset(f"folder:{tmp_path}").train
    split = SplitConfig(val_per_class=5)
    learnt, val = train_val(train, split)
    assert val.counts == {"a": 5, "b": 3, "c": 1, "d": 0, "e": 0}
    assert learnt.counts == {"a": 25, "b": 4, "c": 1, "d": 1, "e": 1}
    info = check_dataset(f"folder:{tmp_path}")
    assert remarks(info, split) == [
        "val has fewer than 5 images of 2 classes ('b', …): half of what there are, so that the "
        "rest is trained on.",
        "val has no image of 2 classes ('d', …): the only one is trained on.",
    ]
    with pytest.raises(UserError, match=r"train on it alone by split\.val_per_class"):
        train_val(train, SplitConfig())


def test_a_fraction_shares_val_and_leaves_every_class_one(tmp_path):
    split_folder(tmp_path, counts={"a": 40, "b": 20, "c": 3})
    train = open_dataset(f"folder:{tmp_path}").train
    whole = train_val(train, SplitConfig(val_per_class=2))
    few = train_val(train, SplitConfig(val_per_class=2, fraction=0.25))
    assert np.array_equal(whole[1].images, few[1].images)
    assert few[0].counts == {"a": 9, "b": 4, "c": 1}
    kept = {image.tobytes() for image in whole[0].images}
    assert all(image.tobytes() in kept for image in few[0].images)
    same, _ = train_val(train, SplitConfig(val_per_class=2, fraction=1.0))
    assert same.counts == whole[0].counts


def test_classes_of_one_image_alone_leave_no_val(tmp_path):
    split_folder(tmp_path, counts={"a": 1, "b": 1})
    with pytest.raises(UserError, match="No class has a second image, so that none is left"):
        train_val(open_dataset(f"folder:{tmp_path}").train, SplitConfig(val_per_class=1))


def test_how_many_to_train_on_is_said_once():
    with pytest.raises(UserError, match=r"split\.train_size and split\.fraction both say"):
        SplitConfig(train_size=3, fraction=0.5)


def test_what_is_named_otherwise_than_an_image_is_told(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        picture().save(tmp_path / name / "1.gif")
    with pytest.raises(UserError, match=r"ant holds no image, and 1\.gif is not named as one; w"):
        check_dataset(f"folder:{tmp_path}")


def test_what_is_left_out_among_images_is_said(tmp_path: Path) -> None:
    split_folder(tmp_path / "split")
    for name in ("train/cat/b.gif", "train/cat/a.heic", "train/dog/Thumbs.db", "test/dog/x.gif"):
        (tmp_path / "split" / name).touch()
    told = check_dataset(f"folder:{tmp_path / 'split'}").notes
    assert [note.partition(":")[0] for note in told] == [
        f"Left out in {tmp_path / 'split' / name}" for name in ("train", "test")
    ]
    assert ": 2 not named as images, the first cat/a.heic; PNG, JPEG, " in told[0]
    class_tree(tmp_path / "one")
    (tmp_path / "one" / "cat" / "b.gif").touch()
    (left,) = check_dataset(f"folder:{tmp_path / 'one'}").notes[1:]
    assert ": 1 not named as images, the first cat/b.gif; " in left


def test_images_in_no_classs_folder_are_said(tmp_path: Path) -> None:
    class_tree(tmp_path / "one")
    for name in ("loose.png", "alone.JPG", "README.md", ".hidden.png"):
        (tmp_path / "one" / name).touch()
    (left,) = check_dataset(f"folder:{tmp_path / 'one'}").notes[1:]
    assert ": 2 in no class's folder, the first alone.JPG; put each into the folder" in left


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(3):
            picture().save(tmp_path / name / f"{number}.png")
    os.mkfifo(tmp_path / "bee" / "9.png")
    with pytest.raises(UserError, match=r"9\.png cannot be decoded \(it is no file\); put"):
        verify_dataset(f"folder:{tmp_path}")
