"""A sweep and what came of it: the numbers behind the live table, the pictures and the report."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from kd.backbones.names import short
from kd.data import DatasetName
from kd.errors import UserError
from kd.section import flatten
from search_spaces import Domain, searched
from tuning.records.findings import Findings
from tuning.records.protocol import protocol
from tuning.records.settings import CONFIRM, COSTS, SEARCH, STUDY, SweepSettings
from tuning.study.budget import Bound, merged, seconds
from tuning.study.rules import rungs
from tuning.study.trials import Span, State, TrialRecord, best_trial
from tuning.study.warm import WarmStart


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep's settings, and what came to be known of it when it began.

    `searched` is what may vary, by dotted names; `slots` how many trials run at once;
    `val_size` the number of images behind a val accuracy, 0 if not known; `protocol` what its
    scores may be compared under; `environment` the machine and the versions; `costs` those of the
    backbone that are among the objectives; `warm` what its first trials and its sampler know of
    earlier sweeps.
    """

    settings: SweepSettings
    searched: Mapping[str, Domain]
    slots: int = 1
    val_size: int = 0
    protocol: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    warm: WarmStart = field(default_factory=WarmStart)

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.settings.name

    @property
    def folder(self) -> Path:
        """The sweep's own folder."""
        return self.settings.folder

    @property
    def method(self) -> str:
        """What the student is trained with."""
        return self.settings.base.method

    @property
    def backbone(self) -> str:
        """The student; of another library's network its name alone."""
        return short(self.settings.base.backbone)

    @property
    def dataset(self) -> str:
        """The images; of a folder the last part of its name."""
        return DatasetName.parse(self.settings.base.dataset).portable

    @property
    def cell(self) -> str:
        """`method · backbone · data set`, for a headline."""
        return f"{self.method} · {self.backbone} · {self.dataset}"

    @property
    def trials(self) -> int | None:
        """How many trials are planned; None for as many as its budget allows."""
        return self.settings.trials

    @property
    def epochs(self) -> int:
        """The longest that a trial may run."""
        return self.settings.base.epochs

    @property
    def rungs(self) -> tuple[int, ...]:
        """The 1-based epochs at which trials are compared; none where that is after every one."""
        asked = self.settings
        if asked.scheduler == "top-k":
            return (asked.grace_period,)
        if asked.scheduler not in ("asha", "hyperband"):
            return ()
        return tuple(rungs(self.epochs, asked.grace_period, asked.reduction_factor))

    def chosen(self, trial: TrialRecord, name: str) -> Any:
        """What the search chose for `name` in a trial; None where it chose nothing.

        That is where a condition of it does not hold: the configuration keeps the paper's value.
        """
        if self.searched[name].when and not searched(
            self.searched, name, dict(flatten(trial.config))
        ):
            return None
        return value_at(trial.config, name)


