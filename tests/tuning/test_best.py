import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from mlflow_store import empty_store
from rich.console import Console

from kd.config import SplitConfig, TrainConfig
from kd.errors import UserError
from tuning import best_config
from tuning.best import Flags, print_table, show
from tuning.records.findings import UNCONFIRMED
from tuning.records.protocol import cell_name, dataset_identity, protocol
from tuning.study.trials import TrialRecord
from tuning.tracking.lookup import find_best, select
from tuning.tracking.promoted import Best, champion
from tuning.tracking.registry import promote
from tuning.tracking.runs import SweepRuns
from tuning.tracking.seeds import log_seeds
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all

CONFIG = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=9)
CELL = "lsskd.resnet8.digits"


def tuned(alpha: float, **changes: object) -> TrainConfig:
    return replace(CONFIG, kd=replace(CONFIG.kd, alpha=alpha), **changes)


def crown(
    store: Store,
    config: TrainConfig,
    score: float,
    sweep: str = "a",
    trial: int = 0,
    confirmed: str = UNCONFIRMED,
) -> Best:
    """Promote a trial after its run was written, as a sweep does."""
    cell = cell_name(config.method, config.backbone, config.dataset)
    runs = SweepRuns(store, cell, sweep, protocol={}, params={})
    runs.start(TrialRecord(number=trial, config=config.to_dict()))
    return promote(
        store,
        config,
        score=score,
        protocol=protocol(config),
        sweep=sweep,
        trial=trial,
        trials=4,
        confirmed=confirmed,
    )


def alias(store: Store) -> str:
    version: str = store.connect().get_model_version_by_alias(CELL, "champion").tags["kd.sweep"]
    return version


def test_the_better_score_wins(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    for sweep, alpha, score, holder in (
        ("first", 0.1, 80.0, "first"),
        ("worse", 0.2, 79.0, "first"),
        ("equal", 0.3, 80.0, "first"),
        ("better", 0.4, 81.5, "better"),
    ):
        assert crown(store, tuned(alpha), score, sweep).sweep == holder
        assert alias(store) == holder
    assert best_config("lsskd", "resnet8", "digits", storage=tmp_path) == tuned(0.4)
    crown(store, tuned(0.4), 81.5, "better")
    assert len(read_all(store)) == 4


def test_scores_compare_under_equal_protocols_only(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1, epochs=30), 70.0, "long")
    crown(store, tuned(0.2), 90.0, "short")
    assert alias(store) == "long"
    few = tuned(0.3, epochs=30, split=SplitConfig(train_size=100))
    assert crown(store, few, 10.0, "few images").sweep == "few images"
    best = find_best("lsskd", "resnet8", "digits", store)
    assert best.sweep == "few images"
    assert find_best("lsskd", "resnet8", "digits", store, epochs=9).sweep == "short"
    crown(store, tuned(0.4, epochs=30), 69.0, "long, worse, latest")
    assert find_best("lsskd", "resnet8", "digits", store).sweep == "long"


def test_the_champion_follows_from_the_versions_in_any_order() -> None:
    def version(number: int, epochs: int, score: float) -> Best:
        return Best(
            cell=CELL,
            version=number,
            created=0,
            score=score,
            sweep="",
            trial=0,
            trials=1,
            confirmed="",
            protocol=(("epochs", str(epochs)),),
            config=tuned(0.5, epochs=epochs),
        )

    versions = [version(1, 9, 99.0), version(2, 30, 60.0), version(3, 30, 61.0)]
    assert champion(versions) == champion(versions[::-1]) == versions[2]


def test_what_is_confirmed_stands_for_its_sweep_and_goes_before_single_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1), 90.0, "lucky", 14)
    assert alias(store) == "lucky"
    best = crown(store, tuned(0.2), 85.0, "lucky", 3, confirmed="val 85 % (n = 6)")
    assert (best.trial, best.is_confirmed) == (3, True)
    assert {b.trial: b.superseded for b in read_all(store)} == {14: True, 3: False}
    client = store.connect()
    runs = [client.get_model_version(CELL, str(n)).run_id for n in (1, 2)]
    told = [client.get_run(run).data.tags["kd.confirmed"] for run in runs]
    assert told == ["trial 3 is handed out instead", "val 85 % (n = 6)"]
    crown(store, tuned(0.3), 88.0, "another", 1)
    found = find_best("lsskd", "resnet8", "digits", store)
    assert (found.trial, found.score) == (3, 85.0), "a mean goes before the best of many runs"
    # Asked again, and then proved to be another one.
    crown(store, tuned(0.2), 85.0, "lucky", 3, confirmed="val 85 % (n = 6)")
    assert len(read_all(store)) == 3
    crown(store, tuned(0.1), 86.0, "lucky", 14, confirmed="val 86 % (n = 8)")
    found = find_best("lsskd", "resnet8", "digits", store)
    assert (found.trial, found.score, found.confirmed) == (14, 86.0, "val 86 % (n = 8)")
    assert {b.trial: b.superseded for b in read_all(store)} == {14: False, 3: True, 1: False}
    # What was written before anybody was asked to confirm anything.
    store.connect().set_model_version_tag(CELL, "3", "kd.confirmed", "one run")
    assert "one run, not confirmed" in {b.confirmed for b in read_all(store)}
    show(Flags(storage=tmp_path))
    assert "val 86 % (n = 8)" in capsys.readouterr().out


