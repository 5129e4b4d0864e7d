"""What a file of the report was made from: from the same again it is not made again.

Drawing and weighing take seconds, most of them to import what draws and weighs.
"""

import hashlib
import json
from pathlib import Path

from tuning.records.result import SweepResult


def stamp(result: SweepResult) -> str:
    """A digest of the trials, of their sweep, of what was confirmed, and of the program's files.

    Without times: the journal keeps them a little later than the driver knew them.
    """
    sweep = result.sweep
    searched = {name: repr(domain) for name, domain in sweep.searched.items()}
    best = result.best and result.best.number
    found = result.findings and result.findings.val_acc
    facts = [sweep.cell, sweep.epochs, sweep.rungs, sweep.val_size, searched, best, found]
    trials = [
        [t.number, t.state, t.config, sorted(t.curve.items()), t.metrics, t.reason, t.source]
        for t in result.trials
    ]
    digest = hashlib.sha256(json.dumps([facts, trials], default=str).encode())
    for folder in ("reports", "records", "storage"):
        for file in sorted((Path(__file__).parents[1] / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def bears(file: Path, mark: str) -> bool:
    """Whether `file` was made from what has the stamp `mark`, which is written in it."""
    try:
        return mark.encode() in file.read_bytes()
    except OSError:
        return False
