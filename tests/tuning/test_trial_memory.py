"""Where the memories of trials lie is asked of a machine of theirs before anything is trained."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kd.config import TrainConfig
from kd.data import Images
from kd.errors import UserError
from kd.memories import Memories
from search_spaces import load_space
from tuning.engine import memory
from tuning.engine.memory import answer, check_memories
from tuning.engine.runtime import connected
from tuning.engine.share import Share

GIB = 2**30
IMAGENET = Memories("dense", 1_281_167, ((1000,), (4, 4, 4000)))
BASE = TrainConfig.paper("lsskd", "resnet18", "cifar100")


def work(samples: int = 1_281_167, classes: int = 1000, seeds: int = 1) -> Any:
    """What trials train on, as far as their memories go."""
    pixels = np.broadcast_to(np.zeros(1, np.uint8), (samples, 3, 32, 32))
    names = tuple(map(str, range(classes)))
    images = Images(pixels, np.zeros(samples, np.int64), names)
    return SimpleNamespace(train=images, seeds=seeds)


@pytest.fixture
def asked(monkeypatch):
    """What a machine is asked, which answers with a line."""
    questions = []

    def ask(*question):
        questions.append(question)
        return "Soft-label memories: so and so.", None

    monkeypatch.setattr(memory, "_ask", ask)
    return questions


def test_everyday_memories_are_not_asked_about(asked, capsys):
    for method, samples, classes in (("lsskd", 45_000, 100), ("ce", 1_281_167, 1000)):
        config = TrainConfig.paper(method, "resnet18", "cifar100")
        check_memories([(config, work(samples, classes))], Share(cpus=1, gpus=0, slots=2))
    assert not asked
    assert not capsys.readouterr().out


def test_a_machine_is_asked_once_for_all_trials_that_it_may_have_at_once(asked, capsys):
    configs = list(load_space("lsskd", "resnet18").extremes(BASE))
    assert len(configs) > 5
    part = Share(cpus=4, gpus=2.0, slots=6, workers=2)
    data = work()
    check_memories([(config, data) for config in configs], part, machines=4)
    ((memories, images, beside, share),) = asked
    assert memories == IMAGENET.as_form("compressed")
    assert images == data.train.images.nbytes
    assert (beside, share) == (3, part)
    assert capsys.readouterr().out == "Soft-label memories: so and so.\n"


def test_each_seed_of_a_trial_has_its_own(asked):
    part = Share(cpus=4, gpus=0.0, slots=2)
    for seeds in (1, 3):
        check_memories([(BASE, work(seeds=seeds))], part)
    assert [beside for _, _, beside, _ in asked] == [2, 6]


def test_what_is_set_counts(asked):
    configs = load_space("lsskd", "resnet18", fixed={"history": "dense"}).extremes(BASE)
    check_memories([(next(configs), work())], Share(cpus=1, gpus=0, slots=1))
    assert asked[0][0] == IMAGENET


def test_an_answer_is_a_line_or_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("kd.training.memory.free_memory", lambda: 40 * GIB)
    monkeypatch.setattr("kd.training.memory.scratch", lambda: (tmp_path, 20 * GIB))
    small = IMAGENET.as_form("compressed")
    assert answer(small, 0, 1, 0) == (
        "Soft-label memories: compressed, 10.4 GiB, in memory.",
        None,
    )
    line, refusal = answer(IMAGENET, 0, 3, 0)
    assert line is None
    assert refusal == (
        "The soft-label memories (dense, 310.2 GiB) fit nowhere: there is room for 10.0 GiB in "
        f"memory and 6.7 GiB in {tmp_path}, for each of 3; set history=compressed, and TMPDIR to "
        "a folder with 11.4 GiB of room on a disk, or train fewer at once."
    )


def test_a_process_of_ray_answers():
    """A real one, which holds what a trial holds."""
    huge = work(samples=10**9)
    part = Share(cpus=1, gpus=0.0, slots=1)
    with connected() as nodes, pytest.raises(UserError, match="fit nowhere: there is room for"):
        check_memories([(BASE, huge)], part, len(nodes))
