"""The search and the confirmation, called from Python."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from kd.backbones.staged import StagedBackbone
from kd.config import TrainConfig
from kd.errors import UserError
from kd.run_folder import CONFIGS
from kd.screen import silent, warn
from tuning import best_config, run_confirm, run_search
from tuning.python.result import SearchResult
from tuning.python.within import called
from tuning.records.keywords import as_file, from_keywords
from tuning.records.request import Flags
from tuning.reports.console import console
from tuning.search import main


class Searches(NamedTuple):
    """Two sweeps side by side, interrupted in a script, and resumed here, in another thread."""

    storage: Path
    interrupted: str
    """What was printed until then."""
    found: list[SearchResult]
    before: dict[str, str]
    after: dict[str, str]
    """The environment, before the first call and after the last one."""


def in_a_thread(call: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    assert found, "it raised"
    return found[0]


INTERRUPTED = """
import asyncio, os, signal, sys, threading
from pathlib import Path
import numpy as np
from real_sweeps import journal, wait_for
from tuning import run_search

storage, before = Path(sys.argv[1]), dict(os.environ)

def stop():
    wait_for(lambda: bool(journal(storage, "two-ce-resnet8-digits")))
    os.kill(os.getpid(), signal.SIGINT)

async def cell():
    run_search(["ce", "pskd"], backbone="resnet8", dataset="digits", preset="laptop",
               trials=np.int64(3), epochs=2, scheduler="none", name="two",
               space={"optimizer.lr": {"low": 0.01, "high": np.float64(0.1), "log": True}},
               set={"batch_size": 10}, storage=storage)

signal.signal(signal.SIGINT, signal.default_int_handler)
stopper = threading.Thread(target=stop)
stopper.start()
# A notebook runs its cells within a loop, too.
loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(cell())
    sys.exit("it ended by itself")
except KeyboardInterrupt:
    stopper.join()
    names = (n for n in {*before, *os.environ} if before.get(n) != os.environ.get(n))
    assert not [n for n in names if n.startswith(("TUNE_", "RAY_A", "PYTHON"))]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
"""A script, so that whatever ends it is seen and ends no other test."""


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> Searches:
    storage, before = tmp_path_factory.mktemp("called"), dict(os.environ)
    script = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(storage)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.returncode == 0, f"{script.returncode}: {script.stdout}{script.stderr}"
    names = ["two-ce-resnet8-digits", "two-pskd-resnet8-digits"]
    found = in_a_thread(lambda: run_search(resume=names, storage=str(storage)))
    return Searches(storage, script.stdout, found, before, dict(os.environ))


def test_an_interrupt_closes_the_sweeps_and_says_how_to_go_on(searches: Searches) -> None:
    said = searches.interrupted
    again = f"resume=['two-ce-resnet8-digits', 'two-pskd-resnet8-digits'], storage={str(searches.storage)!r}"  # noqa: E501
    assert said.rstrip().endswith(f"Go on with run_search({again}).")
    assert "python -m tuning.search --resume two-ce-resnet8-digits" in said
    assert (searches.storage / "two-ce-resnet8-digits" / "report.html").exists()


def test_a_list_gives_a_list_in_the_order_of_the_cells(searches: Searches) -> None:
    assert [result.best.method for result in searches.found if result.best] == ["ce", "pskd"]
    assert [result.name for result in searches.found] == [
        "two-ce-resnet8-digits",
        "two-pskd-resnet8-digits",
    ]


def test_the_result_is_what_the_folder_holds(searches: Searches) -> None:
    for result in searches.found:
        folder = searches.storage / result.name
        assert result.folder == folder
        assert result.best == TrainConfig.load(folder / "best_config.yaml")
        assert result.report == folder / "report.html"
        assert result.report.exists()
        assert (result.confirmed, result.proved) == (False, False)
        for table, name in ((result.trials, "trials"), (result.curves, "curves")):
            pd.testing.assert_frame_equal(table, pd.read_parquet(folder / f"{name}.parquet"))
        assert len(result.trials) == 3
        assert len(result.curves) == 6
        assert result.score == result.trials.val_acc.max()
        assert "one run, not confirmed" in repr(result)
        best = int(result.trials.trial[result.trials.val_acc.idxmax()])
        assert result.best == TrainConfig.load(folder / CONFIGS / f"{best}.yaml")
        assert result.trials["optimizer.lr"][1:].between(0.01, 0.1).all()


