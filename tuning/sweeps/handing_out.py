"""What a confirmed sweep hands out from then on: its folder, the registry, its report."""

from pathlib import Path

from kd.config import TrainConfig
from kd.errors import UserError
from kd.run_folder import BEST_CONFIG
from kd.screen import warn
from tuning.records.findings import FILE, Findings
from tuning.records.keeper import hand_out
from tuning.records.protocol import cell_name
from tuning.records.result import SweepResult, load_result, trained
from tuning.records.settings import CONFIRM, SweepSettings
from tuning.records.winner import handed_out, proof
from tuning.reports.files import attempted, write_report
from tuning.reports.sentences import report_again
from tuning.storage.trial_files import TrialFiles
from tuning.tracking.registry import all_told, promote
from tuning.tracking.seeds import log_seeds
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all

REFIT = "-refit"
"""Ends the name of the study of the winner's training on val too."""


def study_of(openings: int) -> str:
    """The name of the study behind the n-th opening of a test set, and of its journal."""
    return f"{CONFIRM}-{openings}" if openings > 1 else CONFIRM


def hand_out_confirmed(settings: SweepSettings, findings: Findings) -> None:
    """Let the sweep's folder hold what was confirmed, its student too, and show it.

    Done again, it changes nothing, but for what a kill had kept from being done.
    """
    result = load_result(settings.storage, settings.name)
    config = handed_out(result)
    if config is None:
        return
    study, taken = study_of(findings.opened), False
    for name in (study, f"{study}{REFIT}"):
        files = TrialFiles(shelf=settings.shelf, study=name)
        configs = _configs(settings, name)
        for number in (n for n, known in configs.items() if known == config):
            hand_out(settings.folder, config, files, number)
            taken = True
        # Not before: without them nothing could be told again.
        for number in configs:
            files.discard(number)
    if not taken:
        # Confirmed before students were kept.
        hand_out(settings.folder, config, TrialFiles(shelf=settings.shelf, study=study), -1)
    show(settings)


def show(settings: SweepSettings) -> None:
    """Let the sweep's report show what confirming has come to, decided or not."""
    result = load_result(settings.storage, settings.name)
    with attempted("The report does not show it yet", report_again(result.sweep)):
        write_report(result)


def mend(settings: SweepSettings, result: SweepResult, findings: Findings) -> None:
    """Let what was found be handed out, where a kill kept it from being; nothing where it is."""
    config, study = handed_out(result), study_of(findings.opened)
    path = settings.folder / BEST_CONFIG
    done = [_holds(file, config) for file in (path, path.with_suffix(".json"))]
    left = any((settings.folder / "students").glob(f"{study}-*"))
    if config and (left or not all(done)):
        hand_out_confirmed(settings, findings)
    store, trial = Store.at(settings.storage, settings.tracking_uri), findings.handed_out
    # A server would be asked for seconds each time; it was told when that was found.
    if store.file is not None and store.file.exists():
        known = [b for b in read_all(store) if (b.sweep, b.trial) == (settings.name, trial)]
        if not any(best.told == findings.opened and not best.superseded for best in known):
            register(settings, findings)


def _holds(file: Path, config: TrainConfig | None) -> bool:
    """Whether the file holds that configuration, wherever its files lie."""
    try:
        return config is not None and TrainConfig.load(file).portable == config.portable
    except UserError:
        return False


def _configs(settings: SweepSettings, study: str) -> dict[int, TrainConfig]:
    """What a confirmation trained, by the numbers of its own study."""
    return {r.number: TrainConfig.from_dict(r.config) for r in trained(settings.folder, study)}


def register(settings: SweepSettings, findings: Findings) -> None:
    """Let MLflow's registry hand it out too, with a run for every seed; say where it cannot."""
    result = load_result(settings.storage, settings.name)
    store = Store.at(settings.storage, settings.tracking_uri)
    try:
        promote_result(result, store)
        base = settings.base
        cell = cell_name(base.method, base.backbone, base.dataset)
        log_seeds(store, cell, settings.name, findings.trainings)
        all_told(store, settings.name, findings.handed_out, findings.opened)
    except UserError as error:
        warn(f"The result is in {FILE}, but not in MLflow: {error}")


def promote_result(result: SweepResult, store: Store) -> None:
    """Register the best of a sweep: what was confirmed, else the winner of the search.

    Nothing for a sweep whose teacher saw val, which stands for no cell, nor without a best.

    Raises:
        UserError: the store cannot be used.
    """
    best, score, sweep, config = result.best, result.best_score, result.sweep, handed_out(result)
    if best is None or score is None or config is None or sweep.settings.base.saw_val:
        return
    promote(
        store,
        config,
        score=score,
        protocol=dict(sweep.protocol),
        sweep=sweep.name,
        trial=best.number,
        trials=len(result.trials),
        confirmed=proof(result.findings, best.number, best.seeds),
    )
