"""Where trials keep their files: a folder, and a real S3 API on the loopback."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_store import free_port
from pyarrow import fs
from real_sweeps import finish, journal, start, wait_for

from kd.errors import UserError
from kd.training import checkpoint
from tuning.storage.shelf import Shelf, _object_store, check_uri
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import load_study, read_trials


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket."""
    pytest.importorskip("moto", reason="There is no moto here: pip install 'kd-search[cluster]'.")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, **quiet)
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    try:
        _wait(f"http://127.0.0.1:{port}/")
        store = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True
        )
        store.create_dir("kd-search")
        yield f"s3://kd-search/sweeps?scheme=http&endpoint_override=127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait(address: str) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            direct.open(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < end, "moto did not start"
            time.sleep(0.2)


def written(text: str):
    """A writer of one file, for `Shelf.put`."""

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


@pytest.fixture(params=["folder", "bucket"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "folder":
        return Shelf(str(tmp_path / "shelf"), "sweep")
    return Shelf(request.getfixturevalue("bucket"), f"sweep-{tmp_path.name}")


def test_files_are_put_fetched_and_deleted(shelf: Shelf) -> None:
    name = "checkpoints/trial-0001.pt"
    assert not shelf.exists(name)
    with pytest.raises(OSError), shelf.fetched(name) as path:  # noqa: PT011
        path.read_text()
    for text in ("first", "second"):
        shelf.put(name, written(text))
        with shelf.fetched(name) as path:
            assert path.read_text() == text
    assert not Shelf(shelf.uri, "another").exists(name)
    shelf.delete(name)
    shelf.delete(name)
    assert not shelf.exists(name)
    shelf.check()


def test_a_student_is_taken_home_once(shelf: Shelf, tmp_path: Path) -> None:
    files = TrialFiles(shelf=shelf, study="trial")
    home = tmp_path / "student.safetensors"
    assert not files.take_student(3, home)
    shelf.put(files.student(3), written("weights"))
    shelf.put(files.checkpoint(3), written("state"))
    assert files.take_student(3, home)
    assert home.read_text() == "weights"
    assert not files.take_student(3, home)
    files.discard(3)
    assert not shelf.exists(files.checkpoint(3))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [home.name]


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: str) -> None:
    nowhere = Shelf(bucket.replace("kd-search", "nowhere"), "sweep")
    with pytest.raises(UserError, match="give another --checkpoints") as error:
        nowhere.check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["bucket", "s3://", "http://host/folder", "s3://key:secret@b/f"])
def test_what_is_no_object_store_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match="--checkpoints"):
        check_uri(uri)


def test_a_sweep_keeps_nothing_of_its_trials_in_its_folder_and_resumes_from_the_bucket(
    bucket: str, tmp_path: Path
) -> None:
    """Killed in the middle of a trial; its checkpoint is in the bucket alone."""
    flags = ("drkd", "--trials", "2", "--epochs", "8", "--set", "batch_size=4", "--name", "s",
             "--scheduler", "none")  # fmt: skip
    process = start(tmp_path, *flags, "--checkpoints", bucket, start_new_session=True)
    study = tmp_path / "s" / "study.log"
    store, prefix = _object_store(bucket)

    def kept() -> dict[int, list[float]]:
        """The seconds of the epochs that the bucket holds of each trial of the search."""
        found = {}
        folder = fs.FileSelector(f"{prefix}/s/checkpoints", allow_not_found=True)
        for info in store.get_file_info(folder):
            kind, _, number = info.base_name.removesuffix(".pt").rpartition("-")
            if kind == "trial":
                with Shelf(bucket, "s").fetched(f"checkpoints/{info.base_name}") as path:
                    history = checkpoint.load(path)["history"]
                found[int(number)] = [metrics["epoch_seconds"] for metrics in history]
        return found

    def in_the_middle() -> bool:
        told = [t.last_step or 0 for t in journal(tmp_path, "s") if t.state.name == "RUNNING"]
        return max(told, default=0) >= 2 and bool(kept())

    wait_for(in_the_middle, 200)
    process.kill()
    process.communicate()
    # The trial that came furthest: another may have come less far.
    number, trained = max(kept().items(), key=lambda found: len(found[1]))
    assert trained, "what a trial's first epoch made is kept in any case"

    finish(start(tmp_path, "--resume", "s"))
    folder = tmp_path / "s"
    assert not (folder / "checkpoints").exists()
    assert not (folder / "students").exists()
    assert (folder / "teacher.safetensors").exists()
    assert (folder / "student.safetensors").exists()
    records = read_trials(load_study(study, "search"))
    assert [r.state for r in records] == ["completed"] * 2
    assert sorted(records[number].curve) == list(range(1, 9))
    left = store.get_file_info(fs.FileSelector(f"{prefix}/s", recursive=True))
    assert not [one.path for one in left if one.is_file], "nothing is left in the bucket"
