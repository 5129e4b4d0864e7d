"""Trials of several seeds: each comes out as it would alone, and their mean is what counts."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from small_methods import registered
from synthetic import sweep_result
from test_budget import asked

from kd.config import SEEDS, OptimizerConfig, SplitConfig, TrainConfig
from kd.data import Images, open_dataset
from kd.data.split import train_val
from kd.errors import UserError
from kd.training import checkpoint
from kd.training.teacher import load_teachers, train_teacher
from kd.training.trainer import Place, Trainer
from search_spaces import Space
from tuning.engine.pooled import DEVIATION, FAR, Pool, mean_of, seeds_of
from tuning.engine.remembered import cell_of
from tuning.engine.trial import Work, train_trial
from tuning.exporters.model_card import model_card
from tuning.records.findings import UNCONFIRMED
from tuning.records.forecast import Forecast
from tuning.records.plan import expected_epochs, size
from tuning.records.protocol import protocol
from tuning.records.result import SweepResult
from tuning.replaying.recorded import Recorded
from tuning.replaying.simulate import simulate
from tuning.replaying.strategy import Plan
from tuning.reports.comparison import check_comparable, table
from tuning.reports.comparison import render as compared
from tuning.reports.confirmed import scored
from tuning.reports.estimate import seconds_left
from tuning.reports.files import tables
from tuning.reports.page import render
from tuning.reports.sentences import caveats, headline
from tuning.reports.spending import cost
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.budget import Budget
from tuning.study.expected import Pace, courses
from tuning.study.journal import read_trials, study_in_memory
from tuning.study.searcher import StudySearcher
from tuning.tracking.promoted import is_proof

CONFIG = TrainConfig.paper("pskd", "resnet8", "digits", epochs=3, batch_size=25, seed=4)
SPLIT = SplitConfig(val_fraction=0.6, train_size=50)
SIZE = 3


@pytest.fixture(scope="module")
def images() -> tuple[Images, Images]:
    return train_val(open_dataset("digits").train, SPLIT)


def work_in(folder: Path, images: tuple[Images, Images], seeds: int = SIZE) -> Work:
    files = TrialFiles(shelf=Shelf(str(folder)), study="trial")
    return Work(*images, files, seeds=seeds)


def trained(work: Work, config: TrainConfig = CONFIG, tell: Any = None) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    assignment = {"lane": 0, "trial": 0, "config": config.to_dict()}
    train_trial(assignment, work, cpus=1, device="cpu", tell=tell or told.append)
    return told


# -- the training ---------------------------------------------------------------------------------


def test_its_seeds_are_its_own_first_and_none_that_a_confirmation_takes() -> None:
    assert seeds_of(7, 1) == [7]
    assert seeds_of(7, 3) == [7, 7 + FAR, 7 + 2 * FAR]
    # Confirming begins behind the sweep's own seed, and no race comes so far.
    assert min(seeds_of(7, 100)[1:]) - 7 > 1e12
    for seed in seeds_of(SEEDS - 1, 100):
        replace(CONFIG, seed=seed)
    assert len({*seeds_of(SEEDS - 1, 100)}) == 100


def test_each_seed_comes_out_as_it_would_alone(images: tuple[Images, Images]) -> None:
    place = Place.local("cpu")
    pool = Pool(CONFIG, *images, seeds=SIZE, place=place)
    told: list[dict[str, float]] = []
    pool.fit(lambda metrics, state: told.append(metrics))
    alone = []
    for seed in seeds_of(CONFIG.seed, SIZE):
        trainer = Trainer(replace(CONFIG, seed=seed), *images, place=place)
        trainer.fit()
        alone.append(trainer)
    for ours, trainer in zip(pool.trainers, alone, strict=True):
        for name, tensor in trainer.state()["method"].items():
            assert torch.equal(ours.state()["method"][name], tensor), name
    assert pool.history == told
    for metrics, *each in zip(told, *(t.history for t in alone), strict=True):
        scores = [one["val_acc"] for one in each]
        assert len({*scores}) > 1, "the seeds differ"
        assert metrics["val_acc"] == fmean(scores)
        assert metrics[DEVIATION] == stdev(scores)
        assert metrics["epoch"] == each[0]["epoch"]
        assert metrics["lr"] == each[0]["lr"]
        assert metrics["val_nll"] == fmean(one["val_nll"] for one in each)


def test_seconds_of_an_epoch_are_a_sum_and_those_of_a_training_a_mean() -> None:
    each = [{"epoch": 1, "epoch_seconds": s, "train_seconds": s, "val_acc": 50.0} for s in (1, 3)]
    found = mean_of(each)
    assert (found["epoch_seconds"], found["train_seconds"]) == (4, 2)


def test_one_seed_is_told_and_kept_as_ever(images: tuple[Images, Images]) -> None:
    place = Place.local("cpu")
    pool, trainer = Pool(CONFIG, *images, place=place), Trainer(CONFIG, *images, place=place)
    ours, own = pool.run_epoch(), trainer.run_epoch()
    assert ours == pool.first.history[0]
    assert {n: v for n, v in ours.items() if "seconds" not in n} == {
        n: v for n, v in own.items() if "seconds" not in n
    }
    assert pool.state().keys() == {*trainer.state(), "before_seconds"}


def test_a_broken_trial_goes_on_as_the_unbroken_one(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    class Broken(BaseException):
        pass

    def end(report: dict[str, Any]) -> None:
        if report["epoch"] == 2:
            raise Broken

    whole, broken = (work_in(tmp_path / name, images) for name in ("whole", "broken"))
    expected = trained(whole)
    with pytest.raises(Broken):
        trained(broken, tell=end)
    kept = checkpoint.load(tmp_path / "broken" / "checkpoints" / "trial-0000.pt")
    assert [state["epoch"] for state in kept["seeds"]] == [1] * SIZE
    again = trained(broken)
    assert [report["epoch"] for report in again] == [1, 2, 3]
    for one, other in zip(expected, again, strict=True):
        measured = {name for name in one if "seconds" not in name}
        assert {n: one[n] for n in measured} == {n: other[n] for n in measured}
    first, second = (
        (tmp_path / name / "students" / "trial-0000.safetensors").read_bytes()
        for name in ("whole", "broken")
    )
    assert first == second


def test_its_student_is_that_of_its_first_seed_and_says_its_own_score(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    last = trained(work_in(tmp_path, images))[-1]
    trainer = Trainer(CONFIG, *images, place=Place.local("cpu"))
    own = trainer.fit()
    student, about = checkpoint.load_weights(tmp_path / "students" / "trial-0000.safetensors")
    for name, tensor in trainer.student.state_dict().items():
        assert torch.equal(student.state_dict()[name], tensor), name
    assert about["val_acc"] == own["val_acc"] != last["val_acc"]


def test_a_checkpoint_of_another_number_of_seeds_is_begun_again(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    place = Place.local("cpu")
    one = Pool(CONFIG, *images, place=place)
    with pytest.raises(UserError, match="on 2 seeds"):
        one.load_state(Pool(CONFIG, *images, seeds=2, place=place).state())
    trained(work_in(tmp_path, images, seeds=1))
    assert [r.get("began_again") for r in trained(work_in(tmp_path, images))] == [True, None, None]


def test_where_a_seed_diverges_the_trial_does(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    steep = replace(CONFIG, optimizer=OptimizerConfig(lr=1e30))
    last = trained(work_in(tmp_path, images), steep)[-1]
    assert last["diverged"]
    assert last["val_acc"] == 0.0


def test_they_share_their_teacher_and_go_through_phases_together(
    images: tuple[Images, Images], tmp_path: Path
) -> None:
    place, file = Place.local("cpu"), tmp_path / "teacher.safetensors"
    ce = TrainConfig.paper("ce", "resnet8", "digits", epochs=1, batch_size=25)
    train_teacher(ce, *images, file, place=place)
    with registered():
        config = TrainConfig.paper("hinted", "resnet8", "digits", epochs=1, batch_size=25)
        config = config.with_teachers([str(file)])
        teachers = load_teachers(config, images[0])
        pool = Pool(config, *images, seeds=2, place=place, teachers=teachers)
        told = list[dict[str, float]]()
        pool.fit(lambda metrics, state: told.append(metrics))
        assert [(m["epoch"], m.get("phase_epoch")) for m in told] == [(0, 1), (0, 2), (1, None)]
        second = replace(config, seed=seeds_of(config.seed, 2)[1])
        alone = Trainer(second, *images, place=place, teachers=load_teachers(config, images[0]))
        alone.fit()
        for name, tensor in alone.state()["method"].items():
            assert torch.equal(pool.trainers[1].state()["method"][name], tensor), name


# -- what it costs --------------------------------------------------------------------------------


def searched(budget: Budget, trials: int | None = None) -> StudySearcher:
    """Two trials at a time, each told epoch by epoch, until nothing more begins."""
    study = study_in_memory()
    config = replace(CONFIG, epochs=4)
    searcher = StudySearcher(study, Space({}), config, trials, budget=budget)
    running: dict[int, int] = {}
    while True:
        while len(running) < 2 and (given := searcher.suggest()) is not None:
            running[given.number] = 0
        if not running:
            return searcher
        for number in list(running):
            running[number] = epoch = running[number] + 1
            report = {"trial": number, "epoch": epoch, "val_acc": 10.0 * epoch}
            wanted = searcher.wants(number, epoch)
            if epoch == 4 or not wanted:
                searcher.end(number, report)
                del running[number]
            else:
                searcher.report(number, report)


@pytest.mark.parametrize("most", [12, 13, 14, 40, 47])
def test_each_epoch_counts_on_every_seed_and_none_begins_that_is_not_paid(most: int) -> None:
    budget = Budget(epochs=most, seeds=3)
    searcher = searched(budget)
    records = list(searcher.records.values())
    assert sum(record.trained for record in records) == 3 * (most // 3)
    assert {record.seeds for record in read_trials(searcher.study)} == {3}
    assert budget.spent(records) == f"{most} epochs"


def test_without_a_bound_its_seeds_are_known_too() -> None:
    searcher = searched(Budget(seeds=3), trials=2)
    assert [record.trained for record in read_trials(searcher.study)] == [12, 12]
    alone = searched(Budget(), trials=1)
    assert [record.trained for record in read_trials(alone.study)] == [4]
    assert "seeds" not in alone.study.trials[0].user_attrs


def test_as_many_run_at_once_as_can_be_brought_to_an_end() -> None:
    assert Budget(epochs=60, seeds=3).at_once(9) == 2
    assert Budget(epochs=60).at_once(9) == 6


def test_what_is_expected_counts_them(tmp_path: Path) -> None:
    settings = sweep_result(tmp_path / "s", trials=16).sweep.settings
    pooled = replace(settings, seeds_per_trial=3)
    (found, most), (one, least) = (expected_epochs(s) or (0, 0) for s in (pooled, settings))
    assert found == pytest.approx(3 * one, abs=2)
    assert most == 3 * least == 3 * 16 * 9
    assert size(pooled) == "16 trials of at most 9 epochs on 3 seeds"
    pace = Pace(epoch=1.0, doubt=0.0)
    alike = [Forecast.of(s, pace, 2, 0.0) for s in (pooled, settings)]
    assert alike[0].seconds == alike[1].seconds, "the pace is that of an epoch of all seeds"
    assert alike[0].epochs == pytest.approx([3 * number for number in alike[1].epochs])
    open_ended = replace(pooled, trials=None, epochs_total=270)
    assert open_ended.planned == 270 // 3
    assert replace(open_ended, seeds_per_trial=1).planned == 270


def test_a_bound_that_no_trial_fits_is_refused() -> None:
    with pytest.raises(UserError, match="one training of 27 epochs in all, on 3 seeds: give at"):
        asked("--epochs-total", "26", "--seeds-per-trial", "3")
    assert asked("--epochs-total", "27", "--seeds-per-trial", "3").epochs_of_a_trial == 27


def test_the_packing_of_several_seeds_is_not_that_of_one(images: tuple[Images, Images]) -> None:
    assert cell_of(CONFIG, *images) == cell_of(CONFIG, *images, seeds=1)
    assert cell_of(CONFIG, *images, seeds=3) == {**cell_of(CONFIG, *images), "seeds": 3}


# -- what is said ---------------------------------------------------------------------------------


def pooled(folder: Path) -> SweepResult:
    """A sweep whose trials trained on three seeds each."""
    result = sweep_result(folder, trials=8)
    settings = replace(result.sweep.settings, seeds_per_trial=3)
    about = replace(result.sweep, settings=settings, protocol=protocol(settings.base, 3))
    return replace(result, sweep=about, trials=[replace(t, seeds=3) for t in result.trials])


def test_what_is_shown_says_that_it_is_a_mean(tmp_path: Path) -> None:
    result, alone = pooled(tmp_path / "pooled"), sweep_result(tmp_path / "alone", trials=8)
    assert headline(result).endswith("mean of 3 seeds, not confirmed.")
    assert headline(alone).endswith(f"{UNCONFIRMED}.")
    said = " ".join(caveats(result))
    assert "The student that is kept is that of its first seed." in said
    assert "Mean of 3 seeds each, and the best was chosen on this same val set" in said
    assert scored(result, result.best) == f"{result.best_score:.2f} % (mean of 3 seeds)"
    assert cost(result).startswith(f"{3 * alone.epochs_spent} epochs trained in")
    assert f"saved {3 * alone.epochs_saved} epochs" in cost(result)
    page = render(result)
    assert "(mean of 3 seeds, not confirmed)" in page
    assert "one run" not in page
    assert "(one run, not confirmed)" in render(alone)
    assert result.best
    config = TrainConfig.from_dict(result.best.config)
    about = {"image_size": [8, 8], "num_classes": 10, "in_channels": 1, "class_names": ["a"],
             "mean": [0.5], "std": [0.5], "val_acc": 80.0, "epochs": 9}  # fmt: skip
    card = model_card(Path("s.safetensors"), "safetensors", config, about, result=result)
    assert "80.00 % val accuracy of this very network, one run" in card
    assert "The student that is kept is that of its first seed." in card
    assert "Mean of 3 seeds, not confirmed: the test set was not opened." in card


def test_a_table_says_how_many_seeds_and_that_they_chose(tmp_path: Path) -> None:
    result = pooled(tmp_path / "pooled")
    assert f"{result.best_score:.2f}** (n = 3, not confirmed)" in table([result], "markdown")
    assert "($n=3$, not confirmed)" in table([result], "latex")
    assert "over those that it was chosen by" in compared([result, pooled(tmp_path / "other")])
    alone = sweep_result(tmp_path / "alone", trials=8)
    assert "over those that it was chosen by" not in compared([alone])
    with pytest.raises(UserError, match="pooled has seeds 3 and alone has 1; compare sweeps of"):
        check_comparable([result, alone])


@pytest.mark.parametrize(
    ("said", "proved"),
    [
        (UNCONFIRMED, False),
        ("mean of 3 seeds, not confirmed", False),
        ("val 86.10 ± 0.42 % (n = 5)", True),
        ("val 86.10 % (n = 1), not handed out", True),
    ],
)
def test_a_mean_over_the_searchs_own_seeds_is_no_proof(said: str, proved: bool) -> None:
    assert is_proof(said) is proved


def test_the_estimate_of_a_running_search_is_as_long(tmp_path: Path) -> None:
    several, alone = pooled(tmp_path / "pooled"), sweep_result(tmp_path / "alone", trials=8)
    left = []
    for result in (several, alone):
        settings = replace(result.sweep.settings, trials=16)
        result = replace(result, sweep=replace(result.sweep, settings=settings))
        took = {"within": 100.0, "since_report": 0.0}
        left.append(seconds_left(result, trained=result.epochs_spent, **took))
    assert left[0] == pytest.approx(left[1])


# -- replayed -------------------------------------------------------------------------------------


def test_a_replay_counts_the_epochs_of_every_seed(tmp_path: Path) -> None:
    sources = {}
    for make in (pooled, sweep_result):
        folder = tmp_path / make.__name__
        result = make(folder)
        result.sweep.settings.save()
        for name, content in zip(("trials", "curves"), tables(result), strict=True):
            (folder / f"{name}.parquet").write_bytes(content)
        sources[make.__name__] = Recorded([folder])
    recorded = sources["pooled"]
    assert (recorded.seeds, sources["sweep_result"].seeds) == (3, 1)
    for trials in (4, None):
        plan = Plan(trials=trials, epochs_total=None if trials else 54, seeds=recorded.seeds)
        several = simulate(recorded, plan, 0)
        per_seed = plan.epochs_total and plan.epochs_total // 3
        one = simulate(recorded, replace(plan, epochs_total=per_seed, seeds=1), 0)
        assert several.course.epochs == 3 * one.course.epochs
        assert several.course.seconds == one.course.seconds
    with pytest.raises(UserError, match="has 3; give tables of one cell"):
        Recorded([tmp_path / "pooled", tmp_path / "sweep_result"])


def test_a_simulated_course_counts_them_too(tmp_path: Path) -> None:
    from tuning.records.forecast import outline

    settings = replace(pooled(tmp_path / "s").sweep.settings, trials=None, epochs_total=540)
    for course in courses(outline(settings, 2), Pace(epoch=1.0, doubt=0.0)):
        assert course.epochs == pytest.approx(540)
        assert course.busy == pytest.approx(180, abs=1)
