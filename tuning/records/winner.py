"""What a sweep hands out: its best configuration, or that of any of its trials."""

from dataclasses import replace
from pathlib import Path

from kd.config import TrainConfig
from kd.errors import UserError, unknown
from kd.run_folder import BEST_CONFIG
from tuning.records.findings import Findings, mean_deviation, unconfirmed
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import SweepSettings


def handed_out(result: SweepResult) -> TrainConfig | None:
    """The configuration that a sweep hands out; None where no trial completed.

    A confirmed one has the first of its new seeds: what its student was trained by. That seed is
    fixed before anything is known of it, so its student is not the best of several. What was
    confirmed before students were kept has the seed of its search.
    """
    best, findings = result.best, result.findings
    if best is None:
        return None
    config = TrainConfig.from_dict(best.config)
    if findings is None or not findings.openings:
        return config
    split = replace(config.split, train_on_val=findings.refit is not None)
    return replace(config, seed=findings.seeds[0], split=split)


def proof(findings: Findings | None, number: int, seeds: int = 1) -> str:
    """How far the configuration of that trial, of so many seeds, is proved, in a few words."""
    if findings is None or not (val := findings.val_acc.get(number)):
        return unconfirmed(seeds)
    words = f"val {mean_deviation(val)}"
    if number in findings.test:
        words += f", test {mean_deviation(findings.test_acc(number))}"
    return words if number == findings.handed_out else f"{words}, not handed out"


def sweep_config(storage: Path, name: str) -> TrainConfig:
    """The best configuration that the sweep `name` wrote into its folder.

    Raises:
        UserError: there is no such sweep, or it has no best configuration, or a damaged one.
    """
    path = storage / name / BEST_CONFIG
    if not path.exists():
        known = [found.parent.name for found in storage.glob(f"*/{BEST_CONFIG}")]
        if not known:
            raise UserError(
                f"No sweep under {storage} has a best configuration; run one, or give --storage."
            )
        raise unknown("sweep with a best configuration", name, known)
    return TrainConfig.load(path)


def seeds_of(storage: Path, name: str) -> int:
    """On how many seeds each trial of the sweep `name` trains; 1 where its settings are gone."""
    try:
        return SweepSettings.load(storage, name).seeds_per_trial
    except UserError:
        return 1


def trial_config(storage: Path, name: str, number: int) -> tuple[TrainConfig, SweepResult]:
    """The configuration of one trial, and its sweep; UserError where there is no such trial."""
    result = load_result(storage, name)
    for trial in result.trials:
        if trial.number == number:
            return TrainConfig.from_dict(trial.config), result
    last = max((trial.number for trial in result.trials), default=0)
    raise UserError(f"{name} has no trial {number}; give one of 0 to {last}.")
