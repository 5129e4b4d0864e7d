"""What all trials of a sweep begin with: the phases before the main one, trained by the first.

Where a method says that they depend on nothing that a trial varies (`MethodConfig.beginning`),
what they leave is kept by what they do depend on, and a later trial begins its main phase with
that. It is what the trial would have come to by itself, so no score depends on it.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from kd.backbones.own import digests
from kd.config import TrainConfig
from kd.data.config import sections_of_before
from tuning.engine.pooled import Pool
from tuning.storage.patience import patiently
from tuning.storage.shelf import Shelf

if TYPE_CHECKING:
    from tuning.engine.trial import Work

VARIES = ("kd", "optimizer", "dataset", "images", "teacher", "further_teachers")
"""What of a configuration no such phase depends on, or of which there is a digest."""
LEFT = ("method", "memories", "teachers")
"""What a phase leaves of a training's state; its optimizer ends with it."""


@dataclass(frozen=True)
class Beginning:
    """Where it is kept, among the files of a sweep's trials.

    Trials that begin side by side each train it, as none could begin earlier by waiting.
    """

    shelf: Shelf
    name: str

    @classmethod
    def of(cls, config: TrainConfig, work: "Work") -> Self | None:
        """That of a trial of `config`; None where its method has none, or another for each."""
        if config.kd.beginning is None or len(config.teachers) != len(work.teachers):
            return None
        plain = config.to_dict()
        about = {name: value for name, value in plain.items() if name not in VARIES}
        about |= sections_of_before(plain)
        about |= {name: plain["kd"][name] for name in config.kd.beginning}
        about |= {"images": work.train.whole or work.train.digest, "seeds": work.seeds}
        about["networks"] = [hashlib.blake2b(file).hexdigest() for file in work.teachers]
        if code := digests([config.backbone]):
            # A network of one's own may be another one by now, under the same name.
            about["code"] = code
        text = json.dumps(about, sort_keys=True).encode()
        digest = hashlib.blake2b(text, digest_size=8).hexdigest()
        return cls(work.files.shelf, f"beginnings/{config.method}-{digest}.pt")

    @property
    def exists(self) -> bool:
        """Whether it is kept."""
        return self.shelf.exists(self.name)

    def take(self, pool: Pool) -> None:
        """Let `pool` begin its main phase with it, if it is there for all workers of the trial.

        UserError where what is kept cannot be read, after which `pool` is of no use.
        """
        import torch

        from kd.training import checkpoint
        from kd.training.parallel import mean_over_workers

        there = torch.tensor(float(self.exists), device=pool.first.place.device)
        if mean_over_workers(there).item() < 1:
            return
        try:
            with self.shelf.fetched(self.name) as path:
                pool.begin_main(patiently(lambda: checkpoint.load(path)))
        except checkpoint.OF_THE_DEVICE:
            raise
        except checkpoint.DAMAGED:
            raise checkpoint.UnreadableError(self.name) from None

    def keep(self, pool: Pool) -> None:
        """Keep what `pool` has come to, if its main phase begins now; one worker writes."""
        from kd.methods.base import MAIN
        from kd.training import checkpoint

        first = pool.first
        if first.epoch or first.phase.name != MAIN or first.place.rank:
            return
        whole = pool.state()
        each = [{part: one[part] for part in LEFT} for one in whole.get("seeds", [whole])]
        took = {"seconds": pool.before_seconds, "epochs": first.before * len(each)}
        self.shelf.put(self.name, lambda path: checkpoint.save({"seeds": each, **took}, path))
