"""A real search in all objectives over two backbones: what is kept of it and handed out."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from real_sweeps import finish, journal, start

from kd.backbones import build_backbone
from tuning.python.result import SearchResult
from tuning.records.pareto import front, values_of
from tuning.records.result import load_result

ASKED = ("ece", "train_seconds", "params", "macs", "latency")


class Both(NamedTuple):
    storage: Path
    said: str
    names: tuple[str, str] = ("both-ce-resnet8-digits", "both-ce-resnet20-digits")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    storage = tmp_path_factory.mktemp("both")
    words = [word for name in ASKED for word in ("--objective", name)]
    cells = ["ce", "--backbone", "resnet8", "--backbone", "resnet20", "--name", "both"]
    short = ["--trials", "4", "--epochs", "3", "--grace-period", "1"]
    return Both(storage, finish(start(storage, *cells, *short, *words)))


def test_every_epoch_tells_of_the_objectives_and_the_backbone_once(both: Both) -> None:
    for name, backbone in zip(both.names, ("resnet8", "resnet20"), strict=True):
        result = load_result(both.storage, name)
        network = build_backbone(backbone, 10, 1)
        assert result.sweep.costs["params"] == sum(p.numel() for p in network.parameters()) / 1e6
        assert set(result.sweep.costs) == {"params", "macs", "latency"}
        assert len(result.trials) == 4
        for trial, kept in zip(result.trials, journal(both.storage, name), strict=True):
            assert [*trial.told] == [*trial.curve] == [*range(1, trial.epoch + 1)]
            assert trial.told[trial.epoch]["ece"] == trial.metrics["val_ece"]
            values = values_of(result, trial)
            seconds = sum(told["train_seconds"] for told in trial.told.values())
            assert values[2] == pytest.approx(seconds)
            assert kept.intermediate_values == trial.curve
        assert result.default
        assert result.default.state == "completed"


def test_the_set_is_told_for_each_sweep_and_for_all_together(both: Both) -> None:
    results = [load_result(both.storage, name) for name in both.names]
    together = front(results)
    assert f"Pareto set: {len(together)} of" in both.said
    # The smaller backbone costs less, whatever it scores.
    assert any(member.sweep == 0 for member in together)
    for result in results:
        own = [member.trial.number for member in front([result])]
        found = SearchResult.load(result.sweep.name, both.storage).pareto
        assert found["trial"].tolist() == own
        assert found["objective.latency"].tolist() == [result.sweep.costs["latency"]] * len(own)
        page = (result.sweep.folder / "report.html").read_text()
        assert "<h2>Pareto set</h2>" in page
        assert page.count("<figure>\n<svg") >= len(ASKED)


def test_any_of_the_set_is_exported_as_it_is_said(both: Both) -> None:
    words = ["-m", "tuning.report", both.names[1], "--storage", str(both.storage)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    assert "Pareto set: " in done.stdout
    # Where the other one is the paper's default there is nothing to prove, and the line ends.
    export = r"python (-m tuning\.export \S.*? --trial (\d+) --storage \S+?);?(?:\s|$)"
    found = re.search(export, done.stdout)
    own = [m.trial for m in front([load_result(both.storage, both.names[1])])]
    if found is None:
        assert len(own) == 1
        return
    asked = subprocess.run(
        [sys.executable, *found[1].split()], capture_output=True, text=True, check=True
    )
    trial = next(trial for trial in own if trial.number == int(found[2]))
    assert f"lr: {trial.config['optimizer']['lr']}" in asked.stdout


def test_it_is_gone_on_with_by_the_same_objectives(both: Both) -> None:
    before = load_result(both.storage, both.names[0])
    said = finish(start(both.storage, "--resume", both.names[0], "--trials", "5"))
    after = load_result(both.storage, both.names[0])
    assert after.sweep.costs == before.sweep.costs
    assert [t.told for t in after.trials[:4]] == [t.told for t in before.trials]
    assert len(after.trials) == 5
    assert after.trials[4].told
    assert "Pareto set: " in said
    refused = start(both.storage, "--resume", both.names[0], "--objective", "ece")
    assert "A resumed sweep keeps its own objective; leave it away." in finish(refused, 2)
