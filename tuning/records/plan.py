"""What a sweep will do and cost, said before it starts."""

from dataclasses import asdict

from kd.data import check_dataset
from kd.data.split import check_split
from kd.memories import Memories
from kd.training.compiling import SECONDS, worth_compiling
from search_spaces import Space
from tuning.records.settings import SweepSettings
from tuning.study.race import SEEDS, TOP
from tuning.study.stopping import rungs


def expected_epochs(settings: SweepSettings) -> tuple[int, int]:
    """Epochs if stopping works as it should (one in `reduction_factor` goes on), and at most.

    Successive halving lets every trial reach the first rung and the best share of each rung
    the next one (Li et al. 2020, ASHA).
    """
    bound = settings.epochs_total or settings.trials * settings.base.epochs
    most = min(settings.trials * settings.base.epochs, bound)
    if settings.scheduler == "none":
        return most, most
    stops = [0, *rungs(settings.base.epochs, settings.grace_period, settings.reduction_factor)]
    ends = [*stops[1:], settings.base.epochs]
    alive, total = float(settings.trials), 0.0
    for begin, end in zip(stops, ends, strict=True):
        total += max(alive, 1.0) * (end - begin)
        alive /= settings.reduction_factor
    return min(round(total), most), most


def compiles(
    settings: SweepSettings,
    *,
    steps: int,
    epochs: int,
    gpus: float,
    slots: int,
    rate: float | None = None,
) -> bool:
    """Whether the steps of the sweep's trials are compiled.

    Args:
        settings: what is asked for.
        steps: of an epoch.
        epochs: of all trials together, as many as are expected.
        gpus: what each trial holds; `auto` is for those that have any.
        slots: how many trials train at once.
        rate: the steps a second of one of them, if that was measured.
    """
    if settings.compile != "auto" or settings.workers_per_trial > 1 or not gpus:
        return settings.compile == "always"
    seconds = 1 / rate if rate else None
    return worth_compiling(steps=steps, epochs=epochs, slots=slots, step_seconds=seconds)


def _of_a_gpu(settings: SweepSettings) -> str:
    """How GPUs are given to trials, as far as it is known before they are there."""
    if settings.packed:
        mps = "with MPS where the machine has it" if settings.mps else "without MPS"
        return f"as many trials as gain by sharing it, {mps}; measured once, when the sweep starts"
    gpus = settings.gpus_per_trial
    if isinstance(gpus, int | float) and 0 < gpus < 1:
        return f"{int(1 / gpus + 1e-9)} trials"
    return "one trial at a time, and no other beside it"


def print_plan(settings: SweepSettings, space: Space) -> None:
    """Print the cell, the space, and the epochs that the sweep will spend."""
    base = settings.base
    expected, most = expected_epochs(settings)
    print(f"{base.method} on {base.backbone} and {base.dataset}")
    print(f"{settings.trials} trials of at most {base.epochs} epochs each")
    print(f"drawn by {settings.sampler}, stopped early by {settings.scheduler}")
    print(f"about {expected} epochs in all, {most} if no trial is stopped")
    bounds = {"hours": settings.hours, "GPU-hours": settings.gpu_hours}
    for name, bound in bounds.items():
        if bound is not None:
            print(f"ended after {bound:g} {name}, if it has not ended before")
    if settings.confirm:
        again = (TOP + 1) * SEEDS
        print(f"then at most {again} trainings to confirm, {again * base.epochs} epochs")
    print(f"of each GPU: {_of_a_gpu(settings)}")
    where = {
        "auto": f"on GPUs, where {SECONDS:g} s a process are under a tenth of what it trains",
        "always": "always",
        "never": "never",
    }
    print(f"compiled steps: {where[settings.compile]}")
    for number, given in enumerate(base.teachers):
        if given.weights is None:
            teacher = base.teacher_recipe(number)
            print(f"a teacher first: {teacher.backbone}, {teacher.epochs} epochs")
    if memories := _memories(settings, space):
        print(f"soft-label memories of each trial: {memories}")
    augment = ", ".join(f"{name} {value:g}" for name, value in asdict(base.augment).items())
    print(f"augmentation: {augment}")
    print("hyperparameters, searched (:) or fixed (=):", *space.describe(), sep="\n  ")
    if moved := space.clipped(base):
        flat, first = base.flat(), next(space.extremes(base)).flat()
        print("the paper's default lies outside; the first trial has instead:")
        print(*(f"  {name} = {first[name]}, not {flat[name]}" for name in moved), sep="\n")


def _memories(settings: SweepSettings, space: Space) -> Memories | None:
    """What a trial remembers of every training image; None where that is nothing."""
    config = next(space.extremes(settings.base))
    counts = check_dataset(config.dataset, settings.data_root).counts
    training = sum(check_split(counts, config.split).values())
    memories = config.memories(training, len(counts))
    return memories if memories.nbytes else None
