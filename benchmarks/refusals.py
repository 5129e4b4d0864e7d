"""`python -m benchmarks.refusals`: how long bad input takes to be refused.

Every line of tests/bad_inputs.txt, which needs no Ray, in a fresh process.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.timing import header

ROOT = Path(__file__).parent.parent
SLOWEST = 12


def main() -> None:
    """Print the median, and the slowest ones with what they wait for."""
    sys.path.append(str(ROOT / "tests"))
    from bad_inputs import MODULES, lay_out, table, words

    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        lay_out(Path(name))
        for line, _ in table():
            command, *rest = words(line)
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", MODULES[command], *rest],
                cwd=name,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            seconds[line] = time.perf_counter() - began
    print(header("cpu"))
    above = sum(second > 2 for second in seconds.values())
    print(f"{len(seconds)} lines, median {median(seconds.values()):.2f} s, {above} above 2 s\n")
    print("| the slowest | seconds |\n|---|---|")
    for line in sorted(seconds, key=seconds.__getitem__, reverse=True)[:SLOWEST]:
        print(f"| {line} | {seconds[line]:.2f} |")


if __name__ == "__main__":
    main()
