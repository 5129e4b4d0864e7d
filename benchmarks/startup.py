"""`python -m benchmarks.startup`: how long the commands take to answer.

Every command in a fresh process, in turns, beside an interpreter that does nothing; the sweeps
that the reading ones read are those of tests/old. `--against FOLDER` times another checkout of
the project too, in the same turns.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.timing import header, in_turns, ratios, spread

ROOT = Path(__file__).parent.parent
HELP = ("search", "confirm", "best", "export", "report", "ui")
AFTER_A_WRITE = "best, the first after a write"
READING = {
    "best": ("tuning.best",),
    AFTER_A_WRITE: ("tuning.best",),
    "best of a cell": ("tuning.best", "lsskd", "--backbone", "resnet8", "--dataset", "digits"),
    "export": ("tuning.export", "--sweep", "finished"),
    "export --to safetensors": ("tuning.export", "--sweep", "finished", "--to", "safetensors"),
    "report": ("tuning.report", "finished"),
    "report --table": ("tuning.report", "finished", "--table", "markdown"),
}


def commands(storage: Path) -> dict[str, list[str]]:
    """What to type after `python`, by what it is called in the table."""
    kept = ["--storage", str(storage)]
    found = {f"{name} --help": ["-m", f"tuning.{name}", "--help"] for name in HELP}
    found["kd.train --help"] = ["-m", "kd.train", "--help"]
    found["a wrong name"] = ["-m", "tuning.search", "lskd", *kept]
    found["a dry run"] = ["-m", "tuning.search", "lsskd", "--dry-run", "--local", *kept]
    found |= {name: ["-m", *words, *kept] for name, words in READING.items()}
    return found


def answer(words: list[str], checkout: Path, folder: Path, *, written: bool = False) -> None:
    """Run one command to its end, whatever it says; `written` as if the store just was."""
    if written:
        (folder / "runs" / "mlflow.db").touch()
    subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout of the project")
    arguments = parser.parse_args()
    checkouts = {"": ROOT}
    if arguments.against:
        checkouts["other "] = arguments.against.absolute()
    with tempfile.TemporaryDirectory() as name:
        nothing = ["-c", "pass"]
        tasks: dict[str, Callable[[], object]] = {"": partial(answer, nothing, ROOT, Path(name))}
        for mark, checkout in checkouts.items():
            # To each its own files: what one wrote the other may have to make again.
            folder = Path(name) / (mark or "own")
            with tarfile.open(ROOT / "tests" / "old" / "runs.tar.gz") as archive:
                archive.extractall(folder, filter="data")
            asked = commands(folder / "runs")
            tasks |= {
                mark + key: partial(answer, w, checkout, folder, written=key == AFTER_A_WRITE)
                for key, w in asked.items()
            }
        seconds = in_turns(tasks, arguments.rounds)
    print(header("cpu"))
    print(f"an interpreter that does nothing: {spread(seconds[''])} s\n")
    print("| command | seconds | over the other checkout |\n|---|---|---|")
    for key in asked:
        other = seconds.get(f"other {key}")
        beside = spread(ratios(seconds[key], other)) if other else "–"
        print(f"| {key} | {spread(seconds[key])} | {beside} |")


if __name__ == "__main__":
    main()
