"""`python -m benchmarks.gpu`: the same ratios on a GPU, and what mixed precision gains there.

Without a GPU it runs the same code on the CPU with smaller sizes.
"""

import torch

from benchmarks import loading, steps
from benchmarks.timing import header, in_turns, ratios, spread


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


def main() -> None:
    """Print every table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    print(header(device))
    loading.report(batch=128, rounds=5, device=device)
    if device == "cuda":
        for backbone, batch in (("resnet18", 128), ("wrn_16_2", 64), ("mobilenetv2", 128)):
            steps.report(backbone, batch, rounds=50, device=device)
            precision(backbone, batch, rounds=50, device=device)
    else:
        steps.report("resnet8", 32, rounds=5, device=device)
        precision("resnet8", 32, rounds=5, device=device)


if __name__ == "__main__":
    main()
