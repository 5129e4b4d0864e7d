"""The searcher over Optuna: what the study learns of every trial, and how a sweep goes on."""

import errno
import logging
import math
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import load_space
from tuning.engine.lanes import Lane, LaneSearcher, LaneStopping
from tuning.study.journal import has_trials, load_study, open_study, read_trials
from tuning.study.listing import ListSearcher
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import make_stopping
from tuning.study.trials import TrialRecord

EPOCHS = 9
BASE = TrainConfig.paper("dtskd", "resnet8", "digits", epochs=EPOCHS)
SPACE = load_space("dtskd", "resnet8")
PSKD = TrainConfig.paper("pskd", "resnet8", "digits", epochs=EPOCHS)


@contextmanager
def searching(path: Path, num_trials: int = 6, **options: Any) -> Iterator[StudySearcher]:
    """A searcher over the journal at `path`; a second one goes on where the first one was."""
    with open_study(path, "trial", create=True) as study:
        yield StudySearcher(study, SPACE, BASE, num_trials, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.log"


def begin(searcher: StudySearcher) -> int:
    """Begin the next trial; its number."""
    record = searcher.suggest()
    assert record is not None
    return record.number


def report(searcher: StudySearcher, number: int, epochs: range, value: float = 50.0) -> dict:
    result: dict[str, Any] = {}
    for epoch in epochs:
        result = {"trial": 0, "epoch": epoch, "val_acc": value + epoch, "train_loss": 1 / epoch}
        searcher.report(number, result)
    return result


def play(searcher: StudySearcher, epochs: int = EPOCHS, value: float = 50.0) -> None:
    """Run one trial up to `epochs`, whose last report comes with its end."""
    number = begin(searcher)
    report(searcher, number, range(1, epochs), value)
    last = {"epoch": epochs, "val_acc": value + epochs, "train_loss": 1 / epochs, "done": True}
    searcher.end(number, last)


# -- what is suggested -----------------------------------------------------------------------


def test_the_papers_default_is_first_and_the_number_of_trials_exact(path):
    with searching(path, 4) as searcher:
        given = [searcher.suggest() for _ in range(5)]
    assert given[4] is None
    assert [g.number for g in given[:4]] == [0, 1, 2, 3]
    configs = [TrainConfig.from_dict(g.config) for g in given[:4]]
    assert configs[0] == BASE
    assert len({c.kd.alpha for c in configs}) == 4


def test_the_study_holds_derived_values(path):
    with searching(path, 8) as searcher:
        for _ in range(8):
            searcher.suggest()
    for trial in load_study(path, "trial").get_trials():
        kd = trial.user_attrs["config"]["kd"]
        start = max(0.6, trial.params["kd.beta_min"])
        expected = start + (1 - start) * trial.params["kd.beta_max.span"]
        assert kd["beta_max"] == pytest.approx(expected)
        assert kd["beta_min"] == trial.params["kd.beta_min"]
        assert kd["lambda_b"] == [trial.params[f"kd.lambda_b.{b}"] for b in range(3)]


# -- how trials end --------------------------------------------------------------------------


def test_every_way_to_end(path):
    with searching(path, 7) as searcher:
        play(searcher)
        play(searcher, epochs=3)
        diverged = begin(searcher)
        report(searcher, diverged, range(1, 5))
        nan = {"epoch": 5, "val_acc": float("nan"), "train_loss": float("nan"), "diverged": True}
        searcher.end(diverged, nan)
        failed = begin(searcher)
        report(searcher, failed, range(1, 3))
        full = {"epoch": 0, "val_acc": float("nan"), "failed": "the disk is full"}
        searcher.end(failed, full)
        crashed = begin(searcher)
        report(searcher, crashed, range(1, 3))
        searcher.end(crashed, crashed=True)
        searcher.end(begin(searcher), {"done": True})
        report(searcher, begin(searcher), range(1, 3))
        live = list(searcher.records.values())
    study = load_study(path, "trial")
    stored = read_trials(study)
    assert [t.state.name for t in study.get_trials()] == [
        "COMPLETE", "PRUNED", "PRUNED", "FAIL", "FAIL", "FAIL", "RUNNING",
    ]  # fmt: skip
    assert [(t.state, t.reason) for t in stored] == [
        ("completed", ""),
        ("stopped", "behind others after epoch 3 of 9"),
        ("stopped", "the loss was not finite in epoch 5"),
        ("failed", "the disk is full"),
        ("failed", "its process ended with an error"),
        ("failed", "it ended before its first report"),
        ("running", ""),
    ]
    assert [t.score for t in stored] == [59.0, 53.0, 0.0, 52.0, 52.0, None, 52.0]
    assert stored[0].metrics == {"val_acc": 59.0, "train_loss": 1 / 9}
    assert stored[2].metrics == {}
    for now, then in zip(live, stored, strict=True):
        assert (now.number, now.config, now.state, now.curve, now.reason) == (
            then.number, then.config, then.state, then.curve, then.reason,
        )  # fmt: skip
        assert (now.ended is None) == (then.ended is None) == (now.state == "running")
        assert abs(now.started - then.started) < 60


def test_a_report_that_comes_twice_counts_once(path):
    observer = Diary()
    with searching(path, 1, observers=[observer]) as searcher:
        number = begin(searcher)
        report(searcher, number, range(1, 6))
        report(searcher, number, range(3, 6), value=0.0)
        searcher.end(number, report(searcher, number, range(6, EPOCHS + 1)))
        searcher.end(number, {"epoch": 1, "val_acc": 0.0}, crashed=True)
        searcher.report(number, {"epoch": 1, "val_acc": 0.0})
        searcher.end(77, {"epoch": 1, "val_acc": 0.0})
    (trial,) = read_trials(load_study(path, "trial"))
    assert trial.curve == {epoch: 50.0 + epoch for epoch in range(1, EPOCHS + 1)}
    assert trial.state == "completed"
    assert observer.lines == ["start 0", *(f"epoch 0 {e}" for e in range(1, 10)), "end 0 completed"]


@pytest.mark.parametrize("resumed", [False, True])
def test_an_epoch_that_is_trained_again_stays_as_it_was_first_told(resumed, path):
    """From a checkpoint that is older than the last report, it may come out otherwise."""
    told, again = [{"epoch": 4, "val_acc": v, "train_loss": -v} for v in (54.0, 11.0)]
    diary = Diary()
    with searching(path, 1, observers=[diary]) as searcher:
        number = begin(searcher)
        report(searcher, number, range(1, 4))
        searcher.report(number, told)
        if not resumed:
            searcher.report(number, again)
            assert searcher.records[number].metrics == {"val_acc": 54.0, "train_loss": -54.0}
    if resumed:
        with searching(path, 1, observers=[diary]) as searcher:
            number = begin(searcher)
            searcher.report(number, again)
            # All that is known of it now, but for what is known from before.
            assert searcher.records[number].metrics == {"val_acc": 54.0, "train_loss": -11.0}
    (trial,) = read_trials(load_study(path, "trial"))
    assert trial.curve[4] == 54.0


# -- what the sampler learns -----------------------------------------------------------------


def high_alphas(curve: Callable[[float], list[float]], seed: int) -> int:
    """How many of 40 trials of PS-KD have α above 0.7, if none completes.

    A curve ends at its trial's stop, or with NaN.
    """
    study = optuna.create_study(direction="maximize")
    searcher = StudySearcher(study, load_space("pskd", "resnet8"), PSKD, 40, seed=seed)
    for number in range(40):
        alpha = searcher.suggest().config["kd"]["alpha"]
        for epoch, value in enumerate(curve(alpha), 1):
            result = {"epoch": epoch, "val_acc": value, "diverged": math.isnan(value)}
            searcher.report(number, result)
        searcher.end(number, result)
    return sum(record.config["kd"]["alpha"] > 0.7 for record in searcher.records.values())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_that_came_far_is_not_learnt_as_better_for_that(seed):
    # Low α goes on to the last epoch, as the first at each rung do whatever they are worth; high α
    # is ahead in epoch 1, where it is stopped. At random, 12 of 40 trials would have α above 0.7.
    def curve(alpha: float) -> list[float]:
        return [40.0] if alpha > 0.7 else [10.0, 15.0, 20.0, 25.0, 45.0]

    assert high_alphas(curve, seed) >= 18


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_that_was_stopped_is_not_learnt_as_if_it_were_complete(seed):
    # High α is slow, and is ahead of the others once these are stopped.
    def curve(alpha: float) -> list[float]:
        return [10.0, 16.0, 20.0, 25.0, 30.0] if alpha > 0.7 else [10.0, 15.0]

    assert high_alphas(curve, seed) >= 18


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_trial_that_diverged_late_is_learnt_as_worse_than_one_stopped_early(seed):
    # Without more, Optuna would rank a stopped trial higher the later its last epoch.
    def curve(alpha: float) -> list[float]:
        return [20.0] * 7 + [math.nan] if alpha > 0.7 else [10.0]

    assert high_alphas(curve, seed) <= 12


# -- a sweep that was killed -----------------------------------------------------------------


def test_a_killed_sweep_goes_on(path):
    with searching(path, 6) as searcher:
        play(searcher)
        play(searcher, epochs=3)
        running = [searcher.suggest() for _ in range(2)]
        report(searcher, 2, range(1, 5))
    observer = Diary()
    with searching(path, 6, observers=[observer]) as searcher:
        again = [searcher.suggest() for _ in range(2)]
        assert [(r.number, r.config) for r in again] == [(r.number, r.config) for r in running]
        assert searcher.records[2].curve == {1: 51.0, 2: 52.0, 3: 53.0, 4: 54.0}
        searcher.end(2, report(searcher, 2, range(1, EPOCHS + 1), value=50.0))
        searcher.end(3, report(searcher, 3, range(1, EPOCHS + 1)))
        play(searcher)
        play(searcher)
        assert searcher.suggest() is None
    trials = read_trials(load_study(path, "trial"))
    assert [t.number for t in trials] == [0, 1, 2, 3, 4, 5]
    assert [t.state for t in trials] == ["completed", "stopped", *["completed"] * 4]
    assert [t.epoch for t in trials] == [9, 3, 9, 9, 9, 9]
    assert [line for line in observer.lines if " 2" in line[:7]] == [
        "start 2", *(f"epoch 2 {e}" for e in range(1, 10)), "end 2 completed",
    ], "an observer may have missed what the study holds"  # fmt: skip
    assert not any(line.endswith((" 0", " 1")) for line in observer.lines if "start" in line)


@pytest.mark.parametrize("killed", [True, False])
def test_the_pause_before_a_resumption_is_not_the_trials_time(path, killed, monkeypatch):
    clock = [1.8e9]
    monkeypatch.setattr("tuning.study.searcher.time.time", lambda: clock[0])

    def train(searcher, number, epochs):
        for epoch in epochs:
            clock[0] += 10
            searcher.report(number, {"epoch": epoch, "val_acc": 50.0})

    with searching(path, 1) as searcher:
        train(searcher, begin(searcher), range(1, 4))
        clock[0] += 4
        if not killed:
            searcher.pause()
    first = 30 if killed else 34
    assert read_trials(load_study(path, "trial"))[0].seconds == first
    clock[0] += 3600
    with searching(path, 1) as searcher:
        number = begin(searcher)
        train(searcher, number, range(4, EPOCHS))
        clock[0] += 10
        searcher.end(number, {"epoch": EPOCHS, "val_acc": 59.0})
        live = searcher.records[number]
    (stored,) = read_trials(load_study(path, "trial"))
    assert stored.spans == live.spans
    assert len(stored.spans) == 2
    assert stored.seconds == live.seconds == first + 60


def test_a_trial_that_starved_does_not_hold_what_it_waits_for(path, monkeypatch):
    clock = [1.8e9]
    monkeypatch.setattr("tuning.study.searcher.time.time", lambda: clock[0])
    with searching(path, 1) as searcher:
        number = begin(searcher)
        clock[0] += 5
        searcher.end(number, {"starved": True})
        clock[0] += 1000
        assert searcher.take_up_starved()
        assert begin(searcher) == number
        clock[0] += 20
        searcher.end(number, {"epoch": EPOCHS, "val_acc": 59.0})
    assert read_trials(load_study(path, "trial"))[0].seconds == 25


def test_a_trial_that_was_killed_after_its_last_report_completes(path):
    with searching(path, 1) as searcher:
        report(searcher, begin(searcher), range(1, EPOCHS + 1))
    with searching(path, 1) as searcher:
        number = begin(searcher)
        searcher.end(number, report(searcher, number, range(1, EPOCHS + 1)))
    (trial,) = read_trials(load_study(path, "trial"))
    assert (trial.state, trial.score) == ("completed", 59.0)
    assert trial.metrics["train_loss"] == pytest.approx(1 / 9)


def test_a_resumed_sweep_draws_what_the_unbroken_one_would(tmp_path):
    def configs(path: Path, stop_after: list[int]) -> list[dict[str, Any]]:
        for stop in stop_after:
            with searching(path, 12, seed=3) as searcher:
                while len(searcher.records) < stop:
                    number = len(searcher.records)
                    play(searcher, epochs=9 if number % 2 else 3)
        return [t.config for t in read_trials(load_study(path, "trial"))]

    unbroken = configs(tmp_path / "unbroken", [12])
    assert configs(tmp_path / "broken", [1, 7, 12]) == unbroken
    assert len({c["kd"]["alpha"] for c in unbroken}) == 12


def test_a_trial_that_was_half_drawn_is_drawn_to_its_end(path):
    with searching(path, 2) as searcher:
        half = searcher.study.ask()
        half.suggest_float("kd.alpha", 0.05, 0.95)
    with searching(path, 2) as searcher:
        first = searcher.suggest()
        assert (first.number, first.config) == (0, BASE.to_dict())
        assert searcher.suggest().number == 1
        assert searcher.suggest() is None


def test_more_trials_may_be_asked_for_later(path):
    with searching(path, 2) as searcher:
        play(searcher)
        play(searcher)
        assert searcher.suggest() is None
    with searching(path, 3) as searcher:
        assert searcher.suggest().number == 2
        assert searcher.suggest() is None


# -- the journal -----------------------------------------------------------------------------


def test_half_a_line_is_dropped_when_the_study_is_opened(path):
    with searching(path) as searcher:
        play(searcher)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:20] + b"\0\0")
    assert len(read_trials(load_study(path, "trial"))) == 1
    with searching(path) as searcher:
        play(searcher)
    assert path.read_bytes().startswith(whole)
    assert [t.number for t in read_trials(load_study(path, "trial"))] == [0, 1]


