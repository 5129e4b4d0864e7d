"""Trials that share a GPU: how many, and what becomes of one that does not fit."""

import json
import os
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch
from processes import soon

from kd.config import TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.methods import config_class
from kd.training.parallel import NoDeviceError
from search_spaces import Space, load_space
from tuning.cluster.parcel import to_words
from tuning.engine import measuring, packing
from tuning.engine import run as engine
from tuning.engine.lanes import Lane, LaneSearcher
from tuning.engine.measuring import UnmeasurableError, fitting
from tuning.engine.packing import Room, share_of
from tuning.engine.remembered import (
    FILE,
    Measured,
    cell_of,
    counts,
    keep,
    recall,
    undecided,
    worthwhile,
)
from tuning.engine.runtime import connected
from tuning.engine.share import Share, share
from tuning.engine.trial import Work, lost_device, sentence
from tuning.records import request
from tuning.records.options import Options
from tuning.records.presets import setting
from tuning.records.request import Flags, anew
from tuning.records.settings import SweepSettings
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study, read_trials
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import make_stopping

GIB = 2**30
BASE = setting("laptop", "ce").base
AUTO = SweepSettings(name="packed", base=BASE, trials=4, gpus_per_trial="auto", grace_period=3)
GPUS = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0}]

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU here.")


@pytest.mark.parametrize(
    ("used", "total", "cores", "count"),
    [(10, 80, 16, 6), (10, 80, 4, 4), (70, 80, 16, 1), (80, 80, 16, 1), (1, 80, 0, 1)],
)
def test_as_many_trials_fit_as_have_memory_with_a_margin_and_a_core(used, total, cores, count):
    assert fitting(used * GIB, total * GIB, cores) == count


@pytest.mark.parametrize(
    ("most", "tried"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (14, [1, 2, 4, 8, 14])],
)
def test_the_numbers_of_trials_that_are_tried(most, tried):
    assert counts(most) == tried


def per_second(**milliseconds: float) -> dict[int, float]:
    """Steps a second of all together, from how long one step of one of them then takes."""
    return {int(k.removeprefix("of_")): 1000 / ms for k, ms in milliseconds.items()}


# resnet20, batch 64, captured, on an H200: milliseconds a step of one trial among as many.
WITH_MPS = per_second(of_1=1.85, of_2=1.17, of_4=0.79, of_8=0.68, of_14=0.67)
WITHOUT = per_second(of_1=1.67, of_2=1.69, of_4=1.69, of_8=1.69, of_14=1.69)


@pytest.mark.parametrize(
    ("rates", "most", "count", "measured"),
    [
        (WITH_MPS, 14, 8, [1, 2, 4, 8, 14]),
        (WITH_MPS, 4, 4, [1, 2, 4]),
        (WITH_MPS, 1, 1, [1]),
        (WITHOUT, 14, 1, [1, 2]),
        # A larger network, full at two; it is not asked what four would do.
        (per_second(of_1=20, of_2=15, of_4=14.5), 16, 2, [1, 2, 4]),
        # Gaps that a second trial fills, and a third does not.
        ({1: 100.0, 2: 112.0, 3: 120.0}, 3, 2, [1, 2, 3]),
        ({1: 100.0, 2: 109.9, 4: 400.0}, 4, 1, [1, 2]),
        # Two do not work at all.
        ({1: 100.0, 2: 0.0}, 8, 1, [1, 2]),
    ],
)
def test_as_many_share_a_gpu_as_still_gain(rates, most, count, measured):
    known: dict[int, float] = {}
    while (following := undecided(known, most)) is not None:
        known[following] = rates[following]
    assert list(known) == measured
    assert worthwhile(known, most) == count


def test_what_an_earlier_sweep_measured_may_be_too_little_for_this_one():
    few = {1: 100.0, 2: 190.0}
    assert undecided(few, 2) is None
    assert undecided(few, 8) == 4
    assert worthwhile(few, 8) == 2


def measured(rates, used=5 * GIB, total=80 * GIB):
    return Measured(used, total, rates)