def test_the_student_is_the_trained_network(searches: Searches) -> None:
    result = searches.found[0]
    student = result.student()
    assert isinstance(student, StagedBackbone)
    assert not student.training
    assert student(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_the_cell_has_its_best(searches: Searches) -> None:
    best = best_config("ce", "resnet8", "digits", storage=searches.storage)
    assert best == searches.found[0].best


def test_the_command_reads_what_was_called(searches: Searches, tmp_path: Path) -> None:
    name, file = searches.found[1].name, tmp_path / "best.yaml"
    words = ["--sweep", name, "--to", "yaml", "-o", str(file), "--storage", str(searches.storage)]
    subprocess.run([sys.executable, "-m", "tuning.export", *words], check=True)
    assert TrainConfig.load(file) == searches.found[1].best


def test_what_is_of_the_process_is_put_back(searches: Searches) -> None:
    def changed(name: str) -> bool:
        return searches.before.get(name) != searches.after.get(name)

    names = {*searches.before, *searches.after}
    assert not {n for n in filter(changed, names) if n.startswith(("TUNE_", "RAY_A", "PYTHON"))}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_confirming_gives_the_result_anew(
    searches: Searches, capsys: pytest.CaptureFixture[str]
) -> None:
    first = searches.found[0]
    proved = first.confirm(top=1, seeds=5, verbose=False)
    assert capsys.readouterr().out == ""
    assert not first.confirmed
    assert proved.confirmed
    assert proved.best == TrainConfig.load(proved.folder / "best_config.yaml")
    assert proved.best is not None
    assert proved.best.seed == 1
    assert proved.proved is ("Nothing is better" not in repr(proved))
    assert "paper's default" in repr(proved)
    again = run_confirm(first.name, storage=searches.storage)
    assert again == proved
    assert "It was confirmed before" in capsys.readouterr().out
    with pytest.raises(UserError, match="leave the flags away to read what was found"):
        proved.confirm(seeds=9)


SCRIPT = """
import ray
from tuning import run_search
from kd.errors import UserError

asked = dict(dataset="digits", backbone="resnet8", epochs=1, storage="kept", verbose=False)
ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
try:
    run_search("ce", trials=1, **asked)
except UserError as error:
    print(error)
ray.shutdown()
result = run_search("ce", trials=2, set={"optimizer.lr": 1e15}, name="diverged", **asked)
print(result.best, result.score, set(result.trials.reason))
try:
    result.student()
except UserError as error:
    print(error)
"""


def test_a_script_with_a_ray_of_its_own_and_a_sweep_that_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    refused, nothing, student = done.stdout.splitlines()
    assert "call ray.shutdown() first" in refused
    assert nothing == "None None {'the loss was not finite in epoch 1'}"
    assert "run_search(resume='diverged', trials=6)" in student
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "kept").glob("*/sweep.yaml")] == ["sweep.yaml"]


# -- bad input -------------------------------------------------------------------------------------


