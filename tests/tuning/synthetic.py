"""Sweeps as a search leaves them, made from a formula: to test what is shown, not what is run."""

import math
import random
from dataclasses import replace
from pathlib import Path
from statistics import median

from kd.config import TrainConfig
from search_spaces import Choice, Space
from tuning.records.presets import setting
from tuning.records.protocol import protocol
from tuning.records.result import Sweep, SweepResult
from tuning.records.settings import SweepSettings
from tuning.study.trials import TrialRecord

START = 1.8e9


def sweep_result(
    folder: Path, trials: int = 16, epochs: int = 9, seed: int = 0, *, stopping: bool = True
) -> SweepResult:
    """LSSKD on two slots; the lower half is stopped at each rung, every 15th trial fails."""
    settings = sweep_settings(folder, trials, epochs)
    settings = settings if stopping else replace(settings, scheduler="none")
    space = settings.space()
    sweep = Sweep(
        settings=settings,
        searched=space.domains,
        slots=2,
        val_size=599,
        protocol=protocol(settings.base),
    )
    draw, clock = random.Random(seed), [0.0, 0.0]
    records: list[TrialRecord] = []
    for number in range(trials):
        config = space.apply(settings.base, _draw(space, draw)) if number else settings.base
        curve = _curve(config, epochs, draw)
        record = TrialRecord(number=number, config=config.to_dict(), state="completed")
        last = epochs
        if number % 15 == 14:
            record.state, record.reason, last = "failed", "the loss was not finite in epoch 2", 1
        elif number:
            for rung in sweep.rungs:
                seen = [r.curve[rung] for r in records if rung in r.curve]
                if len(seen) > 2 and curve[rung] < median(seen):
                    record.state, record.reason, last = "stopped", f"low at epoch {rung}", rung
                    break
        record.curve = {epoch: curve[epoch] for epoch in range(1, last + 1)}
        record.metrics = {"epoch": last, "val_acc": curve[last], "epoch_seconds": 3.1}
        slot = clock.index(min(clock))
        record.started = START + clock[slot]
        clock[slot] += 3.1 * last * draw.uniform(0.9, 1.2)
        record.ended = START + clock[slot]
        records.append(record)
    return SweepResult(sweep, records)


def sweep_settings(folder: Path, trials: int, epochs: int) -> SweepSettings:
    """The laptop preset's sweep of LSSKD, kept in `folder`."""
    base = setting("laptop", "lsskd", epochs=epochs).base
    return SweepSettings(
        name=folder.name, base=base, trials=trials, search_optimizer=True, storage=folder.parent
    )


def _draw(space: Space, draw: random.Random) -> dict[str, float | str]:
    values: dict[str, float | str] = {}
    for name, domain in space.parameters():
        if isinstance(domain, Choice):
            values[name] = draw.choice(domain.values)
        elif domain.log:
            values[name] = math.exp(draw.uniform(math.log(domain.low), math.log(domain.high)))
        else:
            values[name] = draw.uniform(domain.low, domain.high)
    return values


def _curve(config: TrainConfig, epochs: int, draw: random.Random) -> dict[int, float]:
    """Rises to a ceiling that is highest at alpha 0.5, temperature 5 and lr 0.1."""
    values = config.flat()
    miss = (
        0.6 * (values["kd.alpha"] - 0.5) ** 2
        + 0.05 * math.log(values["kd.temperature"] / 5) ** 2
        + 0.06 * math.log10(values["optimizer.lr"] / 0.1) ** 2
    )
    ceiling, speed = 95 - 60 * miss, 5.4 / epochs
    return {
        epoch: max(ceiling * (1 - math.exp(-speed * (epoch + 0.6))) + draw.gauss(0, 0.8), 8.0)
        for epoch in range(1, epochs + 1)
    }
