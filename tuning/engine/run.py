"""Ray Tune, set up for this project: trials in actors that are used again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kd.errors import UserError
from tuning.engine.lanes import Lane, LaneMoves, LaneSearcher, LaneStopping
from tuning.engine.share import Share
from tuning.engine.trial import Work, run_trial

CRASHES = 3
"""How often a trial whose process died goes on from its checkpoint before it counts as failed."""


def run_trials(lanes: Sequence[Lane], share: Share, folder: Path) -> None:
    """Run what the lanes' searchers suggest until all are finished; Tune writes into `folder`.

    Trials whose part of a GPU was too small go on at the end, with a whole one each.

    Raises:
        KeyboardInterrupt: the studies hold everything up to that moment.
        UserError: a study could not be written, or Ray failed.
    """
    _run(lanes, share, folder)
    starved = [lane.searcher.take_up_starved() for lane in lanes]
    if any(starved):
        _run(lanes, share.on_whole_gpus(), folder)


def _run(lanes: Sequence[Lane], share: Share, folder: Path) -> None:
    from ray import tune
    from ray.exceptions import RayError
    from ray.tune import TuneError

    for lane in lanes:
        lane.searcher.gpus = share.gpus
    searcher = LaneSearcher(lanes)
    tuner = tune.Tuner(
        _trainable([replace(lane.work, judged=lane.stopping.judged) for lane in lanes], share),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=LaneStopping(lanes),
            num_samples=-1,
            max_concurrent_trials=share.slots,
            reuse_actors=True,
            trial_name_creator=str,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            # In a notebook Ray would choose another one, which shows an empty output.
            progress_reporter=tune.CLIReporter(),
            callbacks=[LaneMoves()],
            failure_config=tune.FailureConfig(max_failures=CRASHES),
        ),
    )
    try:
        tuner.fit()
    except (OSError, RayError, TuneError) as error:
        # A TuneError is a traceback in words, whose last line says what it was.
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1].rstrip(".")
        raise UserError(f"Ray cannot go on ({why}); mend that and resume the sweep.") from error
    finally:
        for lane in lanes:
            lane.searcher.pause()
        if searcher.error is not None:
            raise searcher.error


def _trainable(works: list[Work], share: Share) -> Any:
    """What Tune runs as a trial, and the resources that Tune itself reserves for it."""
    import ray
    from ray import tune

    if share.workers == 1:
        task = tune.with_parameters(run_trial, works=works, cpus=share.cpus, gpus=share.gpus)
        return tune.with_resources(task, {"cpu": share.cpus, "gpu": share.gpus})

    from tuning.engine.workers import SUPERVISION, WorkersTrial

    trial = tune.with_parameters(WorkersTrial, works=[ray.put(works)], share=share)
    return tune.with_resources(trial, SUPERVISION)
