"""`python -m benchmarks.repeated`: does `python -m kd.train` repeat what a search hands out?

For every method a search of two trials, typed as a person types it; then its exported
configuration is trained without Ray, and both scores stand side by side. Methods whose sweep is in
the storage already are not searched again, so a run that was cut short goes on.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from kd.methods import method_names
from tuning.records.result import load_result


def repeated(method: str, storage: Path, flags: list[str]) -> tuple[float, float]:
    """val accuracy of a search's best, and of a training of what it exports."""
    name, config, output = f"two-{method}", storage / f"{method}.yaml", storage / f"again-{method}"
    if not (storage / name / "best_config.yaml").exists():
        _typed("tuning.search", method, "--name", name, "--storage", str(storage), *flags)
    _typed("tuning.export", "--sweep", name, "--storage", str(storage), "--output", str(config))
    _typed("kd.train", str(config), "--output", str(output))
    told = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    best = load_result(storage, name).best
    assert best is not None
    assert best.score is not None, f"{name} has no best trial"
    return best.score, told[-1]["val_acc"]


def _typed(module: str, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"python -m {module} {' '.join(words)}\n{done.stdout}{done.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", type=Path, default=Path("runs/repeated"))
    parser.add_argument("--methods", nargs="*", default=None)
    parser.add_argument("flags", nargs="*", help="after --: more flags of tuning.search")
    asked = parser.parse_args()
    flags = ["--trials", "2", "--epochs", "2", "--backbone", "resnet8", *asked.flags]
    print("| method | search | kd.train | |\n|---|---:|---:|---|")
    for method in asked.methods or method_names():
        began = time.monotonic()
        searched, trained = repeated(method, asked.storage, flags)
        same = "the same" if searched == trained else f"apart by {abs(searched - trained):.1e}"
        took = f"{time.monotonic() - began:.0f} s"
        print(f"| {method} | {searched!r} | {trained!r} | {same}, {took} |", flush=True)


if __name__ == "__main__":
    main()