def test_two_processes_promote_at_once(tmp_path: Path) -> None:
    script = """
import sys
from io import StringIO
from pathlib import Path
import mlflow
from test_best import crown, tuned
from tuning.tracking.store import Store
storage, me = Path(sys.argv[1]), int(sys.argv[2])
store = Store.at(storage)
print("ready", flush=True)
sys.stdin.readline()
for number in range(4):
    score = 50.0 + 2 * number + me
    crown(store, tuned(score / 100), score, f"sweep{me}", number)
"""
    (tmp_path / "script.py").write_text(script)
    here = Path(__file__)
    environment = os.environ | {"PYTHONPATH": f"{here.parents[2]}{os.pathsep}{here.parent}"}
    # The database is new too: the two make it at once.
    started = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(tmp_path), str(me)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for me in (0, 1)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in started:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    finally:
        for process in started:
            process.kill()
    store = Store.at(tmp_path)
    assert len(read_all(store)) == 8
    assert find_best("lsskd", "resnet8", "digits", store).score == 57.0
    assert alias(store) == "sweep1"
    assert best_config("lsskd", "resnet8", "digits", storage=tmp_path) == tuned(0.57)


def test_a_half_written_artifact_does_no_harm(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    crown(store, CONFIG, 80.0)
    (artifact,) = (tmp_path / "mlflow-artifacts").glob("**/best_config.yaml")
    assert TrainConfig.load(artifact) == CONFIG
    artifact.write_text(artifact.read_text()[:40])
    assert best_config("lsskd", "resnet8", "digits", storage=tmp_path) == CONFIG


def test_reading_needs_neither_ray_nor_torch_nor_a_second_mlflow(tmp_path: Path) -> None:
    crown(empty_store(tmp_path), CONFIG, 80.0)
    # The folder may be taken elsewhere.
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    script = (
        "import sys; from tuning import best_config;"
        f"print(best_config('lsskd', 'resnet8', 'digits', storage={str(moved)!r}).to_yaml());"
        "heavy = {'ray', 'torch', 'mlflow', 'optuna'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == CONFIG.to_yaml().strip()


def by_mlflow(store: Store) -> list[Best]:
    """What MLflow's own client answers."""
    found = store.connect().search_model_versions("")
    return [
        Best.from_tags(v.name, int(v.version), v.creation_timestamp / 1000, dict(v.tags))
        for v in found
        if "kd.config" in v.tags
    ]


def test_reading_the_database_is_reading_by_mlflow(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "a folder, 100 % #1 \u202eé")
    assert read_all(store) == by_mlflow(store) == []
    for number, score in enumerate((80.0, 81.0, 79.0)):
        crown(store, tuned(0.1 * (number + 1)), score, f"s{number}")
    kd = TrainConfig.paper("kd", "resnet8", "digits", epochs=9)
    crown(store, kd, 70.0, "kd")
    assert len(read_all(store)) == 4
    assert read_all(store) == by_mlflow(store)
    client = store.connect()
    client.delete_model_version(CELL, "2")
    client.set_model_version_tag(CELL, "1", "kd.confirmed", "test 81 %")
    client.create_model_version(CELL, str(tmp_path), tags={"not": "ours"})
    assert "test 81 %" in {b.confirmed for b in read_all(store)}
    assert len(read_all(store)) == 3
    assert read_all(store) == by_mlflow(store)
    client.delete_registered_model("kd.resnet8.digits")
    assert {b.cell for b in read_all(store)} == {CELL}
    assert read_all(store) == by_mlflow(store)


READ = """
import sys
from io import StringIO
from pathlib import Path
from tuning.tracking.store import Store
from tuning.tracking.versions import read_all
print([best.score for best in read_all(Store.at(Path(sys.argv[1])))], "mlflow" in sys.modules)
"""


def read_in_a_new_process(storage: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(storage)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_first_reading_after_any_write_needs_no_mlflow(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1), 80.0)
    crown(store, tuned(0.1), 80.0, confirmed="val 80 %, test 81 %")
    log_seeds(store, CELL, "a", [(0, 1, {"val_acc": 80.0})])
    assert read_in_a_new_process(tmp_path) == "[80.0] False"
    # As a copy of the folder has it: with no time of the old one.
    os.utime(tmp_path / "mlflow.db", (1, 1))
    assert read_in_a_new_process(tmp_path) == "[80.0] False"
    assert {file.name for file in tmp_path.iterdir()} <= {
        "mlflow.db", "mlflow.lock", "mlflow-artifacts"
    }  # fmt: skip


def test_a_store_of_another_schema_is_read_by_mlflow(tmp_path: Path) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1), 80.0)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("ALTER TABLE model_version_tags RENAME TO of_another_version")
        database.execute("CREATE VIEW model_version_tags AS SELECT name, version, key, value, "
                         "workspace FROM of_another_version WHERE no_such_function(1)")  # fmt: skip
    with pytest.raises(UserError, match="cannot be used"):
        read_all(store)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("DROP VIEW model_version_tags")
        database.execute("ALTER TABLE of_another_version RENAME TO model_version_tags")
        database.execute("ALTER TABLE model_versions ADD COLUMN newer INTEGER")
    assert [best.score for best in read_all(store)] == [80.0]


