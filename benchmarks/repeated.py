"""`python -m benchmarks.repeated`: does `python -m kd.train` repeat what a search hands out?

For every method a search of two trials, typed as a person types it; then its exported
configuration is trained without Ray, and both scores stand side by side. What a command said is in
the storage, METHOD.log. Typed again it goes on: what was searched already is not searched again.
Ends with 1 if a score is not repeated.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from kd.methods import method_names
from tuning.records.result import load_result


def repeated(method: str, storage: Path, flags: list[str]) -> tuple[float | None, float]:
    """val accuracy of a search's best, and of a training of what it exports.

    CalledProcessError where a command fails; a search without a completed trial does, too.
    """
    name, config, output = f"two-{method}", storage / f"{method}.yaml", storage / f"again-{method}"
    kept = ("--storage", str(storage))
    asked = ("--resume", name) if (storage / name).exists() else (method, "--name", name, *flags)
    with (storage / f"{method}.log").open("w") as log:
        if not (storage / name / "best_config.yaml").exists():
            _type(log, "tuning.search", *asked, *kept)
        _type(log, "tuning.export", "--sweep", name, *kept, "--output", str(config))
        _type(log, "kd.train", str(config), "--output", str(output))
    told = (output / "metrics.jsonl").read_text().splitlines()
    best = load_result(storage, name).best
    return None if best is None else best.score, json.loads(told[-1])["val_acc"]


def _type(log: IO[str], module: str, *words: str) -> None:
    command = [sys.executable, "-m", module, *words]
    subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", type=Path, default=Path("runs/repeated"))
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("flags", nargs="*", help="after --: more flags of tuning.search")
    asked = parser.parse_args()
    asked.storage.mkdir(parents=True, exist_ok=True)
    flags = ["--trials", "2", "--epochs", "2", "--backbone", "resnet8", *asked.flags]
    missed = False
    print("| method | search | kd.train | |\n|---|---:|---:|---|")
    for method in asked.methods or method_names():
        began = time.monotonic()
        try:
            searched, trained = repeated(method, asked.storage, flags)
        except subprocess.CalledProcessError as error:
            missed = True
            row = f"– | – | {error.cmd[2]} ended with {error.returncode}"
        else:
            missed |= searched != trained
            row = f"{searched!r} | {trained!r} | {'the same' if searched == trained else 'another'}"
        print(f"| {method} | {row}, {time.monotonic() - began:.0f} s |", flush=True)
    sys.exit(missed)


if __name__ == "__main__":
    main()