def test_auto_is_the_default_and_a_whole_gpu_until_a_trial_was_tried_out():
    assert Options().gpus_per_trial == "auto"
    assert share_of(AUTO, GPUS) == share(GPUS, None, 1.0)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Settings whose storage is empty, and the trainings that were measured."""
    jobs = []

    def measure(config, work, **how):
        jobs.append((config.backbone, how))
        return measured(WITH_MPS if config.backbone == "resnet8" else WITHOUT)

    monkeypatch.setattr(packing, "measure", measure)
    card = {"gpu": "NVIDIA H200", "memory": "143771 MiB", "mps": True}
    monkeypatch.setattr(packing, "card_of", lambda device: card)
    return replace(AUTO, storage=tmp_path), jobs


@pytest.fixture(scope="module")
def images():
    return train_val(open_dataset("digits").train, BASE.split)


@pytest.fixture
def work(images, tmp_path):
    return Work(*images, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))


def test_auto_measures_once_and_remembers(asked, work, capsys):
    settings, jobs = asked
    found = packing.packing(settings, GPUS, [(BASE, work)])
    assert (found.share.gpus, found.share.slots, found.share.cpus) == (0.125, 16, 1)
    assert found.rates == (pytest.approx(WITH_MPS[8] / 8),)
    assert jobs == [("resnet8", {"cores": 8, "cpus": 1, "device": "cuda"})]
    line = "ce on resnet8: 8 trials share a GPU, and take 2.7 times the steps of one "
    assert f"{line}(with MPS, 8 fit, measured now).\n" in capsys.readouterr().out
    other = replace(BASE, seed=5, optimizer=replace(BASE.optimizer, lr=0.3))
    assert packing.packing(settings, GPUS, [(other, work)]) == found, "of another configuration"
    assert len(jobs) == 1
    assert f"{line}(with MPS, 8 fit, measured earlier).\n" in capsys.readouterr().out
    packing.packing(replace(settings, cpus_per_trial=4), GPUS, [(BASE, work)])
    assert len(jobs) == 1, "two are known, and no more have four cores"


def test_trials_of_several_cells_share_as_the_most_demanding_of_them(asked, work, capsys):
    settings, jobs = asked
    larger = replace(BASE, backbone="resnet20")
    found = packing.packing(settings, GPUS, [(BASE, work), (larger, work), (BASE, work)])
    assert (found.share.gpus, found.share.slots) == (1.0, 2)
    assert found.rates == (WITH_MPS[1], WITHOUT[1], WITH_MPS[1])
    assert len(jobs) == 2
    said = capsys.readouterr().out
    assert "ce on resnet20: a GPU for each trial, as two would take 1.0 times the steps of" in said


def test_what_cannot_be_tried_out_has_a_gpu_of_its_own(asked, work, monkeypatch, capsys):
    def fails(*_, **__):
        raise UnmeasurableError("it takes more memory than a GPU has")

    monkeypatch.setattr(packing, "measure", fails)
    found = packing.packing(asked[0], GPUS, [(BASE, work)])
    assert (found.share.gpus, found.rates) == (1.0, (None,))
    assert "none could be tried out: it takes more memory than a GPU" in capsys.readouterr().out
    assert not (asked[0].storage / FILE).exists()


def test_nothing_is_measured_where_the_number_is_given_or_no_gpu_is_there(asked, work):
    settings, jobs = asked
    for other in (
        replace(settings, gpus_per_trial=0.25),
        replace(settings, gpus_per_trial=None),
        replace(settings, workers_per_trial=2),
    ):
        found = packing.packing(other, GPUS, [(BASE, work)])
        assert found == packing.Packing(share_of(other, GPUS), (None,))
    none = packing.packing(settings, [{"CPU": 2.0}], [(BASE, work)])
    assert none.share == share([{"CPU": 2.0}], None, None)
    assert jobs == []


def test_trials_of_several_workers_have_whole_gpus_under_auto():
    assert share_of(replace(AUTO, workers_per_trial=2), GPUS) == share(GPUS, None, None, 2)


def test_an_old_sweep_keeps_its_whole_gpus(tmp_path):
    with tarfile.open(Path(__file__).parents[1] / "old" / "runs.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    old = SweepSettings.load(tmp_path / "runs", "finished")
    assert old.gpus_per_trial is None
    assert not old.packed
    assert old.mps_wanted is None
    assert "None" not in anew(old)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"gpus_per_trial": 0.25}, True),
        ({"gpus_per_trial": 1.0}, None),
        ({"gpus_per_trial": 0.0}, None),
        ({"gpus_per_trial": None}, None),
        ({"workers_per_trial": 2}, None),
        ({"mps": False}, False),
        ({"mps": False, "gpus_per_trial": 1.0}, False),
    ],
)
def test_mps_is_for_trials_that_share_gpus(changes, wanted):
    assert replace(AUTO, **changes).mps_wanted is wanted


def test_a_resumed_sweep_goes_without_mps_as_long_as_that_is_typed(tmp_path):
    settings = replace(AUTO, storage=tmp_path)
    settings.save()
    options = Options(storage=tmp_path, mps=False)
    without = Flags(resume=("packed",), options=options)
    (resumed,) = request.sweeps(without, gpus=0)
    assert not resumed.mps
    resumed.save()
    (again,) = request.sweeps(Flags(resume=("packed",), options=replace(options, mps=True)), gpus=0)
    assert again.mps
    assert to_words(without) == ["--resume", "packed", "--no-mps"]


# -- remembered ----------------------------------------------------------------------------------


def test_a_measurement_is_told_from_others_by_all_that_it_depends_on(images, tmp_path):
    train, val = images
    card = {"gpu": "NVIDIA H200", "memory": "143771 MiB", "mps": True}
    about = {**cell_of(BASE, train, val), **card}
    keep(tmp_path, about, measured(WITH_MPS))
    assert recall(tmp_path, about) == measured(WITH_MPS)
    others = [
        replace(BASE, method="pskd", kd=config_class("pskd")()),
        replace(BASE, backbone="resnet20"),
        replace(BASE, batch_size=11),
        replace(BASE, precision="bfloat16"),
        replace(BASE, augment=replace(BASE.augment, cutout=2)),
    ]
    header = json.dumps({"__metadata__": {"kd": json.dumps({"backbone": "resnet20"})}}).encode()
    teacher = len(header).to_bytes(8, "little") + header
    assert cell_of(BASE, train, val, [teacher])["teachers"] == ["resnet20"]
    assert cell_of(BASE, train, val, [b"no file"])["teachers"] == [""]
    others.append(replace(BASE, optimizer=replace(BASE.optimizer, name="adamw")))
    found = [{**cell_of(config, train, val), **card} for config in others]
    found += [{**cell_of(BASE, val, val), **card}, {**cell_of(BASE, train, train), **card}]
    found += [{**about, name: "another"} for name in ("gpu", "memory", "mps", "torch", "kd")]
    assert [recall(tmp_path, other) for other in found] == [None] * len(found)
    for other in found:
        keep(tmp_path, other, measured({1: 1.0}))
    assert recall(tmp_path, about) == measured(WITH_MPS)
    keep(tmp_path, about, measured(WITHOUT))
    assert recall(tmp_path, about) == measured(WITHOUT), "the newer one counts"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\x00", b"[]", b"3", b'{"measured": 3}', b'{"measured": [3, null]}'),
        *(b"[" * 100_000, b'{"other": "project"}'),
        *(
            json.dumps({"measured": [{"of": {"a": 1}, **entry}]}).encode()
            for entry in (
                {},
                {"used": 1, "total": 2, "rates": {}},
                {"used": 1, "total": 2, "rates": {"1": 0.0}},
                {"used": 1, "total": 2, "rates": {"1": "fast"}},
                {"used": 1, "total": 2, "rates": {"1": 5.0, "0": 1.0}},
                {"used": 1, "total": 2, "rates": {"1": 5.0, "2": float("nan")}},
                {"used": -1, "total": 2, "rates": {"1": 5.0}},
                {"used": 1, "total": 1e999, "rates": {"1": 5.0}},
            )
        ),
    ],
)
def test_a_file_that_is_of_no_use_is_as_good_as_none(content, tmp_path):
    (tmp_path / FILE).write_bytes(content)
    assert recall(tmp_path, {"a": 1}) is None
    keep(tmp_path, {"a": 1}, measured(WITHOUT))
    assert recall(tmp_path, {"a": 1}) == measured(WITHOUT)


def test_what_cannot_be_kept_is_no_fault(tmp_path):
    (tmp_path / FILE).mkdir()
    keep(tmp_path, {"a": 1}, measured(WITHOUT))
    assert recall(tmp_path, {"a": 1}) is None
    keep(tmp_path / "nowhere", {"a": 1}, measured(WITHOUT))


# -- measured ------------------------------------------------------------------------------------


def test_trainings_are_counted_side_by_side(work, tmp_path, monkeypatch, capsys):
    """Here on a CPU: two at once, in processes of their own, which end with it."""
    monkeypatch.setattr(measuring, "MARGIN", 1.0)
    base = replace(BASE, epochs=1)
    with connected():
        room = Room(tmp_path, 2, 1, device="cpu")
        found = room.together(base, work)
        assert found is not None
        assert list(found.rates) == [1, 2]
        assert all(rate > 0 for rate in found.rates.values())
        assert "measured now" in capsys.readouterr().out
        assert soon(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])
        assert Room(tmp_path, 2, 1, device="cpu").together(base, work) == found
        assert "measured earlier" in capsys.readouterr().out

        broken = replace(work, teachers=(b"no network",))
        taught = replace(base, method="kd", kd=config_class("kd")())
        assert room.together(taught, broken) is None
        assert "none could be tried out: " in capsys.readouterr().out


def test_a_gpu_is_told_from_others_without_torch(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\ntest "$2" = --id=3 && echo "NVIDIA A100-SXM4-80GB, 81920 MiB"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    card = {"gpu": "NVIDIA A100-SXM4-80GB", "memory": "81920 MiB", "mps": False}
    assert measuring.card("cuda") == card
    if not torch.cuda.is_available():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        assert measuring.card("cuda")["gpu"] == "unknown"


def test_a_unit_of_steps_outweighs_what_comes_beside_it(monkeypatch):
    """Played: a step of 2 ms, and 8 ms before and after however many of them."""
    clock = [0.0]

    class Played:
        loader = range(700)

        def try_out(self, steps, *, look):
            assert not look
            clock[0] += 0.008 + 0.002 * min(steps, 700)

    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock[0])
    assert measuring.unit(Played()) == 80
    Played.loader = range(15)
    assert measuring.unit(Played()) == 15, "an epoch at a time"


@pytest.mark.parametrize("gpus", [1.0, 0.5, 0.3333, 0.4, 0.0625])
def test_whole_gpus_are_as_many_as_there_are(gpus):
    part = share([{"CPU": 64.0, "GPU": 2.0}], 1, gpus).on_whole_gpus()
    assert part.gpus == 1
    assert 1 <= part.slots <= 2


def test_a_trial_that_ran_out_of_memory_goes_on_at_the_end_and_is_told_once(tmp_path, monkeypatch):
    """The GPU is played: its memory holds half a trial in the first run."""
    runs = []

    def play(lanes, part, folder):
        runs.append((part.gpus, []))
        searcher = LaneSearcher(lanes)
        while not isinstance(assignment := searcher.suggest(f"t{len(runs[-1][1])}"), str):
            number, trial_id = assignment["trial"], f"t{len(runs[-1][1])}"
            runs[-1][1].append(number)
            searcher.on_trial_result(trial_id, {"trial": number, "epoch": 1, "val_acc": 40.0})
            last = {"trial": number, "epoch": 2, "val_acc": 50.0, "done": True}
            if number == 1:
                reason = {"failed": "the GPU's memory is full", "val_acc": float("nan")}
                last |= {"epoch": 0, **reason, "starved": part.gpus < 1}
            searcher.on_trial_complete(trial_id, last)

    monkeypatch.setattr(engine, "_run", play)
    base = TrainConfig.paper("pskd", "resnet8", "digits", epochs=2)
    with open_study(tmp_path / "study.log", "search", create=True) as study:
        searcher = StudySearcher(study, load_space("pskd", "resnet8"), base, 3)
        work = Work(None, None, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))
        lanes = [Lane(searcher, make_stopping("none", 2), work)]
        engine.run_trials(lanes, Share(cpus=1, gpus=0.25, slots=4), tmp_path)
        assert runs == [(0.25, [0, 1, 2]), (1.0, [1])]
        records = read_trials(study)
    assert [r.state for r in records] == ["completed", "failed", "completed"]
    assert records[1].reason == "the GPU's memory is full"
    assert records[1].curve == {1: 40.0}


class FaultyOnce(Shelf):
    """What the first process asks of it, a fault of the GPU answers."""

    def exists(self, name: str) -> bool:
        with (Path(self.uri) / "processes").open("a") as asked:
            asked.write(f"{os.getpid()}\n")
        if len((Path(self.uri) / "processes").read_text().split()) == 1:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        return super().exists(name)


def test_a_trial_whose_gpu_is_lost_goes_on_in_another_process(images, tmp_path):
    """Its own fault or, under MPS, a neighbour's: the process is of no use to any trial."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    base = replace(BASE, epochs=1)
    with connected(), open_study(tmp_path / "study.log", "search", create=True) as study:
        searcher = StudySearcher(study, Space({}), base, 2)
        work = Work(*images, TrialFiles(shelf=FaultyOnce(str(tmp_path)), study="trial"))
        lane = Lane(searcher, make_stopping("none", 1), work)
        engine.run_trials([lane], Share(cpus=1, gpus=0, slots=1), tmp_path)
    first, again, *_ = (tmp_path / "processes").read_text().split()
    assert first != again
    assert [r.state for r in searcher.records.values()] == ["completed"] * 2


