"""`python -m benchmarks.overhead`: what the search, the methods and the loader cost."""

import argparse

import torch

from benchmarks import loading, steps, sweeps
from benchmarks.timing import header


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="rounds of the step benchmark")
    parser.add_argument("--sweeps", type=int, default=3, help="sweeps to time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header("cpu"))
    loading.report(batch=64, rounds=5, device="cpu")
    steps.report("resnet20", batch=64, rounds=arguments.rounds, device="cpu")
    sweeps.report(["lsskd", "--preset", "laptop", "--trials", "16"], arguments.sweeps)


if __name__ == "__main__":
    main()
