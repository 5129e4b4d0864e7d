"""What `pytest -n 2` has to know: who starts a Ray; one at a time is enough.

A shell that starts the tests in the background, or `nohup`, leaves signals ignored, and what the
tests start would inherit that: here they are heard again. Each process computes on one thread:
the threads of several, each as many as there are cores, wait for each other most of their time.
"""

import os
import signal
from typing import Any

import pytest
from families import FORMS, SMALL

from kd.backbones import BACKBONES

os.environ["OMP_NUM_THREADS"] = "1"
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

RAY = (
    "tests/test_old.py::test_its_interrupted_sweep_is_resumed",
    "tests/test_resumed.py",
    "tests/tuning/test_ablation_sweep.py",
    "tests/tuning/test_assistants_sweep.py",
    "tests/tuning/test_budget.py::test_a_real_search",
    "tests/tuning/test_compare.py",
    "tests/tuning/test_confirm.py",
    "tests/tuning/test_faults.py",
    "tests/tuning/test_images_sweep.py",
    "tests/tuning/test_kept_teachers.py::test_sweeps_side_by_side",
    "tests/tuning/test_lifeline.py::test_a_sweeps_ray_is_its_own",
    "tests/tuning/test_lifeline.py::test_what_comes_while_a_sweep_starts",
    "tests/tuning/test_mapped.py",
    "tests/tuning/test_mps.py::test_a_sweep_has_it",
    "tests/tuning/test_objectives_sweep.py",
    "tests/tuning/test_own_network.py",
    "tests/tuning/test_plugins.py::test_what",
    "tests/tuning/test_packing.py",
    "tests/tuning/test_proved.py",
    "tests/tuning/test_python.py",
    "tests/tuning/test_seeds_sweep.py",
    "tests/tuning/test_shelf.py",
    "tests/tuning/test_shadows.py::test_a_search_by_its_name",
    "tests/tuning/test_signals.py::test_a_ray",
    "tests/tuning/test_signals.py::test_after_ray",
    "tests/tuning/test_startup.py::test_the_way_to_the_first_step",
    "tests/tuning/test_sweep.py",
    "tests/tuning/test_trial_memory.py::test_a_process_of_ray_answers",
    "tests/tuning/test_tutorial.py::test_its_cells_end",
    "tests/tuning/test_workers.py",
    "tests/tuning/test_searcher.py::test_a_real_sweep_under_ray_tune",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out test by test, but all that start a Ray to one worker."""
    from xdist.scheduler import LoadScopeScheduling

    class OneRay(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "ray" if nodeid.startswith(RAY) else nodeid

    return OneRay(config, log)


@pytest.fixture
def small_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry has the small networks of `families` too."""
    for name, spec in (SMALL | FORMS).items():
        monkeypatch.setitem(BACKBONES, name, spec)
