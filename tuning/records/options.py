"""The options that a person may give a sweep and that its folder keeps.

A new option is a field here, and its use.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from kd.cli import repeated, shown
from kd.training.compiling import Compile
from tuning.study.objectives import Objective, chosen
from tuning.study.rules import FACTOR
from tuning.study.sampling import TPE, SamplerName
from tuning.study.stopping import SchedulerName
from tuning.study.warm import AUTO

Several = tyro.conf.UseAppendAction[tuple[str, ...]]
Weights = tyro.conf.UseAppendAction[tuple[float, ...]]
GpusPerTrial = float | Literal["auto"] | None

CHANGEABLE = (
    "trials",
    "epochs_total",
    "hours",
    "gpu_hours",
    "cost",
    "price_per_hour",
    "cpus_per_trial",
    "gpus_per_trial",
    "compile",
    "tracking_uri",
    "data_root",
    "confirm",
    "live_html",
)
"""What a resumed sweep may be given anew; all else it keeps."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the search goes on, and where its files are."""

    search_optimizer: bool = False
    """Search the learning rate and the weight decay too."""
    epochs_total: Annotated[int | None, shown("N")] = None
    """End the search when all its trials together have trained so many epochs."""
    hours: Annotated[float | None, shown("HOURS")] = None
    """End the search after so many hours, each trial with the epoch that it is in."""
    gpu_hours: Annotated[float | None, shown("HOURS")] = None
    """End the search when its trials have held GPUs for so many hours, each with its epoch."""
    cost: Annotated[float | None, shown("USD")] = None
    """End the search when its trials have cost so much, each with its epoch."""
    price_per_hour: Annotated[float | None, shown("USD")] = None
    """What an hour of one GPU costs; where there is none, an hour of this machine."""
    objective: Annotated[Several, repeated("NAME")] = ()
    """Look for the best in this too: val_acc, ece, train_seconds, params, macs, latency."""
    sampler: SamplerName = TPE
    """How configurations are drawn."""
    warm_start: Annotated[str, shown("auto|none|SWEEP")] = AUTO
    """Begin with what earlier sweeps found: all that are known, none, or the sweep of this name."""
    scheduler: SchedulerName = "asha"
    """What stops poor trials early."""
    reduction_factor: float = FACTOR
    """One trial in so many goes on at a rung, and rungs are so many times apart."""
    check_rungs: Annotated[float, shown("SHARE")] = 0.0
    """Let this share of the trials that would be stopped run on, to see how well rungs foretell."""
    cpus_per_trial: Annotated[int | None, shown("CORES")] = None
    """CPU cores of one trial; the default shares what the cluster has."""
    gpus_per_trial: Annotated[GpusPerTrial, shown("GPUS|auto")] = "auto"
    """GPUs of one trial: 0.25 packs four on one; the default, auto, as many as gain by it."""
    workers_per_trial: Annotated[int, shown("N")] = 1
    """Train a trial on several workers, data-parallel; cores and GPUs are shared among them."""
    seeds_per_trial: Annotated[int | None, shown("N")] = None
    """Train a trial on so many seeds at once, and go by their mean; each costs its epochs."""
    compile: Compile = "auto"
    """Compile the steps; auto does where that takes under a tenth of a GPU's training time."""
    mps: Annotated[bool, shown("")] = True
    """Without NVIDIA's MPS, which lets trials on one GPU compute side by side."""
    seed: int = 0
    """Seeds the search and the training."""
    storage: Path = Path("runs")
    """Where sweeps are kept."""
    checkpoints: Annotated[str | None, shown("URI")] = None
    """Where running trials keep their files instead: s3://BUCKET/FOLDER or gs://…."""
    tracking_uri: Annotated[str | None, shown("URI")] = None
    """Another MLflow store than the one in the storage folder."""
    data_root: Annotated[Path | None, shown("FOLDER")] = None
    """Where data sets are kept and downloaded to."""
    confirm: bool = False
    """Prove the best at the end, as tuning.confirm does: on new seeds, and then on test, once."""
    live_html: bool = False
    """Keep the sweep's report.html up to date while it runs."""

    @property
    def bounded(self) -> bool:
        """Whether it is said what the search may spend: then the number of trials may be open."""
        bounds = (self.epochs_total, self.hours, self.gpu_hours, self.cost)
        return any(bound is not None for bound in bounds)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What trials are compared in, val accuracy first."""
        return chosen(self.objective)
