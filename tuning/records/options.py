"""The options that a person may give a sweep and that its folder keeps.

A new option is a field here, and its use.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from kd.cli import shown
from kd.training.compiling import Compile
from tuning.study.budget import Budget
from tuning.study.sampling import TPE, SamplerName

GpusPerTrial = float | Literal["auto"] | None

CHANGEABLE = (
    "trials",
    "epochs_total",
    "hours",
    "gpu_hours",
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
    """End the search when all trials together have trained so many epochs, each ending its own."""
    hours: Annotated[float | None, shown("HOURS")] = None
    """End the search after so many hours."""
    gpu_hours: Annotated[float | None, shown("HOURS")] = None
    """End the search when its trials have held GPUs for so many hours."""
    sampler: SamplerName = TPE
    """How configurations are drawn."""
    scheduler: Literal["asha", "median", "none"] = "asha"
    """What stops poor trials early."""
    reduction_factor: float = 3.0
    """One trial in so many goes on at a rung, and rungs are so many times apart."""
    cpus_per_trial: Annotated[int | None, shown("CORES")] = None
    """CPU cores of one trial; the default shares what the cluster has."""
    gpus_per_trial: Annotated[GpusPerTrial, shown("GPUS|auto")] = "auto"
    """GPUs of one trial: 0.25 packs four on one; the default, auto, as many as gain by it."""
    workers_per_trial: Annotated[int, shown("N")] = 1
    """Train a trial on several workers, data-parallel; cores and GPUs are shared among them."""
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
    def budget(self) -> Budget:
        """What the search may spend."""
        return Budget(epochs=self.epochs_total, hours=self.hours, gpu_hours=self.gpu_hours)
