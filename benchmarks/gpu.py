"""`python -m benchmarks.gpu`: the same ratios on a GPU, and what mixed precision gains there.

Without a GPU it runs the same code on the CPU with smaller sizes.
"""

from statistics import median

import torch

from benchmarks import loading, steps
from benchmarks.steps import EPOCH
from benchmarks.timing import header, in_turns, ratios, spread
from kd.methods import method_names


def precision(backbone: str, batch: int, rounds: int, device: str) -> None:
    """Print how much faster a step of plain CE is in bfloat16 than in float32."""
    tasks = {
        name: steps.Steps("ce", backbone, batch, device, precision=name).step
        for name in ("float32", "bfloat16")
    }
    seconds = in_turns(tasks, rounds, device)
    gain = spread(ratios(seconds["float32"], seconds["bfloat16"]))
    rate = batch / sorted(seconds["bfloat16"])[rounds // 2]
    print(f"{backbone}, batch {batch}: bfloat16 is {gain} times as fast, {rate:,.0f} images/s")


def epochs(backbone: str, batch: int, rounds: int, device: str) -> None:
    """Print how much of the time of an epoch whose steps are not captured a captured one takes."""
    print(f"An epoch of {EPOCH} steps, captured over not captured: {backbone}, batch {batch}")
    print("| method | measured ratio | ms a step, not captured | captured |\n|---|---|---|---|")
    for name in method_names():
        tasks = {
            captured: steps.Steps(name, backbone, batch, device, captured=captured).epoch
            for captured in (False, True)
        }
        seconds = in_turns(tasks, rounds, device)
        each = [1000 * median(seconds[captured]) / EPOCH for captured in (False, True)]
        measured = spread(ratios(seconds[True], seconds[False]))
        print(f"| {name} | {measured} | {each[0]:.2f} | {each[1]:.2f} |", flush=True)


def main() -> None:
    """Print every table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    print(header(device))
    loading.report(batch=128, rounds=5, device=device)
    if device == "cuda":
        for backbone, batch in (
            ("resnet20", 64),
            ("resnet18", 128),
            ("wrn_16_2", 64),
            ("mobilenetv2", 128),
        ):
            steps.report(backbone, batch, rounds=50, device=device)
            epochs(backbone, batch, rounds=5, device=device)
            precision(backbone, batch, rounds=50, device=device)
    else:
        steps.report("resnet8", 32, rounds=5, device=device)
        epochs("resnet8", 32, rounds=3, device=device)
        precision("resnet8", 32, rounds=5, device=device)


if __name__ == "__main__":
    main()
