"""What soft-label memories cost, which form they have, where they lie, and what is said of it."""

import shutil
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch
from families import BY_STAGES

from kd.config import TrainConfig
from kd.data import Images
from kd.errors import UserError
from kd.memories import BUDGET, Memories, readable
from kd.methods import method_names
from kd.parts.history import Histories
from kd.room import file_system, free_memory, scratch
from kd.training.memory import SHARE, Room, histories, housed, line
from kd.training.parallel import Place

GIB = 2**30
CPU, GPU = torch.device("cpu"), torch.device("cuda")
IMAGENET = 1_281_167


def memories(method, backbone, num_samples, num_classes, history="auto"):
    config = TrainConfig.paper(method, backbone, "cifar100", history=history)
    return config.memories(num_samples, num_classes)


def real_bytes(wanted):
    """The bytes of the real tensors, which are made without their content."""
    make = Histories(form=wanted.form, device=torch.device("meta"))
    entries = [e for s in wanted.shapes for e in make(wanted.num_samples, s).entries()]
    return sum(entry.numel() * entry.element_size() for entry in entries)


# -- the form ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "samples", "classes", "form", "nbytes"),
    [
        ("pskd", 45_000, 100, "dense", 45_000 * 100 * 4),
        ("dtskd", 45_000, 100, "dense", 45_000 * 4 * 100 * 4),
        ("lsskd", 45_000, 100, "dense", 45_000 * (100 + 16 * 400) * 4),
        # Tiny ImageNet.
        ("lsskd", 90_000, 200, "dense", 90_000 * (200 + 16 * 800) * 4),
        # ImageNet: of a row, 128 probabilities, the mass of the others, and 128 classes.
        ("pskd", IMAGENET, 1000, "dense", IMAGENET * 1000 * 4),
        ("dtskd", IMAGENET, 1000, "compressed", IMAGENET * 4 * (129 * 2 + 128 * 2)),
        ("lsskd", IMAGENET, 1000, "compressed", IMAGENET * 17 * (129 * 2 + 128 * 2)),
        ("ce", IMAGENET, 1000, "dense", 0),
        ("kd", IMAGENET, 1000, "dense", 0),
    ],
)
def test_auto_is_dense_as_long_as_that_is_affordable(method, samples, classes, form, nbytes):
    chosen = memories(method, "resnet18", samples, classes)
    assert (chosen.form, chosen.nbytes) == (form, nbytes)
    assert real_bytes(chosen) == nbytes
    other = memories(method, "resnet18", samples, classes, form)
    assert other == chosen, "what auto means can be said too"


def test_lsskd_on_imagenet_needs_less_than_sixteen_gigabytes():
    dense, auto = (memories("lsskd", "resnet18", IMAGENET, 1000, h) for h in ("dense", "auto"))
    assert dense.nbytes == 333_103_420_000
    assert real_bytes(auto) == auto.nbytes == 11_194_837_246 < 16e9


