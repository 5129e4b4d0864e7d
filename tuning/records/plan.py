"""What a sweep will do and cost, said before it starts."""

from dataclasses import asdict

from kd.data import check_dataset
from kd.data.split import check_split
from kd.memories import Memories
from search_spaces import Space
from tuning.records.settings import SweepSettings
from tuning.study.stopping import rungs


def expected_epochs(settings: SweepSettings) -> tuple[int, int]:
    """Epochs if stopping works as it should (one in `reduction_factor` goes on), and at most.

    Successive halving lets every trial reach the first rung and the best share of each rung
    the next one (Li et al. 2020, ASHA).
    """
    most = settings.trials * settings.base.epochs
    if settings.scheduler == "none":
        return most, most
    stops = [0, *rungs(settings.base.epochs, settings.grace_period, settings.reduction_factor)]
    ends = [*stops[1:], settings.base.epochs]
    alive, total = float(settings.trials), 0.0
    for begin, end in zip(stops, ends, strict=True):
        total += max(alive, 1.0) * (end - begin)
        alive /= settings.reduction_factor
    return round(total), most


def print_plan(settings: SweepSettings, space: Space) -> None:
    """Print the cell, the space, and the epochs that the sweep will spend."""
    base = settings.base
    expected, most = expected_epochs(settings)
    print(f"{base.method} on {base.backbone} and {base.dataset}")
    print(f"{settings.trials} trials of at most {base.epochs} epochs each")
    print(f"about {expected} epochs in all, {most} if no trial is stopped")
    for number, given in enumerate(base.teachers):
        if given.weights is None:
            teacher = base.teacher_recipe(number)
            print(f"a teacher first: {teacher.backbone}, {teacher.epochs} epochs")
    if memories := _memories(settings, space):
        print(f"soft-label memories of each trial: {memories}")
    augment = ", ".join(f"{name} {value:g}" for name, value in asdict(base.augment).items())
    print(f"augmentation: {augment}")
    print("hyperparameters, searched (:) or fixed (=):", *space.describe(), sep="\n  ")


def _memories(settings: SweepSettings, space: Space) -> Memories | None:
    """What a trial remembers of every training image; None where that is nothing."""
    config = next(space.extremes(settings.base))
    counts = check_dataset(config.dataset, settings.data_root).counts
    training = sum(check_split(counts, config.split).values())
    memories = config.memories(training, len(counts))
    return memories if memories.nbytes else None
