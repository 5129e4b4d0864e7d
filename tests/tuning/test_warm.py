"""What a search begins with: which configurations of others it tries first, and what it is told."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow_store import empty_store, free_port
from synthetic import sweep_result
from test_best import crown
from test_report import keep

from kd.config import TrainConfig
from kd.data import open_dataset
from kd.errors import UserError
from search_spaces import Choice, Range, Space, load_space
from tuning.records.findings import Findings
from tuning.records.protocol import protocol
from tuning.records.result import SweepResult, load_result
from tuning.records.settings import SweepSettings
from tuning.reports.live_table import LiveTables
from tuning.reports.page import render
from tuning.reports.sentences import beginning
from tuning.study.journal import open_study, read_trials
from tuning.study.proposals import MOST, Proposal, first_trials, room, values_of
from tuning.study.searcher import StudySearcher
from tuning.study.stopping import make_stopping
from tuning.study.warm import COLD, FILE, First, Told, WarmStart, check_values
from tuning.sweeps.cell import Cell, Search
from tuning.sweeps.warming import check_warm_start, warm_start
from tuning.tracking.store import Store

BASE = TrainConfig.paper("lsskd", "resnet8", "digits", epochs=9)
SPACE = load_space("lsskd", "resnet8")


def found(backbone: str, dataset: str = "cifar100", **values: object) -> TrainConfig:
    """What a search of another cell found best."""
    config = TrainConfig.paper("lsskd", backbone, dataset)
    return replace(config, kd=replace(config.kd, **values))


def proposed(config: TrainConfig, *, confirmed: bool = False, cell: str = "") -> Proposal:
    name = cell or f"{config.backbone}.{config.dataset}"
    return Proposal(config=config, cell=name, source=name, about=name, confirmed=confirmed)


def order(*proposals: Proposal, trials: int = 32, known: Sequence[TrainConfig] = ()) -> list[str]:
    return [first.source for first in first_trials(SPACE, BASE, proposals, trials, known)]


# -- which configurations come first -----------------------------------------------------------


def test_few_of_the_trials_come_from_elsewhere() -> None:
    assert [room(trials) for trials in (1, 2, 8, 15, 16, 24, 32, 64, 500)] == [
        *(0, 1, 1, 1, 2, 3, MOST, MOST, MOST)
    ]


def test_its_own_cell_goes_first_then_what_was_confirmed_then_what_many_propose() -> None:
    own = proposed(found("resnet8", "digits", alpha=0.2))
    sure = proposed(found("resnet18", alpha=0.9, beta=0.1), confirmed=True)
    alike = [
        proposed(found("resnet20", alpha=0.5, temperature=9.0)),
        proposed(found("resnet56", alpha=0.52, temperature=9.0)),
    ]
    alone = proposed(found("resnet8", alpha=0.3, beta=9.0))
    assert order(alone, *alike, sure, own) == [
        "resnet8.digits",
        "resnet18.cifar100",
        "resnet20.cifar100",
        "resnet8.cifar100",
    ]
    assert order(alone, *alike, sure, own, trials=16) == ["resnet8.digits", "resnet18.cifar100"]
    # Without others that propose the same, what shares the backbone goes first.
    assert order(alike[0], alone) == ["resnet8.cifar100", "resnet20.cifar100"]


def test_nothing_is_tried_twice() -> None:
    default = proposed(found("resnet20"))
    assert order(default) == []
    twin = proposed(found("resnet20", alpha=0.5))
    assert order(twin, proposed(found("resnet56", alpha=0.5))) == ["resnet20.cifar100"]
    known = replace(BASE, kd=replace(BASE.kd, alpha=0.5))
    assert order(twin, known=[known]) == []
    assert order(twin, known=[replace(known, seed=1)]) == ["resnet20.cifar100"]
    far = proposed(found("resnet20", alpha=0.2, beta=9.0))
    assert order(twin, far) == ["resnet20.cifar100"], "of a cell one"


def test_what_lies_outside_is_moved_to_the_edge_and_a_choice_that_is_missing_is_left_out() -> None:
    space = Space(
        {
            "kd.alpha": Range(low=0.4, high=0.6),
            "kd.alpha_schedule": Choice(("constant",)),
            "kd.temperature": Range(low=1.0, high=10.0, log=True),
        }
    )
    outside = found("resnet20", alpha=0.9, alpha_schedule="constant", temperature=3.0)
    values = values_of(space, BASE, outside)
    assert values == {
        "kd.alpha": 0.6,
        "kd.alpha_schedule": "constant",
        "kd.temperature": 3.0,
    }
    missing = found("resnet20", alpha=0.5, alpha_schedule="linear")
    assert values_of(space, BASE, missing) is None
    assert first_trials(space, BASE, [proposed(missing)], 16) == ()


def test_a_backbone_of_other_stages_lends_what_both_have() -> None:
    small = TrainConfig.paper("dtskd", "resnet8", "digits")
    large = TrainConfig.paper("dtskd", "resnet18", "cifar100")
    large = replace(large, kd=replace(large.kd, temperature=5.5))
    values = values_of(load_space("dtskd", "resnet8"), small, large)
    assert values is not None
    assert values["kd.temperature"] == 5.5
    back = values_of(load_space("dtskd", "resnet18"), large, small)
    assert back is not None
    assert back.keys() > values.keys()


# -- what the searcher does with it ------------------------------------------------------------

WARM = WarmStart(
    first=tuple(
        First(values=values_of(SPACE, BASE, config) or {}, source=config.backbone, about="")
        for config in (found("resnet20", alpha=0.5), found("resnet56", alpha=0.3))
    )
)


def drawn(study: optuna.Study, count: int, warm: WarmStart = COLD, seed: int = 3) -> list[Any]:
    """The next `count` trials of a search of twelve, each ended by how far alpha is from 0.3."""
    searcher, records = StudySearcher(study, SPACE, BASE, 12, seed=seed, warm=warm), []
    for _ in range(count):
        record = searcher.suggest()
        assert record
        records.append(record)
        value = 50 - 10 * abs(record.config["kd"]["alpha"] - 0.3)
        searcher.end(record.number, {"epoch": 9, "val_acc": value})
    return records


def test_the_first_trials_stand_after_the_default_and_say_where_they_come_from() -> None:
    study = optuna.create_study(direction="maximize")
    records = drawn(study, 4, WARM)
    assert [r.config["kd"]["alpha"] for r in records[:3]] == [BASE.kd.alpha, 0.5, 0.3]  # type: ignore[attr-defined]
    assert [r.source for r in records] == ["", "resnet20", "resnet56", ""]
    assert [r.source for r in read_trials(study)] == ["", "resnet20", "resnet56", ""]
    assert len(drawn(study, 8, WARM)) == 8


def test_a_kill_between_two_of_the_first_trials_loses_none() -> None:
    for cut in range(3):
        study = optuna.create_study(direction="maximize")
        values = [SPACE.default_values(BASE), *(first.values for first in WARM.first)]
        for one in values[:cut]:
            study.enqueue_trial(one)
        assert [r.source for r in drawn(study, 4, WARM)] == ["", "resnet20", "resnet56", ""]


def test_a_sweep_that_began_cold_goes_on_cold() -> None:
    study = optuna.create_study(direction="maximize")
    drawn(study, 2)
    assert [r.source for r in drawn(study, 4)] == [""] * 4


def earlier(trials: int = 12, seed: int = 3) -> tuple[Told, ...]:
    study = optuna.create_study(direction="maximize")
    records = drawn(study, trials, seed=seed)
    return tuple(
        Told(
            sweep="earlier",
            trial=trial.number,
            values=study.trials[trial.number].params,
            curve={9: 50 - 10 * abs(trial.config["kd"]["alpha"] - 0.3)},
        )
        for trial in records
    )


def test_what_is_told_is_learnt_from_and_is_no_trial() -> None:
    told = earlier()
    study = optuna.create_study(direction="maximize")
    warm = drawn(study, 12, WarmStart(told=told))
    assert len(read_trials(study)) == 12
    cold = drawn(optuna.create_study(direction="maximize"), 12)

    def away(records: list[Any]) -> float:
        return sum(abs(r.config["kd"]["alpha"] - 0.3) for r in records[1:]) / 11

    assert away(warm) < away(cold)
    before = {json.dumps(one.values, sort_keys=True) for one in told[1:]}
    again = {json.dumps(trial.params, sort_keys=True) for trial in study.trials[1:]}
    assert not before & again, "the same seed draws what the earlier sweep has not drawn"


def test_a_resumed_search_draws_what_the_unbroken_one_would() -> None:
    warm = WarmStart(first=WARM.first, told=earlier())
    whole = drawn(optuna.create_study(direction="maximize"), 12, warm)
    study = optuna.create_study(direction="maximize")
    kept = WarmStart(**vars(warm))
    broken = drawn(study, 5, warm) + drawn(study, 7, kept)
    assert [r.config for r in broken] == [r.config for r in whole]


def test_the_first_trials_are_not_stopped_early() -> None:
    rule = make_stopping("asha", 9, 1, 3, exempt=2)
    stopped = []
    for number, value in enumerate((50.0, 10.0, 9.0, 8.0)):
        if rule.stops({"trial": number, "epoch": 1, "val_acc": value}):
            stopped.append(number)
    assert stopped == [3]


def test_what_it_began_with_is_kept_to_the_last_bit(tmp_path: Path) -> None:
    warm = WarmStart(first=WARM.first, told=earlier())
    warm.save(tmp_path)
    assert WarmStart.load(tmp_path) == warm
    assert WarmStart.load(tmp_path / "other") is None
    for damaged in ("", "[]", '{"first": 3}', '{"told": [{"sweep": "a"}]}', "\xff"):
        (tmp_path / FILE).write_text(damaged, encoding="latin-1")
        with pytest.raises(UserError, match="is damaged"):
            WarmStart.load(tmp_path)


# -- where it is looked up ---------------------------------------------------------------------


def sweep(storage: Path, name: str, seed: int = 0, **changes: Any) -> SweepResult:
    """A finished sweep of lsskd on resnet8 and digits in its folder."""
    result = sweep_result(storage / name, trials=8, stopping=False)
    settings = replace(result.sweep.settings, search_optimizer=True)
    base = replace(settings.base, **changes)
    trials = [replace(t, config=t.config | {**changes_of(base)}) for t in result.trials]
    about = replace(result.sweep, settings=replace(settings, base=base), protocol=protocol(base))
    result = SweepResult(about, trials)
    keep(result, seed)
    return result


def changes_of(base: TrainConfig) -> dict[str, Any]:
    plain = base.to_dict()
    return {name: plain[name] for name in ("split", "epochs")}


def asked(storage: Path, seed: int = 0, **options: Any) -> SweepSettings:
    result = sweep_result(storage / "new", trials=16)
    settings = replace(result.sweep.settings, **options)
    return replace(settings, base=replace(settings.base, seed=seed))


def begins(settings: SweepSettings, *, begun: bool = False) -> WarmStart:
    settings.folder.mkdir(parents=True, exist_ok=True)
    base = settings.base
    return warm_start(settings, settings.space(), base, protocol(base), begun=begun)


def test_an_empty_storage_is_a_cold_start_and_leaves_nothing(tmp_path: Path, capfd: Any) -> None:
    assert begins(asked(tmp_path)) == WarmStart()
    assert not list((tmp_path / "new").iterdir())
    assert capfd.readouterr() == ("", "")


def test_the_trials_of_its_own_cell_are_told_and_those_of_others_are_not(tmp_path: Path) -> None:
    own = sweep(tmp_path, "own")
    sweep(tmp_path, "other-seed", seed=5)
    sweep(tmp_path, "other-split", split=replace(own.sweep.settings.base.split, seed=1))
    sweep(tmp_path, "other-epochs", epochs=8)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.yaml").write_text("method: lsskd\nbackbone: resnet8\n{{{")
    garbage = sweep(tmp_path, "garbage").sweep.folder / "study.log"
    garbage.write_text("no journal\n" * 3)
    warm = begins(asked(tmp_path))
    curves = {trial.number: trial.curve for trial in own.trials if trial.state != "failed"}
    assert set(warm.sweeps()) == {"own", "other-seed"}
    assert {t.trial: t.curve for t in warm.told if t.sweep == "own"} == curves
    assert "learns from 8 trials of " in beginning(warm)
    assert own.best_score is not None
    known = f"known here: {own.best_score:.2f} % (own, one run), not tried again"
    assert beginning(warm).endswith(f"; {known}")
    (tmp_path / "new" / FILE).unlink()
    assert "known here" not in beginning(begins(asked(tmp_path, seed=4)))


def test_the_same_again_is_told_whatever_becomes_of_the_store(tmp_path: Path) -> None:
    sweep(tmp_path, "own")
    warm = begins(asked(tmp_path))
    sweep(tmp_path, "later")
    assert begins(asked(tmp_path)) == warm
    assert warm.told
    assert begins(asked(tmp_path), begun=True) == warm


def test_none_and_a_sweep_that_began_cold_look_nothing_up(tmp_path: Path) -> None:
    sweep(tmp_path, "own")
    assert begins(asked(tmp_path, warm_start="none")) == WarmStart()
    assert begins(asked(tmp_path), begun=True) == WarmStart()
    assert not (tmp_path / "new" / FILE).exists()


@pytest.mark.parametrize(
    "changes",
    [{"sampler": "random"}, {"sampler": "qmc"}, {"objective": ("ece",)}, {"sampler": "grid"}],
)
def test_what_learns_from_its_own_trials_alone_is_told_nothing(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    sweep(tmp_path, "own")
    warm = begins(replace(asked(tmp_path), **changes))
    assert not warm.told
    assert "learns" not in beginning(warm)


@pytest.mark.parametrize("value", ["x", float("nan"), 99.0, None])
@pytest.mark.parametrize("name", ["kd.alpha", "kd.nonsense"])
def test_kept_values_that_are_no_draws_are_damage(tmp_path: Path, name: str, value: Any) -> None:
    warm = WarmStart(first=(First(values={name: value}, source="own", about="own"),))
    with pytest.raises(UserError, match=r"warm_start\.json is damaged; restore a copy"):
        check_values(warm, SPACE, BASE, tmp_path)
    assert check_values(WARM, SPACE, BASE, tmp_path) == WARM


def test_other_cells_propose_what_the_registry_knows(tmp_path: Path, capfd: Any) -> None:
    store = empty_store(tmp_path)
    crown(store, found("resnet20", alpha=0.3), 70.0, "one")
    crown(store, found("resnet56", alpha=0.7, beta=8.0), 60.0, "two", confirmed="86.1 % (n = 6)")
    crown(store, TrainConfig.paper("pskd", "resnet20", "cifar100"), 99.0, "of-another-method")
    client = store.connect()
    client.set_model_version_tag("lsskd.resnet20.cifar100", "1", "kd.note", "kept")
    client.create_registered_model("lsskd.resnet18.cifar100")
    client.create_model_version(
        "lsskd.resnet18.cifar100", "runs:/x/y", tags={"kd.config": "{", "kd.score": "much"}
    )
    warm = begins(asked(tmp_path))
    assert [first.source for first in warm.first] == [
        "resnet56 and cifar100",
        "resnet20 and cifar100",
    ]
    assert beginning(warm) == (
        "first trials from: lsskd on resnet56 and cifar100 (confirmed), lsskd on resnet20 and "
        "cifar100 (one run)"
    )
    assert "lsskd.resnet18.cifar100 v1 is passed over" in capfd.readouterr().err


def test_the_best_of_its_own_cell_is_tried_again_under_another_seed_alone(tmp_path: Path) -> None:
    own = sweep(tmp_path, "own")
    assert own.best is not None
    store = empty_store(tmp_path)
    best = TrainConfig.from_dict(own.best.config)
    crown(store, best, 88.0, "own", own.best.number)
    assert begins(asked(tmp_path)).first == ()
    (tmp_path / "new" / FILE).unlink()
    warm = begins(asked(tmp_path, seed=4))
    assert [first.about for first in warm.first] == [f"trial {own.best.number} of own (one run)"]
    tried = asked(tmp_path).space().apply(best, warm.first[0].values)
    assert tried == best


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "", "sqlite:///{folder}/none/x.db"])
def test_a_store_that_cannot_be_asked_is_one_line(address: str, tmp_path: Path, capfd: Any) -> None:
    if not address:
        (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    uri = address.format(port=free_port(), folder=tmp_path) or None
    settings = asked(tmp_path, tracking_uri=uri)
    assert begins(settings) == WarmStart()
    said = "".join(capfd.readouterr()).splitlines()
    # Of a database that is not there nothing is known.
    assert len(said) == (not address.startswith("sqlite"))
    assert all("begins without what other cells found" in line for line in said)


def test_a_sweep_that_is_named_is_taken_alone(tmp_path: Path) -> None:
    sweep(tmp_path, "own")
    other = sweep(tmp_path, "other-epochs", epochs=8)
    settings = asked(tmp_path, warm_start="other-epochs", trials=32)
    check_warm_start(settings)
    warm = begins(settings)
    assert warm.told == ()
    assert 1 < len(warm.first) <= MOST
    assert other.best is not None
    assert warm.first[0].about == f"trial {other.best.number} of other-epochs (one run)"
    (tmp_path / "new" / FILE).unlink()
    assert set(begins(asked(tmp_path, warm_start="own")).sweeps()) == {"own"}


def test_of_a_sweep_that_is_named_none_is_tried_that_was_raced_there_and_lost(
    tmp_path: Path,
) -> None:
    own = sweep(tmp_path, "own", epochs=8)
    assert own.best is not None
    lost = own.best.number
    settings = asked(tmp_path, warm_start="own", trials=32)
    assert begins(settings).first[0].about == f"trial {lost} of own (one run)"
    (tmp_path / "new" / FILE).unlink()
    Findings(
        sweep="own", winner=0, seeds=(1, 2, 3), config=own.trials[0].config,
        val_acc={0: [70.0, 71.0, 72.0], lost: [60.0, 61.0, 62.0]},
        test={0: [{"test_acc": 70.0}] * 3},
    ).save(tmp_path / "own")  # fmt: skip
    assert not any(f"trial {lost} of" in first.about for first in begins(settings).first)


def test_a_sweep_that_is_named_wrongly_is_a_sentence(tmp_path: Path) -> None:
    sweep(tmp_path, "own")
    with pytest.raises(
        UserError, match="--warm-start: There is no sweep 'owm'; did you mean 'own'"
    ):
        check_warm_start(asked(tmp_path, warm_start="owm"))
    pskd = replace(asked(tmp_path), base=TrainConfig.paper("pskd", "resnet8", "digits"))
    with pytest.raises(UserError, match="is a sweep of lsskd, and pskd is searched"):
        check_warm_start(replace(pskd, warm_start="own"))
    result = sweep_result(tmp_path / "empty", trials=1)
    keep(SweepResult(result.sweep, []))
    with pytest.raises(UserError, match="is a sweep without a completed trial"):
        check_warm_start(asked(tmp_path, warm_start="empty"))


# -- what is seen of it ------------------------------------------------------------------------


def test_a_sweep_begins_so_and_its_page_and_tables_say_it(tmp_path: Path, capsys: Any) -> None:
    sweep(tmp_path, "own")
    store = Store.at(tmp_path) if (tmp_path / "mlflow.db").exists() else empty_store(tmp_path)
    crown(store, found("resnet20", alpha=0.3), 70.0, "one")
    settings = asked(tmp_path)
    settings.save()
    cell = Cell.of(settings, settings.space(), open_dataset("digits").train)
    with ExitStack() as opened:
        search = Search.open(cell, opened, LiveTables(), cell.tracker(), 1)
        line = capsys.readouterr().out
        assert line == f"new: {beginning(search.sweep.warm)}\n"
        assert "first trials from: lsskd on resnet20 and cifar100 (one run); learns from" in line
        searcher = search.lane.searcher
        searcher.observers.clear()
        for number in range(3):
            record = searcher.suggest()
            assert record
            assert record.source == ("resnet20 and cifar100" if number == 1 else "")
            for epoch in range(1, 10):
                report = {"trial": number, "epoch": epoch, "val_acc": 50.0 - 9 * number + epoch}
                assert number == 2 or not search.lane.stopping.stops(report)
                searcher.report(number, report)
            searcher.end(number, report)
    result = load_result(tmp_path, "new")
    page = render(result, live=True)
    assert f"<p>F{beginning(result.sweep.warm)[1:]}.</p>" in page
    assert "from resnet20 and cifar100</td>" in page
    from io import BytesIO

    import pyarrow.parquet as pq

    from tuning.reports.files import tables

    sources = pq.read_table(BytesIO(tables(result)[0])).column("source").to_pylist()
    assert sources == ["", "resnet20 and cifar100", ""]
    (settings.folder / FILE).write_text("{")
    assert "from resnet20 and cifar100</td>" in render(load_result(tmp_path, "new"), live=True)
    with (
        pytest.raises(UserError, match=r"warm_start.json is damaged"),
        open_study(settings.folder / "study.log", "search", create=False),
        ExitStack() as opened,
    ):
        begins(settings, begun=True)
