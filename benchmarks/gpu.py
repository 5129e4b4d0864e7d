"""`python -m benchmarks.gpu`: what steps, epochs and sweeps of every method take on a GPU.

`--small`, and without a GPU, the same code runs on small networks, on the CPU in about two minutes.
"""

import argparse
import gc
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Self

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import loading
from benchmarks.timing import header, in_turns, ratios, spread
from kd.backbones import build_backbone
from kd.config import Precision, TrainConfig
from kd.data import Images
from kd.parts.teacher import Teacher
from kd.training.trainer import Place, Trainer
from tuning.engine.measuring import UnmeasurableError, measure
from tuning.engine.mps import available
from tuning.engine.packing import cores_of_a_gpu
from tuning.engine.remembered import Measured, counts
from tuning.engine.runtime import connected
from tuning.engine.trial import Work
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles

METHODS = ("ce", "pskd", "dtskd", "drkd", "kd", "lsskd")
EPOCH = 20
"""Steps of an epoch that is timed."""
SHARED = ("ce", "lsskd")
"""The methods whose trials are counted side by side: the lightest and the heaviest."""
SIDE_BY_SIDE = 16
ONE_BY_ONE = "one by one"
CIFAR = 45_000
"""Images of an epoch of a sweep's trial: CIFAR-100 without its val."""
PEAKS = {
    "B200": 2250,
    "H200": 989,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
    "RTX 4090": 165,
    "RTX 3090": 71,
}
"""Dense bfloat16 products, 10¹² operations a second, by a part of the GPU's name (NVIDIA's data
sheets); the first that fits counts."""


@dataclass(frozen=True)
class Size:
    """What is measured: the networks with their batch, how often, and how much is compiled."""

    cells: Sequence[tuple[str, int]]
    rounds: int
    compiled: Sequence[str]
    side_by_side: int
    methods: Sequence[str] = METHODS
    shared: Sequence[str] = SHARED
    epoch: int = CIFAR
    classes: int = 100
    pixels: int = 32

    def only(self, backbones: Sequence[str], methods: Sequence[str]) -> Self:
        """What is left of it for these; plain CE stays, as the others are told over it."""
        cells = [cell for cell in self.cells if not backbones or cell[0] in backbones]
        if not methods:
            return replace(self, cells=cells)
        kept = [name for name in METHODS if name in ("ce", *methods)]
        return replace(self, cells=cells, methods=kept, shared=methods)


LARGE = Size(
    cells=(("resnet20", 64), ("wrn_16_2", 64), ("resnet18", 128), ("mobilenetv2", 128)),
    rounds=10,
    compiled=METHODS,
    side_by_side=SIDE_BY_SIDE,
)
SMALL = Size(
    cells=(("resnet8", 16),),
    rounds=3,
    compiled=("ce",),
    side_by_side=2,
    epoch=CIFAR // 50,
    classes=10,
    pixels=16,
)


def images(count: int, size: Size) -> Images:
    """Random ones."""
    pixels = np.random.default_rng(0).integers(
        0, 256, (count, 3, size.pixels, size.pixels), dtype=np.uint8
    )
    labels = np.arange(count, dtype=np.int64) % size.classes
    return Images(pixels, labels, tuple(map(str, range(size.classes))))


def config(method: str, backbone: str, batch: int, precision: Precision = "auto") -> TrainConfig:
    return TrainConfig.paper(
        method, backbone, "cifar100", batch_size=batch, epochs=1000, precision=precision
    )


