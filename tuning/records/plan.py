"""What a sweep will do and cost, said before it starts."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from statistics import fmean

from kd.backbones.names import short
from kd.config import TrainConfig
from kd.data import check_dataset
from kd.data.split import check_split
from kd.memories import readable
from kd.teachers import teacher_names
from kd.training.compiling import SECONDS, worth_compiling
from search_spaces import Space
from tuning.records.forecast import outline
from tuning.records.settings import SweepSettings, sweep_names
from tuning.study.budget import Budget
from tuning.study.expected import Pace, courses
from tuning.study.grid import countable, ordered
from tuning.study.proposals import room
from tuning.study.race import TOP, fewest_seeds
from tuning.study.sampling import GRID
from tuning.study.warm import AUTO, NONE


def within_space(settings: SweepSettings, asked: int | None) -> SweepSettings:
    """The sweep with no more trials than its space has configurations, as none is tried twice.

    Where more are wanted that is said. A grid has all of them unless fewer are `asked`. Raises
    `UserError` for a grid over a space that is none.
    """
    on_grid = settings.sampler == GRID
    points = (ordered if on_grid else countable)(settings.space(), settings.base, settings.seed)
    if not (size := len(points)):
        return settings
    wanted = asked if on_grid else settings.trials
    if wanted is not None and wanted > size:
        print(
            f"{settings.name} searches a space of {_count(size, 'configuration')}, the paper's "
            f"default among them: it ends after {_count(size, 'trial')}, not {wanted}."
        )
    return replace(settings, trials=min(size, wanted or size))


def expected_epochs(settings: SweepSettings) -> tuple[int, int] | None:
    """Epochs as `tuning.study.expected` simulates them, on average, and at most.

    None where trials are open and hours or cost alone end the search.
    """
    bounds = settings.budget.bounds(())
    bound = next((int(b.own) for b in bounds if b.unit == "epochs"), None)
    if settings.trials is None:
        return None if bound is None else (bound, bound)
    most = settings.trials * settings.epochs_of_a_trial
    most = most if bound is None else min(most, bound)
    if settings.scheduler == "none":
        return most, most
    # How long an epoch takes is not known, so hours bound nothing here.
    unbounded = replace(outline(settings), budget=Budget())
    found = fmean(course.epochs for course in courses(unbounded, Pace(epoch=1.0), settings.seed))
    return min(round(found), most), most


def size(settings: SweepSettings) -> str:
    """`64 trials of at most 9 epochs`, or `as many trials of at most 9 epochs as 2 hours allow`.

    Where a trial has several seeds, on how many.
    """
    whole, seeds = f"of at most {_count(settings.base.epochs, 'epoch')}", settings.seeds_per_trial
    whole += f" on {seeds} seeds" if seeds > 1 else ""
    if settings.trials is None:
        return f"as many trials {whole} as {settings.budget} allow"
    return f"{_count(settings.trials, 'trial')} {whole}"


def fewest_epochs(settings: SweepSettings) -> int:
    """Of a confirmation that can prove anything of all its candidates."""
    return (TOP + 1) * fewest_seeds(TOP) * settings.base.epochs


def set_aside(settings: SweepSettings) -> list[str]:
    """What the bounds keep for confirming, a line each."""
    if not settings.confirm:
        return []
    needed = settings.budget.confirming
    fewest = fewest_epochs(settings)
    bounds = settings.budget.bounds(())
    short = [bound for bound in bounds if bound.unit == "epochs" and bound.aside < fewest]
    return [
        f"of {bound.most:g} {bound.unit}, "
        + (
            f"{bound.aside:g} are set aside for confirming, which takes {needed} at most"
            if bound.unit == "epochs"
            else f"what confirming takes at most is set aside, up to {bound.most / 2:g}"
        )
        for bound in bounds
    ] + [
        f"so few epochs are too few to prove anything, which takes {fewest} at least: give more, "
        "or confirm afterwards without a bound"
        for _ in short
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


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


def print_plan(settings: SweepSettings, space: Space, *, gpus: bool = True) -> None:
    """Print the cell, the space, and the epochs that the sweep will spend.

    `gpus` says whether it may run on any, so that what holds for them is told.
    """
    base, expected = settings.base, expected_epochs(settings)
    print(f"{base.method} on {short(base.backbone)} and {base.dataset}")
    print(f"{size(settings)} each" if settings.trials else size(settings))
    if settings.rows:
        print(f"the paper's default and the rows of {settings.grid_file}, each to its end")
    cold = settings.warm_start == NONE or settings.sampler == GRID
    named, elsewhere = settings.warm_start not in (AUTO, NONE), settings.tracking_uri is not None
    any_earlier = named or elsewhere or sweep_names(settings.storage)
    if not cold and any_earlier and (few := room(settings.planned)):
        known = settings.warm_start if named else "earlier sweeps"
        print(f"after the paper's default at most {few} that {known} found best")
    if not settings.rows:
        print(f"drawn by {settings.sampler}, stopped early by {settings.scheduler}")
    if len(settings.objectives) > 1:
        print(f"compared in {', '.join(one.words for one in settings.objectives)}")
    if settings.check_rungs:
        share = f"{100 * settings.check_rungs:.0f} %"
        print(f"of those that would be stopped, {share} run on, to check that")
    if settings.trials and expected:
        print(f"at most {expected[1]} epochs in all, where no trial is stopped")
    for bound in settings.budget.bounds(()):
        if settings.trials:
            print(f"ended after {bound.most:g} {bound.unit}, if it has not ended before")
    for line in set_aside(settings):
        print(line)
    if gpus:
        print(f"of each GPU: {_of_a_gpu(settings)}")
    if gpus or settings.compile == "always":
        where = {
            "auto": f"on GPUs, where {SECONDS:g} s a process are under a tenth of what it trains",
            "always": "always",
            "never": "never",
        }
        print(f"compiled steps: {where[settings.compile]}")
    for line in _of_teachers(base):
        print(line)
    each = "trial" if settings.seeds_per_trial == 1 else "seed of each trial"
    for kept, takes in _memories(settings, space):
        print(f"{kept} of each {each}: {takes}")
    print(*_of_images(base), sep="\n")
    searched = (
        "rows (:) and what is fixed (=)"
        if settings.rows
        else ("hyperparameters, searched (:) or fixed (=)")
    )
    print(f"{searched}:", *space.describe(), sep="\n  ")
    if moved := space.clipped(base):
        flat, first = base.flat(), next(space.extremes(base)).flat()
        print("the paper's default lies outside; the first trial has instead:")
        print(*(f"  {name} = {first[name]}, not {flat[name]}" for name in moved), sep="\n")


def _of_teachers(base: TrainConfig) -> Iterator[str]:
    """Who is trained before the trials, and how much each of several counts."""
    for recipe in (ancestor.recipe for ancestor in base.ancestors):
        who = f"then an assistant, by {recipe.method}" if recipe.teachers else "a teacher first"
        yield f"{who}: {short(recipe.backbone)}, {recipe.epochs} epochs"
    if len(base.teachers) > 1:
        whole, names = sum(t.weight for t in base.teachers), teacher_names(base)
        shares = (100 * t.weight / whole for t in base.teachers)
        counts = (f"{name} {share:.0f} %" for name, share in zip(names, shares, strict=True))
        yield f"teachers, by how much they count: {', '.join(counts)}"


def _of_images(base: TrainConfig) -> Iterator[str]:
    """What happens to images, when they are read and when they are trained on."""
    if base.images.told:
        yield f"images: {base.images.told}"
    own = asdict(base.augment)
    crop = {"crop_scale"} if not base.augment.crop_size else set()
    on = [f"{name} {value:g}" for name, value in own.items() if value and name not in crop]
    yield f"augmentation: {', '.join(on) or 'none'}"


def _memories(settings: SweepSettings, space: Space) -> Iterator[tuple[str, str]]:
    """What a trial remembers of the training images, and its size."""
    config = next(space.extremes(settings.base))
    info = check_dataset(config.dataset, settings.data_root, images=config.images)
    training = sum(check_split(info.counts, config.split, info.val).values())
    memories = config.memories(training, len(info.counts))
    if memories.nbytes:
        yield "soft-label memories", str(memories)
    if config.kd.embeddings:
        yield "embeddings", readable(4 * config.kd.embeddings * training)