@pytest.mark.parametrize(
    ("error", "lost", "starved"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access"), True, False),
        (NoDeviceError("cuda"), True, False),
        (torch.AcceleratorError("CUDA error: out of memory"), False, True),
        (torch.OutOfMemoryError("CUDA out of memory"), False, True),
        (RuntimeError("a bug"), False, False),
    ],
)
def test_what_a_gpu_says_of_itself(error, lost, starved):
    assert lost_device(error) is lost
    assert ("batch_size" in sentence(error)) is starved


@needs_gpu
def test_a_training_is_tried_out_on_the_gpu(tmp_path):
    images = train_val(open_dataset("digits").train, BASE.split)
    work = Work(*images, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))
    used, total = measuring.Probe().prepare((BASE, work, "cuda"))
    assert 0 < used < total


@needs_gpu
def test_trainings_are_counted_side_by_side_on_one_gpu(work, tmp_path):
    with connected(mps=True):
        found = measuring.measure(BASE, work, cores=4, cpus=1, device="cuda")
        card = measuring.card_of("cuda")
    assert found.rates[1] > 0
    assert 2 in found.rates
    assert 0 < found.used < found.total
    assert card["gpu"] == torch.cuda.get_device_name()


@needs_gpu
def test_a_share_that_is_too_small_is_retried_on_a_whole_gpu(tmp_path):
    """A quarter of a GPU, limited to almost nothing, then all of it."""
    from tuning.engine.run import run_trials
    from tuning.engine.runtime import connected

    images = train_val(open_dataset("digits").train, BASE.split)
    base = replace(BASE, epochs=1)
    with connected(), open_study(tmp_path / "study.log", "search", create=True) as study:
        searcher = StudySearcher(study, Space({}), base, 2)
        work = Work(*images, TrialFiles(shelf=Shelf(str(tmp_path)), study="trial"))
        lane = Lane(searcher, make_stopping("none", 1), work)
        run_trials([lane], Share(cpus=1, gpus=0.0001, slots=2), tmp_path)
    assert [r.state for r in searcher.records.values()] == ["completed"] * 2
