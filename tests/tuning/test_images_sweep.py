"""A real search over a folder of image files of many sizes and kinds, damaged ones among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from image_folders import class_tree, picture, split_folder

from kd.config import ImagesConfig, TrainConfig
from kd.data import open_dataset

COUNTS = {"cat": 12, "dog": 12}


def typed(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_a_search_over_files_is_confirmed_and_its_best_trained_again(tmp_path):
    data = split_folder(tmp_path / "data", counts=COUNTS, size=(12, 10))
    class_tree(tmp_path / "own", {"cat": 6, "dog": 6}, size=(9, 9), seed=7)
    picture("CMYK", (20, 9)).save(data / "train" / "cat" / "cat_0.jpg")
    picture("L", (20, 9)).save(data / "test" / "cat" / "cat_0.png")
    for name in ("train", "test"):
        (data / name / "dog" / "dog_3.png").write_bytes(b"no image")
    asked = [
        *("tuning.search", "ce", "--backbone", "resnet8", "--dataset", "folder:data", "--local"),
        *("--resize", "8", "--convert-images", "--skip-bad-images", "1", "--val", "own"),
        *("--trials", "2", "--epochs", "2", "--set", "batch_size=8", "--name", "files"),
    ]
    done = typed(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    for which, total in (("training", 25), ("test", 24)):
        assert f"Left out, as it cannot be decoded: 1 of {total} {which} images" in done.stdout
    folder = tmp_path / "runs" / "files"
    images = ImagesConfig(size=8, convert=True, skip_bad=1, val=str(tmp_path / "own"))
    best = TrainConfig.load(folder / "best_config.yaml")
    assert best.images == images
    kept = open_dataset(best.dataset, images=images).train
    assert (len(kept), len(kept.val)) == (24, 12)
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["images"] == kept.digest
    refused = typed(tmp_path, "tuning.search", "--resume", "files", "--resize", "9", "--local")
    assert "A resumed sweep keeps its own resize; leave it away." in refused.stderr
    again = typed(tmp_path, "kd.train", "runs/files")
    assert again.returncode == 0, again.stderr
    assert "24 training images, 12 val images" in again.stdout
    proved = typed(tmp_path, "tuning.confirm", "files", "--seeds", "4")
    assert proved.returncode == 0, proved.stderr
    assert "Left out, as it cannot be decoded: 1 of 24 test images" in proved.stdout
