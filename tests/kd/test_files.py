"""Files are the old ones or the whole new ones, and what the disk says is heard as it says it."""

import errno
import os
import stat
from pathlib import Path
from threading import Thread

import pytest
import torch
from full_disk import no_file_above

from kd.backbones import build_backbone
from kd.errors import UserError
from kd.export import export_program, export_safetensors
from kd.files import replace_file, whole
from kd.training.checkpoint import load, save, save_weights

ABOUT = {
    "backbone": "resnet8",
    "num_classes": 10,
    "in_channels": 1,
    "mean": [0.5],
    "std": [0.5],
    "image_size": [8, 8],
}
STUDENT = build_backbone("resnet8", 10, 1)
WRITERS = {
    "checkpoint": lambda path: save({"tensor": torch.zeros(100_000)}, path),
    "weights": lambda path: save_weights(STUDENT, path, ABOUT),
}
EXPORTS = {
    "file": lambda path: replace_file(path, bytes(400_000)),
    "safetensors": lambda path: export_safetensors(STUDENT, ABOUT, path),
    "program": lambda path: export_program(STUDENT.eval(), ABOUT, path),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("room", [0, 1, 30_000])
def test_tensors_that_find_no_room_are_an_oserror_and_leave_the_old_file(writer, room, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with no_file_above(room), pytest.raises(OSError, match="File too large") as told:
        WRITERS[writer](path)
    assert told.value.errno == errno.EFBIG
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_device_is_heard(writer, tmp_path):
    # By a link: what replaces files would replace that, and not the device.
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as told:
        WRITERS[writer](tmp_path / "full")
    assert told.value.errno == errno.ENOSPC


@pytest.mark.parametrize("writer", EXPORTS)
def test_an_export_that_finds_no_room_is_one_sentence_and_leaves_the_old_file(writer, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with no_file_above(10_000), pytest.raises(UserError, match="cannot be written: File too large"):
        EXPORTS[writer](path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_what_is_no_file_is_written_and_stays_what_it_is(tmp_path):
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"text")
    reader.join(timeout=60)
    assert heard == [b"text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "null").symlink_to("/dev/null")
    replace_file(tmp_path / "null", b"text")
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to("target")
    replace_file(tmp_path / "link", b"text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"text"


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "[a]*?"])
def test_a_name_may_be_as_long_as_names_can_be(name, tmp_path):
    replace_file(tmp_path / name, b"text")
    save({"epoch": 1}, tmp_path / name)
    assert load(tmp_path / name) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_whole_path_has_no_way_back_in_it_unless_a_link_lies_on_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "b" / "file").touch()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "deep")
    assert whole(tmp_path / "a" / ".." / "b" / "file") == tmp_path / "b" / "file"
    assert whole(tmp_path / "b" / "file") == tmp_path / "b" / "file"
    through = tmp_path / "a" / "link" / ".." / "file"
    assert whole(through) == through
    assert through.exists()
    nowhere = tmp_path / "a" / ".." / "c"
    assert whole(nowhere) == nowhere