@pytest.mark.parametrize("line", [b"\0\0\0\n", b"garbage\n", b"garbage", b"[" * 999 + b"\n", b"\n"])
@pytest.mark.parametrize("where", [0, 3, -1])
def test_a_damaged_journal_is_refused(path, where, line):
    with searching(path) as searcher:
        play(searcher)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[where] = line
    for content in (b"".join(lines), line):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged"), searching(path):
            pass
        with pytest.raises(UserError, match="is damaged"):
            load_study(path, "trial")
        with pytest.raises(UserError, match="is damaged"):
            has_trials(path)


def test_a_study_belongs_to_one_process(path):
    with searching(path), pytest.raises(UserError, match="Another process"), searching(path):
        pass
    with searching(path) as searcher:
        assert searcher.suggest().number == 0


def test_one_journal_holds_several_studies(path):
    with searching(path, 1) as searcher:
        play(searcher)
    with open_study(path, "teacher", create=False) as study:
        assert read_trials(study) == []
    assert len(read_trials(load_study(path, "trial"))) == 1


def test_a_study_that_is_not_there(path):
    with pytest.raises(UserError, match=r"study\.log cannot be written: No such file"):  # noqa: SIM117
        with open_study(path, "trial", create=False):
            pass
    assert not path.exists()
    with pytest.raises(UserError, match="There is no study"):
        load_study(path, "trial")
    with searching(path), pytest.raises(UserError, match="no study 'teacher' yet"):
        load_study(path, "teacher")


