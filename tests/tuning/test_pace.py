"""Where the pace of a search is known from an earlier one, and where it is not."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import sweep_result
from test_report import keep

from kd.origin import Origin
from tuning.engine import runtime
from tuning.engine.share import Share
from tuning.engine.trying import TELL
from tuning.records.environment import environment
from tuning.records.settings import STUDY, SweepSettings
from tuning.search import main
from tuning.study.expected import doubt
from tuning.study.journal import open_study
from tuning.sweeps.pace import FEWEST, Known, known_pace

SECONDS = 2.0
SHARE = Share(cpus=1, gpus=0.0, slots=2)
"""What the sweeps of `sweep_result` had."""


def recorded(
    storage: Path,
    name: str = "earlier",
    where: dict[str, str] | None = None,
    seconds: Callable[[int], float] = lambda number: SECONDS,
    trials: int = 8,
    before: float = 0.0,
    **options: Any,
) -> SweepSettings:
    """Leave a sweep behind whose epochs took so many seconds by the number of their trial."""
    result = sweep_result(storage / name, trials=trials, stopping=False)
    settings = replace(result.sweep.settings, **options)
    first = {"before_seconds": before} if before else {}
    told = [
        replace(t, metrics={**t.metrics, **first, "epoch_seconds": seconds(t.number)})
        for t in result.trials
    ]
    keep(replace(result, sweep=replace(result.sweep, settings=settings), trials=told))
    with open_study(settings.folder / STUDY, "search", create=False) as study:
        study.set_user_attr("environment", where or environment())
    Origin().keep(settings.folder, Origin.of("images"))
    return settings


def asked(storage: Path, **changes: Any) -> SweepSettings:
    return replace(sweep_result(storage / "new", trials=16).sweep.settings, **changes)


def test_the_pace_of_an_earlier_sweep_is_known(tmp_path: Path) -> None:
    recorded(tmp_path)
    known = known_pace(asked(tmp_path), SHARE)
    assert known
    assert (known.sweep, known.slots, known.gpus) == ("earlier", 2, 0.0)
    assert known.pace.epoch == pytest.approx(SECONDS + TELL)
    assert known.pace.doubt == pytest.approx(doubt(), abs=0.1)


def test_what_a_trial_trained_before_its_first_epoch_is_no_start(tmp_path: Path) -> None:
    recorded(tmp_path, before=5.0)
    known = known_pace(asked(tmp_path), SHARE)
    assert known
    assert known.pace.before == 5.0
    plain = recorded(tmp_path / "other")
    other = known_pace(asked(plain.storage), SHARE)
    assert other
    assert known.pace.start == pytest.approx(max(other.pace.start - 5.0, 0.0))


def test_epochs_that_took_unlike_long_widen_the_band(tmp_path: Path) -> None:
    recorded(tmp_path, seconds=lambda number: SECONDS * (1 + number % 2))
    known = known_pace(asked(tmp_path), SHARE)
    assert known
    assert known.pace.epoch == pytest.approx(1.5 * SECONDS + TELL)
    assert known.pace.doubt > 0.3


@pytest.mark.parametrize(
    "changes",
    [
        {"cpus_per_trial": 1},
        {"workers_per_trial": 2},
        {"seeds_per_trial": 3},
        {"compile": "never"},
        {"gpus_per_trial": 0.5},
    ],
)
def test_what_holds_another_part_of_the_machine_is_not_used(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    recorded(tmp_path)
    assert known_pace(asked(tmp_path, **changes), SHARE) is None
    recorded(tmp_path, "alike", **changes)
    assert known_pace(asked(tmp_path, **changes), SHARE)


@pytest.mark.parametrize(("name", "used"), [("machine", 0), ("torch", 0), ("git_commit", 1)])
def test_another_machine_is_not_used(name: str, used: bool, tmp_path: Path) -> None:
    recorded(tmp_path, where=environment() | {name: "another"})
    assert bool(known_pace(asked(tmp_path), SHARE)) is bool(used)


def test_older_code_and_code_that_nobody_noted_are_not_used(tmp_path: Path) -> None:
    folder = recorded(tmp_path).folder
    (folder / "origin.json").unlink()
    assert known_pace(asked(tmp_path), SHARE) is None
    (folder / "origin.json").write_text("{{{")
    assert known_pace(asked(tmp_path), SHARE) is None
    (folder / "origin.json").unlink()
    now = Origin.of("images")
    Origin().keep(folder, replace(now, versions=now.versions | {"kd": "older"}))
    assert known_pace(asked(tmp_path), SHARE) is None


@pytest.mark.parametrize(
    "share",
    [replace(SHARE, slots=4), replace(SHARE, slots=1), Share(cpus=8, gpus=1.0, slots=2)],
)
def test_a_search_that_would_run_otherwise_here_is_measured(share: Share, tmp_path: Path) -> None:
    """More slots than this machine has were a cluster's."""
    recorded(tmp_path)
    assert known_pace(asked(tmp_path), share) is None


def test_other_batches_too_few_trials_and_a_teacher_to_come_tell_nothing(tmp_path: Path) -> None:
    recorded(tmp_path, trials=FEWEST - 1)
    settings = asked(tmp_path)
    assert known_pace(settings, SHARE) is None
    recorded(tmp_path, "enough", trials=FEWEST)
    assert known_pace(settings, SHARE)
    other = replace(settings, base=replace(settings.base, batch_size=8))
    assert known_pace(other, SHARE) is None
    one_at_a_time = replace(settings, trials=None, epochs_total=9)
    assert known_pace(one_at_a_time, SHARE) is None, "nothing would train beside it"


def test_the_newest_one_tells_it(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        settings = recorded(tmp_path, name, seconds=lambda _, n=number: SECONDS + n)
        os.utime(settings.folder / "sweep.yaml", (number, number))
    known = known_pace(asked(tmp_path), SHARE)
    assert isinstance(known, Known)
    assert (known.sweep, known.pace.epoch) == ("second", pytest.approx(SECONDS + 1 + TELL))


def test_a_dry_run_says_whose_pace_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    recorded(tmp_path, search_optimizer=False)
    with open_study(tmp_path / "earlier" / STUDY, "search", create=False) as study:
        study.set_user_attr("slots", os.cpu_count() or 1)
    with pytest.raises(SystemExit) as end:
        main(["lsskd", "--preset", "laptop", "--local", "--dry-run", "--storage", str(tmp_path)])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert not runtime.local_gpus()
    assert f"pace known from earlier: {SECONDS:.2g} s an epoch, " in said
    assert "measured" not in said
    assert "  training time: " in said