def test_the_budget_is_of_all_memories_together_and_belongs_to_both_sides():
    shapes = ((1024,), (1024,))
    assert Memories.of("auto", BUDGET // 8192, shapes).form == "dense"
    assert Memories.of("auto", BUDGET // 8192 + 1, shapes).form == "compressed"


@pytest.mark.parametrize("history", ["dense", "bfloat16", "compressed"])
@pytest.mark.parametrize("backbone", BY_STAGES)
@pytest.mark.parametrize("method", method_names())
def test_the_bytes_are_those_of_the_tensors(method, backbone, history):
    for samples, classes in ((7, 1), (7, 2), (100, 100), (50, 300), (3, 20_000)):
        wanted = memories(method, backbone, samples, classes, history)
        assert wanted.nbytes == real_bytes(wanted)


def test_the_table_of_the_page_is_what_memories_take():
    page = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")
    for method in ("pskd", "dtskd", "lsskd"):
        cells = []
        for samples, classes in ((45_000, 100), (IMAGENET, 1000)):
            auto = memories(method, "resnet18", samples, classes)
            for form in ("dense", "bfloat16", "compressed"):
                text = readable(auto.as_form(form).nbytes)
                cells.append(f"**{text}**" if form == auto.form else text)
        assert f"| {method} | {' | '.join(cells)} |\n" in page


# -- the place -----------------------------------------------------------------------------------


DISK = Path("/scratch")


def room(device=0.0, memory=0.0, disk=0.0, folder=DISK):
    return Room(device=device * GIB, memory=memory * GIB, disk=disk * GIB, folder=folder)


@pytest.mark.parametrize(
    ("device", "there", "host", "folder"),
    [
        (GPU, room(device=11, memory=90, disk=90), False, None),
        (GPU, room(device=10, memory=90, disk=90), True, DISK),
        (GPU, room(device=10, memory=90, disk=10), True, None),
        (CPU, room(device=11, memory=11, disk=90), False, None),
        (CPU, room(device=5, memory=11, disk=90), True, DISK),
        (CPU, room(device=5, memory=11, disk=0, folder=None), True, None),
    ],
)
def test_the_first_place_with_room_is_taken(device, there, host, folder):
    wanted = memories("lsskd", "resnet18", IMAGENET, 1000)
    made = housed(wanted, device, there)
    assert (made.form, made.device, made.host, made.folder) == ("compressed", device, host, folder)


@pytest.mark.parametrize(
    ("history", "device", "there", "beside", "sentence"),
    [
        (
            "dense", CPU, room(device=17, memory=17, disk=67), 1,
            "The soft-label memories (dense, 310.2 GiB) fit nowhere: there is room for 17.0 GiB "
            "in memory and 67.0 GiB in /scratch; set history=compressed, which takes 10.4 GiB.",
        ),
        (
            "dense", GPU, room(device=12, memory=5, folder=None), 1,
            "The soft-label memories (dense, 310.2 GiB) fit nowhere: there is room for 12.0 GiB "
            "on cuda, 5.0 GiB in memory and none on a disk; set history=compressed, which takes "
            "10.4 GiB.",
        ),
        (
            "bfloat16", CPU, room(device=8, memory=8, disk=9), 1,
            "The soft-label memories (bfloat16, 155.1 GiB) fit nowhere: there is room for 8.0 GiB "
            "in memory and 9.0 GiB in /scratch; set history=compressed, and TMPDIR to a folder "
            "with 11.4 GiB of room on a disk.",
        ),
        (
            "auto", CPU, room(device=4, memory=4, disk=9), 4,
            "The soft-label memories (compressed, 10.4 GiB) fit nowhere: there is room for 4.0 GiB "
            "in memory and 9.0 GiB in /scratch, for each of 4; set TMPDIR to a folder with "
            "11.4 GiB of room on a disk, or train fewer at once.",
        ),
    ],
)  # fmt: skip
def test_where_nothing_fits_one_sentence_says_what_to_type(
    history, device, there, beside, sentence
):
    wanted = memories("lsskd", "resnet18", IMAGENET, 1000, history)
    with pytest.raises(UserError) as refusal:
        housed(wanted, device, there, beside=beside)
    assert str(refusal.value) == sentence


def test_the_line_says_form_size_and_place_where_they_are_no_everyday_ones():
    small, large = (
        memories("lsskd", "resnet18", 45_000, 100),
        memories("pskd", "resnet18", IMAGENET, 1000),
    )
    assert line(small, housed(small, CPU, room(device=2))) is None
    said = line(small, housed(small, CPU, room(disk=2)))
    assert said == "Soft-label memories: dense, 1.1 GiB, in files in /scratch."
    said = line(small, housed(small, GPU, room(memory=2)))
    assert said == "Soft-label memories: dense, 1.1 GiB, in the host's memory."
    said = line(large, housed(large, CPU, room(device=9)))
    assert said == "Soft-label memories: dense, 4.8 GiB, in memory."
    said = line(large, housed(large, GPU, room(device=9)))
    assert said == "Soft-label memories: dense, 4.8 GiB, on cuda."


def black(samples, classes):
    """Images of which nothing is read."""
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (samples, 3, 32, 32))
    return Images(pixels, np.zeros(samples, np.int64), tuple(map(str, range(classes))))


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of so many GiB of free memory and disk; its folder for files is `tmp_path`."""

    def of(memory, disk):
        monkeypatch.setattr("kd.training.memory.free_memory", lambda: memory * GIB)
        monkeypatch.setattr("kd.training.memory.scratch", lambda: (tmp_path, disk * GIB))
        return tmp_path

    return of


def test_nothing_fits_everywhere():
    nothing = memories("ce", "resnet18", IMAGENET, 1000)
    made = housed(nothing, GPU, room(device=-1))
    assert not made.host
    assert line(nothing, made) is None


def test_runs_beside_each_other_share_the_memory(machine):
    folder = machine(memory=20, disk=11)
    config, images = TrainConfig.paper("lsskd", "resnet18", "cifar100"), black(IMAGENET, 1000)
    place = Place(device=CPU)
    assert SHARE * 20 > 10.5
    assert not histories(config, images, place).host
    assert histories(config, images, replace(place, beside=2)).folder == folder
    # What is asked ahead of all runs shares the disk out too.
    wanted = config.memories(IMAGENET, 1000)
    one, two = (Room.here(CPU, 0, beside, ahead=True) for beside in (1, 2))
    assert not housed(wanted, CPU, one).host
    with pytest.raises(UserError, match=r"7.5 GiB in memory and 5.5 GiB in .*, for each of 2;"):
        housed(wanted, CPU, two, beside=2)


def test_a_machine_that_says_nothing_has_room(machine):
    machine(memory=inf, disk=0)
    config = TrainConfig.paper("lsskd", "resnet18", "cifar100")
    assert not histories(config, black(IMAGENET, 1000), Place(device=CPU)).host


# -- what is free --------------------------------------------------------------------------------


def written(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_free_memory_is_what_the_machine_and_every_limit_leave(tmp_path):
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    written(proc, meminfo="MemTotal:  64 kB\nMemAvailable:     10485760 kB\nSwapFree: 1 kB\n")
    assert free_memory(proc, cgroups) == 10 * GIB
    written(proc, self__cgroup="0::/user/job\n")
    assert free_memory(proc, cgroups) == 10 * GIB
    written(
        cgroups / "user", memory_dot_max=f"{8 * GIB}\n", memory_dot_current=f"{6 * GIB}\n",
        memory_dot_stat=f"anon 5\ninactive_file {GIB}\nactive_file 7\n",
    )  # fmt: skip
    written(cgroups / "user" / "job", memory_dot_max="max\n", memory_dot_current="5\n")
    assert free_memory(proc, cgroups) == 3 * GIB
    written(cgroups / "user" / "job", memory_dot_max=f"{GIB}\n", memory_dot_current=f"{2 * GIB}\n")
    assert free_memory(proc, cgroups) == 0


def test_free_memory_in_a_group_of_the_first_version(tmp_path):
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    written(proc, meminfo="MemAvailable: 10485760 kB\n")
    written(proc, self__cgroup="5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/docker/abc\n")
    # A container sees its own group at the top.
    written(
        cgroups / "memory", memory_dot_limit_in_bytes=f"{4 * GIB}\n",
        memory_dot_usage_in_bytes=f"{GIB}\n",
    )  # fmt: skip
    assert free_memory(proc, cgroups) == 3 * GIB


def test_where_linux_says_nothing_memory_is_not_what_stops_a_run(tmp_path):
    assert free_memory(tmp_path, tmp_path) == inf
    assert file_system(tmp_path, tmp_path) == ""


def test_this_machine_has_memory_and_a_file_system():
    assert GIB / 4 < free_memory() < 2**50
    assert file_system(Path("/proc/self")) == "proc"


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Says which folders are of which file system; gives where that is said."""
    monkeypatch.setattr("kd.room.FOLDERS", (str(tmp_path / "one"), str(tmp_path / "two")))
    for name in ("one", "two", "mine", "with a space"):
        (tmp_path / name).mkdir()

    def say(**kinds):
        lines = ["/dev/sda / ext4 rw 0 0"]
        lines += [f"none {tmp_path / name} {kind} rw 0 0" for name, kind in kinds.items()]
        written(tmp_path / "proc", self__mounts="\n".join(lines) + "\n")
        return tmp_path / "proc"

    return say


def test_a_folder_in_memory_is_no_disk(mounts, tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    folder, disk = scratch(mounts())
    assert folder in (tmp_path / "one", tmp_path / "two")
    assert disk == pytest.approx(max(shutil.disk_usage(tmp_path).free - GIB, 0), abs=GIB)
    proc = mounts(one="tmpfs")
    assert file_system(tmp_path / "one" / "not there", proc) == "tmpfs"
    assert scratch(proc)[0] == tmp_path / "two"
    assert scratch(mounts(one="tmpfs", two="ramfs")) == (None, 0)
    monkeypatch.setattr("kd.room.RESERVE", 2**60)
    assert scratch(mounts(two="tmpfs")) == (tmp_path / "one", 0)


def test_the_folder_that_a_person_names_goes_before_a_roomier_one(mounts, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "mine"))
    assert scratch(mounts())[0] == tmp_path / "mine"
    assert scratch(mounts(mine="tmpfs", one="tmpfs"))[0] == tmp_path / "two"
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    assert scratch(mounts(one="tmpfs"))[0] == tmp_path / "two"


def test_a_folder_of_an_odd_name_has_its_own_file_system(mounts, tmp_path):
    proc = mounts()
    text = str(tmp_path / "with a space").replace(" ", chr(92) + "040")
    written(proc, self__mounts=f"x / ext4 rw 0 0\ny {text} xfs rw 0 0\n")
    assert file_system(tmp_path / "with a space" / "below", proc) == "xfs"


@pytest.mark.parametrize(
    ("device", "fraction", "used", "left"),
    [
        # 80 GiB, of which others hold 20, and this process 10, 4 of them used.
        (torch.device("cuda"), 1.0, 4, 50 + 10 - 4),
        (torch.device("cuda", 1), 1.0, 4, 50 + 10 - 4),
        (torch.device("cuda"), 0.25, 4, 20 - 4),
    ],
)
def test_of_a_gpu_counts_what_the_process_may_take(device, fraction, used, left, monkeypatch):
    """On a GPU that is played; where not every question takes a device without a number."""

    def said(value):
        def answer(index):
            assert index == (device.index or 0)
            return value

        return answer

    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.mem_get_info", said((50 * GIB, 80 * GIB)))
    monkeypatch.setattr("torch.cuda.memory_reserved", said(10 * GIB))
    monkeypatch.setattr("torch.cuda.memory_allocated", said(used * GIB))
    monkeypatch.setattr("torch.cuda.get_per_process_memory_fraction", said(fraction))
    assert Room.here(device, 0, 8).device == SHARE * left * GIB
    assert Room.here(device, GIB, 8).device == SHARE * (left - 1) * GIB