def fill(path: Path) -> None:
    """Write to `path` until the file system is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(64))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_leaves_a_study_that_goes_on(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path, ballast = small / "study.log", small / "ballast"
        with searching(path, 4) as searcher:
            play(searcher)
            number = begin(searcher)
            fill(ballast)
            for epoch in range(1, 100):
                searcher.report(number, {"epoch": epoch, "val_acc": 1.0})
            searcher.end(number, {"epoch": 100, "val_acc": 1.0})
            with pytest.raises(UserError, match="cannot be written: No space left on device"):
                searcher.suggest()
            assert searcher.error is not None
        ballast.unlink()
        with searching(path, 4) as searcher:
            assert searcher.records[0].state == "completed"
            assert searcher.suggest().number == 1
            assert searcher.suggest().number == 2
        assert len(read_trials(load_study(path, "trial"))) == 3
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_list_of_configurations_is_never_mistaken_for_another(path):
    first = [replace(PSKD, seed=seed) for seed in (1, 2, 3)]
    with open_study(path, "confirm", create=True) as study:
        play(ListSearcher(study, first))
    with open_study(path, "confirm", create=False) as study:
        assert ListSearcher(study, first).suggest().number == 1
    for other in (first[1:], first[:0] + first[2:], [replace(c, epochs=5) for c in first]):
        with (
            open_study(path, "confirm", create=False) as study,
            pytest.raises(UserError, match="other configurations"),
        ):
            ListSearcher(study, other)


def test_a_list_that_was_begun_before_a_key_existed_goes_on(path, monkeypatch):
    whole, configs = TrainConfig.to_dict, [replace(PSKD, seed=seed) for seed in (1, 2)]

    def older(config):
        return {name: value for name, value in whole(config).items() if name != "history"}

    monkeypatch.setattr(TrainConfig, "to_dict", older)
    with open_study(path, "confirm", create=True) as study:
        assert ListSearcher(study, configs).suggest().number == 0
    monkeypatch.setattr(TrainConfig, "to_dict", whole)
    with open_study(path, "confirm", create=False) as study:
        assert ListSearcher(study, configs).suggest().number == 0


def test_a_storage_with_a_fault_leaves_no_half_line(path, monkeypatch):
    """A write that breaks off in the middle is taken back, and done again."""
    monkeypatch.setattr("tuning.storage.patience.PAUSES", (0, 0))
    whole = JournalFileBackend.append_logs
    faults = 2

    def broken(backend, logs):
        nonlocal faults
        if faults:
            faults -= 1
            with path.open("ab") as file:
                file.write(b'{"half')
            raise OSError(errno.EIO, "Input/output error")
        whole(backend, logs)

    with searching(path, 2) as searcher:
        play(searcher)
        monkeypatch.setattr(JournalFileBackend, "append_logs", broken)
        play(searcher)
        assert searcher.error is None
    assert [t.state for t in read_trials(load_study(path, "trial"))] == ["completed"] * 2


# -- observers -------------------------------------------------------------------------------


class Diary:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_start(self, trial: TrialRecord) -> None:
        self.lines.append(f"start {trial.number}")

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        assert trial.curve[epoch] == metrics["val_acc"]
        self.lines.append(f"epoch {trial.number} {epoch}")

    def on_end(self, trial: TrialRecord) -> None:
        self.lines.append(f"end {trial.number} {trial.state}")


class Broken(Diary):
    """Fails at every epoch."""

    def on_epoch(self, trial: TrialRecord, epoch: int, metrics: dict[str, float]) -> None:
        raise RuntimeError("the store is gone")


def test_an_observer_that_fails_is_reported_once_and_stops_nothing(path, caplog):
    broken, diary = Broken(), Diary()
    with (
        caplog.at_level(logging.WARNING),
        searching(path, 1, observers=[broken, diary]) as searcher,
    ):
        play(searcher, epochs=4)
    assert diary.lines == ["start 0", *(f"epoch 0 {e}" for e in range(1, 5)), "end 0 stopped"]
    assert broken.lines == ["start 0", "end 0 stopped"]
    assert [record.getMessage() for record in caplog.records] == [
        "Broken failed and may miss trials: RuntimeError('the store is gone')"
    ]


# -- under Ray Tune --------------------------------------------------------------------------


def test_a_real_sweep_under_ray_tune(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    import ray
    from ray import tune

    # Trial 1 starts low, 3 diverges, 4 says that it failed, 5 crashes; the rest complete.
    def synthetic(assignment: dict[str, Any]) -> None:
        number = assignment["trial"]
        for epoch in range(1, EPOCHS + 1):
            value = 50.0 + 2 * number + epoch - (100 / epoch if number == 1 else 0)
            metrics = {"trial": number, "epoch": epoch, "val_acc": value, "train_loss": 1.0}
            if number == 3 and epoch == 4:
                tune.report({**metrics, "val_acc": 0.0, "diverged": True})
            if number == 4 and epoch == 2:
                tune.report({**metrics, "epoch": 0, "failed": "no", "done": True})
            if number == 5 and epoch == 3:
                raise RuntimeError("crash")
            tune.report(metrics)

    ray.init(
        num_cpus=1,
        address="local",
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
    )
    try:
        diary = Diary()
        with searching(tmp_path / "study.log", 7, observers=[diary]) as searcher:
            # The work is played, so that the lane needs none.
            lanes = [Lane(searcher, make_stopping("asha", EPOCHS, 1, 3), None)]
            tuner = tune.Tuner(
                tune.with_resources(synthetic, {"cpu": 1}),
                tune_config=tune.TuneConfig(
                    search_alg=LaneSearcher(lanes),
                    scheduler=LaneStopping(lanes),
                    num_samples=-1,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(storage_path=str(tmp_path), name="tune", verbose=0),
            )
            tuner.fit()
    finally:
        ray.shutdown()
    trials = read_trials(load_study(tmp_path / "study.log", "trial"))
    assert [t.state for t in trials] == [
        "completed", "stopped", "completed", "stopped", "failed", "failed", "completed",
    ]  # fmt: skip
    assert [t.epoch for t in trials] == [9, 1, 9, 4, 1, 2, 9]
    assert trials[1].curve == {1: -47.0}
    assert trials[3].reason == "the loss was not finite in epoch 4"
    assert trials[4].reason == "no"
    assert TrainConfig.from_dict(trials[0].config) == BASE
    assert trials[2].metrics == {"val_acc": 63.0, "train_loss": 1.0}
    for trial in trials:
        lines = [line for line in diary.lines if line.split()[1] == str(trial.number)]
        epochs = [f"epoch {trial.number} {e}" for e in trial.curve]
        assert lines == [f"start {trial.number}", *epochs, f"end {trial.number} {trial.state}"]