@dataclass(frozen=True)
class SweepResult:
    """A sweep and its trials, in the order of their numbers, and what confirming it found.

    `again` are the trainings of all its confirmations, of one that is not decided too.
    """

    sweep: Sweep
    trials: Sequence[TrialRecord]
    findings: Findings | None = None
    again: Sequence[TrialRecord] = ()

    def of(self, *states: State) -> list[TrialRecord]:
        """The trials in any of these states."""
        return [trial for trial in self.trials if trial.state in states]

    @property
    def ended(self) -> list[TrialRecord]:
        """The trials that run no longer, in the order of their ends."""
        return sorted(self.of("completed", "stopped", "failed"), key=lambda t: t.ended or 0.0)

    @property
    def leader(self) -> TrialRecord | None:
        """The completed trial of highest val accuracy, as the search saw it."""
        return best_trial(list(self.trials))

    @property
    def best(self) -> TrialRecord | None:
        """The trial whose configuration is handed out: the confirmed one, else the leader."""
        if self.findings is None:
            return self.leader
        number = self.findings.handed_out
        return next((trial for trial in self.trials if trial.number == number), self.leader)

    @property
    def default(self) -> TrialRecord | None:
        """The trial of the paper's default configuration."""
        return next((trial for trial in self.trials if trial.is_default), None)

    def scores(self, trial: TrialRecord | None) -> list[float]:
        """Val accuracies in percent behind a trial; none where it is None or did not complete.

        One a new seed where the sweep was confirmed and it competed, else what the search saw.
        """
        if trial is None:
            return []
        if self.findings and (confirmed := self.findings.val_acc.get(trial.number)):
            return confirmed
        return [trial.score] if trial.state == "completed" and trial.score is not None else []

    def is_confirmed(self, trial: TrialRecord) -> bool:
        """Whether the scores behind a trial are those of new seeds."""
        return bool(self.findings and self.findings.val_acc.get(trial.number))

    @property
    def best_score(self) -> float | None:
        """The mean of what is behind the best."""
        return fmean(scores) if (scores := self.scores(self.best)) else None

    @property
    def default_score(self) -> float | None:
        """The mean of what is behind the paper's default."""
        return fmean(scores) if (scores := self.scores(self.default)) else None

    @property
    def gain(self) -> float | None:
        """Points of val accuracy that the best is above the default, both scored alike."""
        best, level = self.best_score, self.default_score
        return None if best is None or level is None else best - level

    # -- cost ---------------------------------------------------------------------------------

    @property
    def epochs_spent(self) -> int:
        """Epochs trained, over all trials and their seeds."""
        return sum(trial.trained for trial in self.trials)

    @property
    def epochs_saved(self) -> int:
        """Epochs that stopping spared: what the stopped trials did not train."""
        return sum((self.sweep.epochs - t.epoch) * t.seeds for t in self.of("stopped"))

    @property
    def spans(self) -> list[Span]:
        """When any trial ran, in order; the pauses of an interrupted sweep lie between."""
        return merged(self.trials)

    @property
    def seconds(self) -> float:
        """How long the sweep trained, in seconds, without the pauses before a resumption."""
        return seconds(self.trials)

    @property
    def trial_seconds(self) -> float:
        """Seconds of all trials together: slots times time, without idle slots."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def gpu_seconds(self) -> float:
        """Seconds of all trials together, each times the GPUs that it held."""
        return sum(trial.seconds * trial.gpus for trial in self.trials)

    @property
    def usd(self) -> float | None:
        """What the trials cost, in USD; None where no price is known."""
        budget = self.sweep.settings.budget
        return None if budget.price is None else budget.usd(self.trials)

    @property
    def is_over(self) -> bool:
        """Whether its search has nothing left to train, as far as its trials tell."""
        if self.sweep.settings.budget.spent(self.trials):
            return True
        planned = self.sweep.trials
        return not self.of("running") if planned is None else len(self.ended) >= planned

    @property
    def nearest(self) -> Bound | None:
        """The bound of the budget of which the least is left; None where there is none."""
        return self.sweep.settings.budget.nearest(self.trials)


def load_result(storage: Path, name: str) -> SweepResult:
    """The sweep `name` and its trials, as its folder holds them; UserError if there is none."""
    from tuning.study.journal import load_study, read_trials

    settings = SweepSettings.load(storage, name)
    study = load_study(settings.folder / STUDY, SEARCH)
    seeds, root = settings.seeds_per_trial, settings.data_root
    facts = study.user_attrs
    sweep = Sweep(
        settings=settings,
        searched=settings.space().domains,
        slots=int(facts.get("slots", 1)),
        val_size=int(facts.get("val_size", 0)),
        protocol=facts.get("protocol") or protocol(settings.base, seeds, root),
        environment=facts.get("environment", {}),
        costs=facts.get(COSTS, {}),
        warm=_warm(settings.folder),
    )
    found = Findings.load(settings.folder)
    return SweepResult(sweep, read_trials(study), found, confirming(settings.folder))


def confirming(folder: Path) -> list[TrialRecord]:
    """The trainings of all confirmations of the sweep in `folder`, in the order of their names."""
    journals = sorted(folder.glob(f"{CONFIRM}*.log"))
    return [record for path in journals for record in trained(folder, path.stem)]


def trained(folder: Path, study: str) -> list[TrialRecord]:
    """The trainings of a study in a sweep's folder; none where it was never begun."""
    return _trials(folder / f"{study}.log", study)


def tried(folder: Path) -> list[TrialRecord]:
    """The trials of the sweep in `folder`; none where its search was never begun."""
    return _trials(folder / STUDY, SEARCH)


def _trials(journal: Path, study: str) -> list[TrialRecord]:
    from tuning.study.journal import has_trials, load_study, read_trials

    if not journal.exists() or not has_trials(journal):
        return []
    return read_trials(load_study(journal, study))


def _warm(folder: Path) -> WarmStart:
    """What it began with; nothing where that cannot be read, as the trials say their own source."""
    with suppress(UserError):
        return WarmStart.load(folder) or WarmStart()
    return WarmStart()


def value_at(config: dict[str, Any], name: str) -> Any:
    """What a nested configuration holds under a dotted name: `kd.lambda_b.0`; None if nothing."""
    value: Any = config
    for part in name.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value