def refused(call: Callable[..., Any], *words: Any, **keywords: Any) -> str:
    with pytest.raises(UserError) as raised:
        call(*words, **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("method", "keywords", "sentence"),
    [
        ("lskd", {}, "did you mean 'lsskd'"),
        (None, {}, "Which method"),
        ([], {}, "Which method"),
        ("--help", {}, "begins like a flag"),
        ("lsskd", {"trails": 3}, "There is no keyword 'trails'; did you mean 'trials'?"),
        ("lsskd", {"trials": "many"}, "--trials is 'many'; give a whole number."),
        ("lsskd", {"trials": 2.5}, "--trials is '2.5'; give a whole number."),
        ("lsskd", {"trials": True}, "--trials is 'True'; give a whole number."),
        ("lsskd", {"trials": 0}, "--trials is 0; it must be at least 1."),
        ("lsskd", {"epochs": -1}, "--epochs is -1; it must be at least 1."),
        ("lsskd", {"backbone": ["resnet8", "resnet9"]}, "'resnet9'; did you mean 'resnet"),
        ("lsskd", {"dataset": Path("digit")}, "did you mean 'digits'"),
        ("lsskd", {"scheduler": "ahsa"}, "--scheduler is 'ahsa'; choose one of: asha"),
        ("lsskd", {"confirm": "yes"}, "--confirm is yes; give True or False."),
        ("lsskd", {"name": "--x"}, "--name is '--x'; use letters"),
        ("lsskd", {"name": ""}, "--name is empty"),
        ("lsskd", {"storage": "~nobody-here/x"}, "there is no user 'nobody-here'"),
        ("lsskd", {"set": {"alpha": 7}}, "at most 1"),
        ("lsskd", {"set": {"alhpa": 0.5}}, "did you mean"),
        ("lsskd", {"set": ["alpha"]}, "--set alpha=0.8"),
        ("lsskd", {"set": {"split.val_fraction": 2}}, "val_fraction"),
        ("lsskd", {"space": {"alpha": [0.9, 0.2]}}, "space: "),
        ("lsskd", {"space": {"alhpa": [0.1, 0.5]}}, "did you mean"),
        ("lsskd", {"space": {"alpha": object()}}, "space cannot be kept in a file"),
        ("lsskd", {"space": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
        (None, {"resume": "yesterday"}, "There is no sweep"),
        ("lsskd", {"version": True}, "--version is for the command line"),
        ("lsskd", {"cluster": "ray_cluster.yaml"}, "--cluster is for the command line"),
        (None, {"attach": "x"}, "--attach is for the command line"),
        (None, {"stop": ["x"]}, "--stop is for the command line"),
        ("lsskd", {"address": "http://a:b@127.0.0.1:9"}, "To send a search to http://***@"),
        ("lsskd", {"address": "127.0.0.1:9"}, "No Ray answers at 127.0.0.1:9"),
    ],
)
def test_a_bad_keyword_is_one_sentence_and_leaves_nothing(
    method: Any, keywords: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    storage = tmp_path / "runs"
    before = dict(os.environ)
    assert sentence in refused(run_search, method, **{"storage": storage, **keywords})
    assert not storage.exists()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({}, "There is no sweep under"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"top": 2, "trial": [1, 2]}, "--top and --trial both say who competes"),
        ({"trial": "one"}, "--trial"),
        ({"seed": 3}, "There is no keyword 'seed'; did you mean 'seeds'?"),
    ],
)
def test_a_bad_keyword_of_a_confirmation(
    keywords: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refused(run_confirm, "yesterday", storage=tmp_path, **keywords)


@pytest.mark.parametrize(
    ("words", "keywords"),
    [
        (["lsskd", "--grace-period", "99"], {"method": "lsskd", "grace_period": 99}),
        (["lsskd", "--gpus-per-trial", "nan"], {"method": "lsskd", "gpus_per_trial": np.nan}),
        (["kd", "--teacher", "resnet21"], {"method": "kd", "teacher": "resnet21"}),
        (["--resume", "x", "--seed", "7"], {"resume": "x", "seed": 7}),
        (
            ["ce", "--storage", "/proc/x", "--name", "n"],
            {"method": "ce", "storage": "/proc/x", "name": "n"},
        ),
    ],
)
def test_the_sentence_is_the_commands_own(
    words: list[str], keywords: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    said = capsys.readouterr().err
    assert said == f"error: {refused(run_search, **keywords)}\n"


def test_one_call_at_a_time() -> None:
    with called(verbose=True):
        said = in_a_thread(lambda: refused(run_search, "ce"))
    assert "Another search or confirmation runs in this process" in said


def test_a_dry_run_says_what_it_would_cost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Trials of several workers are not tried out, which takes seconds.
    asked = {"preset": "laptop", "dry_run": True, "workers_per_trial": 2}
    asked |= {"storage": tmp_path / "runs"}
    assert run_search("kd", trials=5, space={"temperature": {"low": 2, "high": 3}}, **asked) is None
    said = capsys.readouterr().out
    assert "5 trials of at most 9 epochs" in said
    assert "kd.temperature: 2 … 3" in said
    assert not (tmp_path / "runs").exists()


# -- keywords --------------------------------------------------------------------------------------


def test_flags_are_the_keywords() -> None:
    keywords = {
        "method": ("ce", "kd"),
        "mps": False,
        "confirm": np.bool_(True),
        "gpus_per_trial": 0.25,
        "set": {"alpha": 0.8, "kd.alpha_schedule": "linear", "lambda_b": (1, 2)},
        "storage": Path("x y"),
        "trials": None,
        "name": "-x",
    }
    flags = from_keywords(Flags, keywords, "method")
    assert flags.method == ("ce", "kd")
    assert flags.set == ("alpha=0.8", "kd.alpha_schedule=linear", "lambda_b=[1, 2]")
    assert flags.name == "-x"
    options = flags.options
    assert (options.mps, options.confirm, options.gpus_per_trial) == (False, True, 0.25)
    assert (options.storage, flags.trials) == (Path("x y"), None)


def test_a_mapping_of_ranges_is_what_a_file_would_hold() -> None:
    given = {"a": (0.1, np.float32(0.5)), "b": range(3), "c": {"low": 1e-5, "high": 1, "log": True}}
    assert as_file("space", given) == {
        "a": [0.1, 0.5],
        "b": [0, 1, 2],
        "c": {"low": 1e-5, "high": 1, "log": True},
    }


# -- where it is called ----------------------------------------------------------------------------


def test_importing_it_imports_nothing_heavy() -> None:
    code = """
import sys
import tuning
light = {"tyro", "pydantic", "yaml"} & set(sys.modules)
from tuning import best_config, run_confirm, run_search
from kd.errors import UserError
for keywords in ({"method": "lskd"}, {"method": "kd", "trails": 3}):
    try:
        run_search(**keywords, verbose=False)
    except UserError:
        pass
heavy = "ray torch mlflow optuna pandas pyarrow torchvision sklearn scipy matplotlib"
print(sorted(light), sorted(set(heavy.split()) & set(sys.modules)))
print(sorted({"run_search", "run_confirm", "best_config"} - set(tuning.__all__)))
import tuning.search, tuning.confirm
print(callable(tuning.run_search), tuning.search.main.__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n[]\nTrue tuning.search\n"


def test_what_is_silent_lets_warnings_and_other_threads_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with silent():
        print("told")
        warn("warned")
        in_a_thread(lambda: print("another's") or True)
        assert not console().is_terminal
        console().print("drawn")
    print("after")
    assert capsys.readouterr().out == "warned\nanother's\nafter\n"


def test_a_notebook_gets_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    console().print("[bold]a line[/]")
    assert capsys.readouterr().out == "a line\n"