def test_the_table_and_the_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1), 80.0, "short")
    crown(store, tuned(0.2, epochs=30), 70.0, "long")
    show(Flags(storage=tmp_path))
    table = capsys.readouterr().out
    assert "80.00 *" in table
    assert "70.00 " in table
    assert "do not compare" in table
    wide, narrow = (Console(file=StringIO(), force_terminal=True, width=w) for w in (180, 60))
    for console in (wide, narrow):
        print_table(*select(store, None, None, None, None), console)
    for name in ("confirmed", "short", "digits", "80.00"):
        assert name in narrow.file.getvalue(), "in lines of three cells"
    assert "lsskd   resnet8" in wide.file.getvalue()
    show(Flags(method="lsskd", backbone="resnet8", dataset="digits", storage=tmp_path))
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert TrainConfig.load(printed) == tuned(0.2, epochs=30)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        (("lskd", "resnet8", "digits"), "did you mean 'lsskd'"),
        (("lsskd", "resnet9", "digits"), "did you mean 'resnet8'"),
        (("lsskd", "resnet8", "digit"), "did you mean 'lsskd.resnet8.digits'"),
    ],
)
def test_unknown_names_are_one_sentence(
    tmp_path: Path, cell: tuple[str, str, str], complaint: str
) -> None:
    crown(empty_store(tmp_path), CONFIG, 80.0)
    with pytest.raises(UserError, match=complaint):
        best_config(*cell, storage=tmp_path)


def test_an_empty_store_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tuning.search kd --backbone resnet8 --dataset digits"):
        best_config("kd", "resnet8", "digits", storage=tmp_path)
    with pytest.raises(UserError, match="no best configuration yet"):
        show(Flags(storage=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_trial_that_mlflow_never_saw_is_not_promoted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run gone/3"):
        promote(
            empty_store(tmp_path),
            CONFIG,
            score=1,
            protocol=protocol(CONFIG),
            sweep="gone",
            trial=3,
            trials=4,
        )


def test_a_version_that_cannot_be_read_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = empty_store(tmp_path)
    crown(store, tuned(0.1), 80.0, "a")
    client = store.connect()
    client.create_registered_model("confidence.resnet8.digits")
    for tags in (
        {"kd.config": CONFIG.to_yaml().replace("lsskd", "confidence"), "kd.score": "1"},
        {"kd.config": '{"method": "con', "kd.score": "1"},
        {"kd.config": "{}"},
    ):
        client.create_model_version("confidence.resnet8.digits", str(tmp_path), tags=tags)
    assert [best.score for best in read_all(store)] == [80.0]
    assert capsys.readouterr().err.count("is passed over") == 3
    assert find_best("lsskd", "resnet8", "digits", store).score == 80.0


def test_a_folder_of_images_is_known_by_what_it_holds(tmp_path: Path) -> None:
    one, same, other = tmp_path / "a" / "mini", tmp_path / "b" / "mini", tmp_path / "c" / "mini"
    for folder, text in ((one, "x"), (same, "x"), (other, "y")):
        folder.mkdir(parents=True)
        (folder / "train.parquet").write_text(text)
    names = [f"parquet:{folder}" for folder in (one, same, other)]
    assert {cell_name("kd", "resnet8", name) for name in names} == {"kd.resnet8.parquet-mini"}
    assert dataset_identity(names[0]) == dataset_identity(names[1]) != dataset_identity(names[2])
    assert dataset_identity("cifar100") == "cifar100"
