import sys

import numpy as np
import pytest
import ray

import tuning.sweeps.run as sweeps
from kd.data import open_dataset
from tuning.engine.mapped import InStore, mapping
from tuning.engine.runtime import connected
from tuning.python.search import run_search


@pytest.fixture(scope="module")
def images():
    return open_dataset("digits").train


def test_sweeps_that_run_side_by_side_map_the_same_images(monkeypatch, tmp_path):
    """First in this file: it joins a Ray of its own, and what follows another one."""
    seen = []
    run_trials = sweeps.run_trials

    def looked_at(lanes, *rest):
        seen.extend(lane.work.train for lane in lanes)
        assert all(isinstance(images.images, InStore) for images in seen)
        run_trials(lanes, *rest)

    monkeypatch.setattr(sweeps, "run_trials", looked_at)
    asked = {"dataset": "digits", "backbone": "resnet8", "preset": "laptop", "local": True}
    found = run_search(["ce", "lsr"], trials=1, epochs=1, storage=tmp_path, verbose=False, **asked)
    assert [result.best is not None for result in found] == [True, True]
    first, second = seen
    assert first is second


@pytest.fixture(scope="module")
def mapped(images):
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with connected():
        one = mapping()
        found = one(images)
        assert one(images) is found
        task = ray.remote(num_cpus=0)(arrived)
        yield found, ray.get(task.remote([ray.put(found)])), len(ray.cloudpickle.dumps(found))


def arrived(put):
    """What another process has of images that lie in an object of the store."""
    images = ray.get(put[0])
    return type(images.images).__name__, images.images.flags.writeable, images.digest


def test_images_in_the_store_are_the_same_images(images, mapped):
    found, (kind, writeable, digest), _ = mapped
    assert digest == images.digest
    assert np.array_equal(found.labels, images.labels)
    # What another process has is the store's memory itself, which nobody may write to.
    assert (kind, writeable) == ("ndarray", False)


def test_only_where_they_lie_is_sent(images, mapped):
    assert mapped[2] < images.images.nbytes / 4


def test_what_sends_them_has_their_shape_and_none_of_them(images, mapped):
    """Memory of the store that is held on to when its Ray ends has ended whole processes."""
    held = mapped[0].images
    assert (held.shape, held.nbytes) == (images.images.shape, images.images.nbytes)
    with pytest.raises(TypeError):
        held[0]