def trainer(
    method: str,
    backbone: str,
    batch: int,
    size: Size,
    place: Place,
    precision: Precision = "auto",
    count: int | None = None,
) -> Trainer:
    """A training on so many images, else `EPOCH` batches, and a tenth as many of val."""
    settings = config(method, backbone, batch, precision)
    teachers = [Teacher(build_backbone(backbone, size.classes)) for _ in settings.teachers]
    count = count or EPOCH * batch
    train, val = images(count, size), images(max(count // 10, 2), size)
    return Trainer(settings, train, val, place=place, teachers=teachers)


def flops(made: Trainer) -> int:
    """Operations of the products and convolutions of a step: forward and backward."""
    batch = next(iter(made.loader.epoch(0)))
    with FlopCounterMode(display=False) as counter:
        made.method(batch).total.backward()
    made.method.zero_grad(set_to_none=True)
    return counter.get_total_flops()


# -- steps and epochs ------------------------------------------------------------------------------


def places(device: str) -> dict[str, Place]:
    """The ways to take a step, the plain one first."""
    here = Place.local(device)
    on_gpu = here.device.type == "cuda"
    kinds = {ONE_BY_ONE: replace(here, captured=False)}
    if on_gpu:
        kinds["captured"] = here
    if shutil.which("g++"):
        last = "compiled and captured" if on_gpu else "compiled"
        kinds[last] = replace(here, compiled=True)
    return kinds


def steps(backbone: str, batch: int, size: Size, device: str) -> None:
    """Print what a step takes, one by one, captured, and compiled too; and an epoch."""
    kinds = places(device)
    on_gpu = "captured" in kinds
    seconds: dict[str, dict[str, list[float]]] = {}
    operations, epochs = {}, {}
    for method in size.methods:
        made = {
            kind: trainer(method, backbone, batch, size, place)
            for kind, place in kinds.items()
            if not place.compiled or method in size.compiled
        }
        tasks = {kind: _steps_of(one) for kind, one in made.items()}
        seconds[method] = in_turns(tasks, size.rounds, device)
        usual = made["captured" if on_gpu else ONE_BY_ONE]
        operations[method] = flops(usual)
        epochs[method] = in_turns({"": usual.run_epoch}, size.rounds, device)[""]
        for one in made.values():
            for remark in one.remarks:
                print(f"{method}: {remark}")
        del made, tasks, usual
        gc.collect()
    _print_steps(backbone, batch, seconds, operations, epochs, [*kinds])


def _steps_of(made: Trainer) -> Callable[[], None]:
    def take() -> None:
        made.try_out(EPOCH, look=False)

    return take


def _print_steps(
    backbone: str,
    batch: int,
    seconds: Mapping[str, Mapping[str, list[float]]],
    operations: Mapping[str, int],
    epochs: Mapping[str, list[float]],
    kinds: Sequence[str],
) -> None:
    title = " | ".join(f"ms, {kind} | over ce" for kind in kinds)
    print(f"\nA step, and an epoch of {EPOCH} of them with val: {backbone}, batch {batch}\n")
    print(f"| method | {title} | an epoch over ce | of the bfloat16 peak |")
    print("|---" * (2 * len(kinds) + 3) + "|")
    for method, found in seconds.items():
        cells = []
        for kind in kinds:
            if kind not in found:
                cells += ["–", "–"]
                continue
            each = 1000 * median(found[kind]) / EPOCH
            cells += [f"{each:.2f}", over_ce(method, found[kind], seconds["ce"][kind])]
        fastest = min(median(values) for values in found.values()) / EPOCH
        cells += [over_ce(method, epochs[method], epochs["ce"])]
        cells += [share_of_peak(operations[method], fastest)]
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


def over_ce(method: str, seconds: list[float], plain: list[float]) -> str:
    return "1" if method == "ce" else spread(ratios(seconds, plain))


def share_of_peak(operations: int, seconds: float) -> str:
    """What a step makes of the GPU's bfloat16 products; – where their number is not known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for part, peak in PEAKS.items() if part in name), None)
    return "–" if peak is None else f"{operations / seconds / (peak * 1e12):.1%}"


def precision(backbone: str, batch: int, size: Size, device: str) -> None:
    """Print how much faster a step of plain CE is in bfloat16 than in float32."""
    here = Place.local(device)
    kinds: tuple[Precision, ...] = ("float32", "bfloat16")
    made = {kind: trainer("ce", backbone, batch, size, here, kind) for kind in kinds}
    seconds = in_turns({k: _steps_of(one) for k, one in made.items()}, size.rounds, device)
    gain = spread(ratios(seconds["float32"], seconds["bfloat16"]))
    rate = EPOCH * batch / median(seconds["bfloat16"])
    print(f"\n{backbone}, batch {batch}: bfloat16 is {gain} times as fast, {rate:,.0f} images/s")


def whole_epochs(backbone: str, batch: int, size: Size, device: str) -> None:
    """Print what an epoch of plain CE takes with as many images as CIFAR-100 has."""
    made = {
        kind: trainer("ce", backbone, batch, size, place, count=size.epoch)
        for kind, place in places(device).items()
        if not place.compiled or "ce" in size.compiled
    }
    seconds = in_turns({kind: one.run_epoch for kind, one in made.items()}, 3, device)
    print(f"\nAn epoch of ce with val: {backbone}, batch {batch}, {size.epoch:,} images\n")
    print(f"| | s | over {ONE_BY_ONE} |\n|---|---|---|")
    for kind, taken in seconds.items():
        over = spread(ratios(taken, seconds[ONE_BY_ONE]))
        print(f"| {kind} | {median(taken):.2f} | {over} |", flush=True)


# -- trials side by side ---------------------------------------------------------------------------


def all_of_them(rates: Mapping[int, float], most: int) -> int | None:
    """Every number that fits, whether it gains or not."""
    wanted = [count for count in counts(SIDE_BY_SIDE) if count <= most]
    return next((count for count in wanted if count not in rates), None)


def side_by_side(size: Size, device: str, *, mps: bool) -> None:
    """Print the trial-epochs a second of so many trials on one device."""
    wanted = counts(size.side_by_side)
    how = ("with MPS" if mps else "without MPS") if device == "cuda" else "on the CPU"
    print(f"\nTrial-epochs a second, of {CIFAR:,} images, {how}; in brackets, over one trial\n")
    print("| cell | " + " | ".join(f"{count} at once" for count in wanted) + " |")
    print("|---" * (len(wanted) + 1) + "|")
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        nodes = opened.enter_context(connected(mps=mps if device == "cuda" else None))
        cores = cores_of_a_gpu(nodes) if device == "cuda" else int(nodes[0]["CPU"])
        for backbone, batch in size.cells:
            for method in size.shared:
                found = _counted(method, backbone, batch, size, cores, device, folder)
                row = [_cell(found, count, batch) for count in wanted]
                print(f"| {method}, {backbone}, batch {batch} | {' | '.join(row)} |", flush=True)


def _counted(
    method: str,
    backbone: str,
    batch: int,
    size: Size,
    cores: int,
    device: str,
    folder: Path,
) -> Measured | None:
    train, val = (images(n, size) for n in (size.epoch, size.epoch // 9))
    work = Work(train, val, TrialFiles(shelf=Shelf(str(folder)), study="trial"))
    settings = config(method, backbone, batch)
    try:
        return measure(settings, work, cores=cores, cpus=1, device=device, following=all_of_them)
    except UnmeasurableError as error:
        print(f"{method} on {backbone}: {error}")
        return None


def _cell(found: Measured | None, count: int, batch: int) -> str:
    if found is None or count not in found.rates:
        return "–"
    epochs = found.rates[count] * batch / CIFAR
    return f"{epochs:.3f} ({found.rates[count] / found.rates[1]:.2f})"


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="small networks, in two minutes")
    parser.add_argument("--only", choices=("steps", "side-by-side"), help="one kind of table")
    parser.add_argument(
        "--backbones", nargs="+", default=(), choices=[name for name, _ in LARGE.cells]
    )
    parser.add_argument("--methods", nargs="+", default=(), choices=METHODS)
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--no-compile", action="store_true", help="leave out what compiling takes")
    parser.add_argument("--no-loading", action="store_true", help="leave out the loaders' table")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = SMALL if arguments.small or device == "cpu" else LARGE
    large = size is LARGE
    if arguments.backbones and not large:
        parser.error("--backbones are those of a GPU; a small run has resnet8 alone")
    size = size.only(arguments.backbones, arguments.methods)
    size = replace(size, rounds=arguments.rounds or size.rounds)
    size = replace(size, compiled=() if arguments.no_compile else size.compiled)
    torch.set_num_threads(1)
    print(header(device), flush=True)
    if arguments.only != "side-by-side":
        if not arguments.no_loading:
            loading.report(batch=128 if large else 32, rounds=size.rounds, device=device)
        for backbone, batch in size.cells:
            steps(backbone, batch, size, device)
            whole_epochs(backbone, batch, size, device)
            precision(backbone, batch, size, device)
    if arguments.only != "steps":
        for mps in (True, False) if device == "cuda" and available() else (False,):
            side_by_side(size, device, mps=mps)


if __name__ == "__main__":
    main()
