"""What a search is asked to make of image files: kept, compared, typed again, and refused."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from image_folders import class_tree, picture, split_folder, tiny_imagenet
from parquet_folder import parquet_folder

from kd.config import ImagesConfig, SplitConfig, TrainConfig
from kd.errors import UserError
from kd.run_folder import check_folder, make_folder
from tuning.cluster.jobs import _Remote
from tuning.compare import main as compare
from tuning.exporters.plain import python_text, yaml_text
from tuning.records import compare_request, request
from tuning.records.anew import anew
from tuning.records.protocol import cell_name, dataset_identity, protocol
from tuning.records.request import Flags
from tuning.records.settings import SweepSettings
from tuning.search import main as search

IMAGES = ImagesConfig(size=8, convert=True, skip_bad=2)


def asked(tmp_path: Path, *words: str) -> SweepSettings:
    """The settings that such a search would have."""
    from kd.typed import read_flags

    given = ["ce", "--backbone", "resnet8", "--storage", str(tmp_path / "runs"), *words]
    flags = read_flags(Flags, given)
    request.check(flags)
    (settings,) = request.sweeps(flags, gpus=0)
    return settings


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str, command=search) -> str:
    with pytest.raises(SystemExit) as end:
        command([*words, "--backbone", "resnet8", "--local", "--storage", str(tmp_path / "runs")])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert len(said.splitlines()) == 1
    assert not list((tmp_path / "runs").glob("*"))
    return said


# -- asked and kept --------------------------------------------------------------------------------


def test_what_is_asked_is_in_the_base_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split_folder(tmp_path / "data", size=(10, 9))
    class_tree(tmp_path / "own", size=(12, 9))
    words = ["--dataset", "folder:data", "--resize", "8", "--convert-images", "--val", "own"]
    settings = asked(tmp_path, *words, "--skip-bad-images", "2", "--fraction", "0.5")
    assert settings.base.images == replace(IMAGES, val=str(tmp_path / "own"))
    assert settings.base.split == SplitConfig(fraction=0.5)
    assert settings.base.augment.crop_padding == 1
    info = settings.check_images()
    assert (info.size, info.val) == ((8, 8), {"cat": 6, "dog": 5})
    settings.save()
    assert SweepSettings.load(settings.storage, settings.name) == settings
    typed = anew(settings)
    own = f"--resize 8 --convert-images --skip-bad-images 2 --val {tmp_path}/own"
    assert own in typed
    assert "--set split.fraction=0.5" in typed
    assert "val_per_class" not in typed


def test_few_shot_presets_give_way_to_what_is_typed(tmp_path):
    usual = asked(tmp_path).base.split
    assert usual.train_size == 150
    part = asked(tmp_path, "--fraction", "0.25").base.split
    assert (part.fraction, part.train_size, part.val_fraction) == (0.25, None, usual.val_fraction)
    each = asked(tmp_path, "--val-per-class", "30").base.split
    assert (each.val_per_class, each.train_size) == (30, 150)


@pytest.mark.parametrize(
    "words",
    [
        ["--fraction", "0.5", "--set", "split.train_size=20"],
        ["--fraction", "0.5", "--set", "split.fraction=0.2"],
        ["--val-per-class", "3", "--set", "split.val_fraction=0.2"],
    ],
)
def test_what_is_said_twice_is_refused(tmp_path, words):
    with pytest.raises(UserError, match=f"{words[0]} and --set split.* say the same; give one"):
        asked(tmp_path, *words)


def test_a_comparison_asks_every_search_the_same():
    given = {
        "resize": 32,
        "convert_images": True,
        "skip_bad_images": 3,
        "val": Path("own"),
        "val_per_class": 4,
        "fraction": 0.5,
    }
    flags = compare_request.Flags(method=("ce", "kd"), **{**given, "fraction": (0.5,)})
    searched = flags.searches("x")
    assert {name: getattr(searched, name) for name in given} == given
    assert "--resize 32 --convert-images --skip-bad-images 3 --val own" in flags.asked


# -- the same images, and others -------------------------------------------------------------------


def test_the_same_images_at_another_path_are_the_same_data(tmp_path):
    lay = {
        "folder": lambda place: split_folder(place),
        "imagenet": lambda place: split_folder(place, ("train", "val")),
        "tiny-imagenet": tiny_imagenet,
        "parquet": parquet_folder,
    }
    for kind, make in lay.items():
        one, two = make(tmp_path / kind / "one"), tmp_path / kind / "two"
        shutil.copytree(one, two)
        (two / ".DS_Store").touch()
        names = [f"{kind}:{place}" for place in (one, two)]
        assert dataset_identity(names[0]) == dataset_identity(names[1])
        assert dataset_identity(names[0]).startswith(f"{kind}-")
        other = next(
            path for path in sorted(two.rglob("*")) if path.suffix in (".png", ".JPEG", ".parquet")
        )
        with other.open("ab") as file:
            file.write(b"x")
        assert dataset_identity(names[0]) != dataset_identity(names[1])
        with pytest.raises(UserError, match="cannot be told from others"):
            dataset_identity(f"{kind}:{tmp_path / 'nowhere'}")
    shutil.copytree(tmp_path / "imagenet" / "one", tmp_path / "root" / "imagenet")
    here = dataset_identity("imagenet", tmp_path / "root")
    assert here == dataset_identity(f"imagenet:{tmp_path / 'imagenet' / 'one'}")


def test_scores_are_compared_only_where_images_agree(tmp_path):
    name = f"folder:{split_folder(tmp_path / 'data')}"
    own = class_tree(tmp_path / "own")
    base = TrainConfig.paper("ce", "resnet8", name)
    usual = protocol(base)
    assert not {"resize", "val", "fraction", "val_per_class"} & usual.keys()
    others = [
        replace(base, images=ImagesConfig(size=8)),
        replace(base, images=ImagesConfig(convert=True)),
        replace(base, images=ImagesConfig(skip_bad=1)),
        replace(base, images=ImagesConfig(val=str(own))),
        replace(base, split=SplitConfig(fraction=0.5)),
        replace(base, split=SplitConfig(val_per_class=3)),
    ]
    each = [protocol(other) for other in others]
    assert all(told != usual for told in each)
    assert len({tuple(sorted(told.items())) for told in each}) == len(each)
    shutil.copytree(own, tmp_path / "moved")
    moved = replace(base, images=ImagesConfig(val=str(tmp_path / "moved")))
    assert protocol(moved) == each[3]
    assert cell_name("ce", "resnet8", f"imagenet:{tmp_path}") == "ce.resnet8.imagenet"
    assert cell_name("ce", "resnet8", name) == "ce.resnet8.folder-data"


def test_an_exported_configuration_repeats_them(tmp_path):
    folder = split_folder(tmp_path / "here" / "data", size=(10, 9))
    own = class_tree(tmp_path / "here" / "own", size=(9, 9))
    images = replace(IMAGES, val=str(own))
    config = TrainConfig.paper("ce", "resnet8", f"folder:{folder}", images=images)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert TrainConfig.load(tmp_path / "c.yaml") == config
    beside = config.to_yaml().replace(f"{tmp_path}/here/", "")
    (tmp_path / "here" / "c.yaml").write_text(beside)
    assert TrainConfig.load(tmp_path / "here" / "c.yaml") == config
    assert config.portable.images.val == "own"
    assert config.portable.dataset == "folder:data"
    assert "size: 8" in yaml_text(config)
    scope: dict[str, TrainConfig] = {}
    exec(python_text(config), scope)
    assert config in scope.values()
    make_folder(tmp_path / "run", config)
    check_folder(tmp_path / "run", config)
    for other in (replace(images, size=9), replace(images, val=str(folder))):
        with pytest.raises(UserError, match="holds a run of another configuration"):
            check_folder(tmp_path / "run", replace(config, images=other))


# -- refused before anything starts ----------------------------------------------------------------


def mixed(folder: Path) -> list[str]:
    picture(size=(9, 8)).save(folder / "train" / "dog" / "dog_0.png")
    return ["by --resize N (images.size: N in a file)"]


def coloured(folder: Path) -> list[str]:
    picture("CMYK").save(folder / "train" / "dog" / "dog_0.jpg")
    (folder / "train" / "dog" / "dog_0.png").unlink()
    return ["dog_0.jpg is CMYK; make every image RGB by --convert-images"]


def damaged(folder: Path) -> list[str]:
    (folder / "train" / "dog" / "dog_3.png").write_bytes(b"no image")
    return ["dog_3.png cannot be decoded", "--skip-bad-images N"]


def damaged_test(folder: Path) -> list[str]:
    (folder / "test" / "dog" / "dog_3.png").write_bytes(b"no image")
    return ["test/dog/dog_3.png cannot be decoded", "--skip-bad-images N"]


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("lay", [mixed, coloured, damaged, damaged_test])
def test_images_that_cannot_be_are_refused_before_ray(lay, dry, tmp_path, capsys, monkeypatch):
    folder = split_folder(tmp_path / "data")
    sentences = lay(folder)
    # Whoever would start a Ray ends here, with a traceback.
    monkeypatch.setattr("tuning.sweeps.run.connected", None)
    words = ["ce", "--dataset", f"folder:{folder}", "--val-per-class", "1"]
    words += ["--dry-run"] if dry else []
    said = refused(capsys, tmp_path, *words)
    assert all(sentence in said for sentence in sentences)


def test_a_comparisons_dry_run_reads_them_too(tmp_path, capsys):
    folder = split_folder(tmp_path / "data")
    (sentence, _) = damaged_test(folder)
    words = ["ce", "kd", "--dataset", f"folder:{folder}", "--val-per-class", "1", "--dry-run"]
    assert sentence in refused(capsys, tmp_path, *words, command=compare)


def test_what_is_not_known_is_said_before_a_search(tmp_path, capsys):
    folder = split_folder(tmp_path / "data", ("train", "val"), counts={"a": 12, "b": 3, "c": 1})
    words = ["ce", "--dataset", f"folder:{folder}", "--val-per-class", "2", "--dry-run"]
    # Trials of several workers are not tried out, which takes seconds.
    words += ["--workers-per-trial", "2", "--backbone", "resnet8", "--local"]
    with pytest.raises(SystemExit) as end:
        search([*words, "--storage", str(tmp_path / "runs"), "--resize", "9"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert f"The test set is val of {folder}, which has no other, so it stays sealed." in said
    assert "val has fewer than 2 images of class 'b': half of what there are" in said
    assert "val has no image of class 'c': the only one is trained on." in said


# -- on a cluster ----------------------------------------------------------------------------------


def test_the_folders_are_sent_to_a_cluster(tmp_path):
    folder = split_folder(tmp_path / "one" / "images")
    own = class_tree(tmp_path / "two" / "images")
    sent = []

    class Remote(_Remote):
        def __init__(self) -> None:
            self._head = SimpleNamespace(file="cluster.yaml", where="there")  # type: ignore[assignment]

        def _rsync(self, direction: str, source: str, target: str) -> None:
            sent.append((direction, source, target))

    flags = Flags(method=("ce",), dataset=(f"folder:{folder}", "imagenet", "digits"), val=own)
    there = Remote()._with_inputs(flags, "x")
    base = "~/kd-storage/inputs/x"
    assert there.dataset[1:] == ("imagenet", "digits")
    assert there.dataset[0].endswith("/kd-storage/inputs/x/images")
    assert str(there.val) == f"{base}/val/images"
    assert sent == [
        ("rsync-up", f"{folder}/", f"{base}/images/"),
        ("rsync-up", f"{own}/", f"{base}/val/images/"),
    ]
