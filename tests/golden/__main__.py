"""`python -m tests.golden [DIR]`: the project's losses and gradients against golden numbers.

One line a quantity: file, key, largest relative error. Ends with 1 where one is above 1e-8, a file
cannot be read, has no check or no number to meet, or a key was looked at by none and is no
exception.
"""

import argparse
import sys
from pathlib import Path

from tests.golden.checks import load_checks
from tests.golden.numbers import BOUND, CHECKS, HERE, Numbers, exceptions, files


def main(folder: Path = HERE) -> int:
    """Print every line, and the sum; the exit status."""
    load_checks()
    known, wrong, met, worst = exceptions(), [], 0, 0.0
    paths = list(files(folder))
    for path in paths:
        if path.stem not in CHECKS:
            wrong.append(f"{path.stem}: no check")
            continue
        numbers = Numbers(path.stem, {})
        try:
            numbers = Numbers.load(path)
            CHECKS[path.stem](numbers)
            if not numbers.errors:
                wrong.append(f"{path.stem}: no number in it was met")
        except Exception as error:
            wrong.append(f"{path.stem}: {type(error).__name__}: {error}")
        for key, error in numbers.errors.items():
            print(f"{path.stem}  {key}  {error:.1e}")
        met += len(numbers.errors)
        worst = max([worst, *numbers.errors.values()])
        wrong += [f"{path.stem}  {k}: {e:.1e}" for k, e in numbers.errors.items() if e > BOUND]
        wrong += [f"{path.stem}  {key}: not looked at" for key in numbers.left(known)]
    print(f"\n{len(paths)} files, {met} quantities met, largest relative error {worst:.1e}")
    for line in wrong:
        print(f"WRONG  {line}")
    if not paths:
        print(f"There is no .npz file in {folder}.")
    return int(bool(wrong) or not paths)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(
        "python -m tests.golden", None, __doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    asked.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=HERE)
    sys.exit(main(asked.parse_args().folder))
