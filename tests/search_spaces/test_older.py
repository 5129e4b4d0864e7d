"""Lists of two numbers: refused now, and what they meant in sweeps that began before."""

import re
from pathlib import Path

import pytest
import yaml

from kd.errors import UserError
from search_spaces import Choice, Range, RangeAbove, load_space, written_out
from tuning.records.presets import setting
from tuning.records.settings import SweepSettings

# What `load_space` made of them before.
BEFORE = [
    ("lsskd", "alpha", [0.2, 0.9], {"kd.alpha": Range(low=0.2, high=0.9)}),
    ("lsskd", "T", [2, 5], {"kd.temperature": Range(low=2, high=5, log=True)}),
    ("lsskd", "beta", [0, 5], {"kd.beta": Range(low=0, high=5)}),
    ("lsskd", "wd", ["1e-5", "1e-3"], {"optimizer.weight_decay": Range(low=1e-5, high=1e-3)}),
    ("lsskd", "batch_size", [32, 128], {"batch_size": Range(low=32, high=128, integer=True)}),
    ("lsskd", "beta", [1, 2, 4], {"kd.beta": Choice((1, 2, 4))}),
    ("lsskd", "nesterov", [True, False], {"optimizer.nesterov": Choice((True, False))}),
    ("lsskd", "schedule", ["step", "cosine"], {"optimizer.schedule": Choice(("step", "cosine"))}),
    ("lsskd", "beta", {"low": 1, "high": 2}, {"kd.beta": Range(low=1, high=2)}),
    ("lsskd", "beta", {"choices": [1, 2]}, {"kd.beta": Choice((1, 2))}),
    (
        "dtskd",
        "beta_max",
        [0.7, 0.9],
        {"kd.beta_max": RangeAbove(low=0.7, high=0.9, other="kd.beta_min")},
    ),
    (
        "dtskd",
        "lambda_b",
        [0.5, 2],
        {f"kd.lambda_b.{b}": Range(low=0.5, high=2, log=True) for b in range(3)},
    ),
]


def old_sweep(storage: Path, method: str, ranges: dict, **changes: object) -> None:
    """The folder of a sweep as the version before wrote it."""
    base = setting("laptop", method).base
    settings = SweepSettings(name="old", base=base, trials=3, storage=storage, **changes)
    settings.save()
    path = settings.folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"ranges": ranges}))


@pytest.mark.parametrize(("method", "name", "spec", "domains"), BEFORE)
def test_a_sweep_of_before_goes_on_with_what_its_ranges_meant(
    method, name, spec, domains, tmp_path
):
    old_sweep(tmp_path, method, {name: spec})
    settings = SweepSettings.load(tmp_path, "old")
    found = settings.space().domains
    assert {leaf: found[leaf] for leaf in domains} == domains
    settings.save()
    again = SweepSettings.load(tmp_path, "old")
    assert again == settings
    assert again.space() == settings.space()
    load_space(method, "resnet8", ranges=again.ranges)


def test_the_scale_of_a_searched_optimizer_stays(tmp_path):
    old_sweep(tmp_path, "lsskd", {"lr": [0.01, 0.1]}, search_optimizer=True)
    space = SweepSettings.load(tmp_path, "old").space()
    assert space.domains["optimizer.lr"] == Range(low=0.01, high=0.1, log=True)


def test_what_cannot_be_read_any_more_is_left_as_it_is():
    ranges = {"gone": [1, 2], "alpha": [0.1, 0.5], "beta": "much"}
    found = written_out(ranges, "lsskd", "resnet8", optimizer=False)
    assert found == ranges | {"alpha": {"low": 0.1, "high": 0.5, "log": False}}


@pytest.mark.parametrize("spec", [[0.1, 0.5], ["1e-1", "5e-1"], [1, 0], [0.5, 0.5]])
def test_a_list_of_two_numbers_is_refused_with_the_ways_to_write_it(spec):
    with pytest.raises(UserError, match=r"^mine\.yaml: kd\.alpha is \[") as error:
        load_space("lsskd", "resnet8", ranges={"alpha": spec}, where="mine.yaml")
    forms = re.findall(r"\{[^}]*\}", str(error.value))
    assert len(forms) == (1 if spec[0] == spec[1] else 2)
    for form in forms:
        assert load_space("lsskd", "resnet8", ranges={"alpha": yaml.safe_load(form)})


@pytest.mark.parametrize(
    ("name", "spec"), [("beta_max", [0.6, 1]), ("beta_min", [0, 0.5]), ("temperature", [1, 8])]
)
def test_each_way_that_is_offered_is_taken(name, spec):
    with pytest.raises(UserError) as error:
        load_space("dtskd", "resnet8", ranges={name: spec})
    forms = [yaml.safe_load(form) for form in re.findall(r"\{[^}]*\}", str(error.value))]
    for form in forms:
        load_space("dtskd", "resnet8", ranges={name: form})
    as_before = written_out({name: spec}, "dtskd", "resnet8", optimizer=False)[name]
    assert {"log": False} | forms[0] == as_before


@pytest.mark.parametrize("spec", [[0.5], [0.1, 0.5, 0.9], [0.1, 0.2, 0.3, 0.4]])
def test_any_other_list_is_choices(spec):
    space = load_space("lsskd", "resnet8", ranges={"alpha": spec})
    assert space.domains["kd.alpha"] == Choice(tuple(spec))


def test_a_sweep_of_before_searches_what_it_searched(tmp_path):
    """KD had no multiplier: a sweep without one goes on without one, as often as it is kept."""
    settings = SweepSettings(
        name="old", base=setting("laptop", "kd").base, trials=3, storage=tmp_path
    )
    settings.save()
    path = settings.folder / "sweep.yaml"
    plain = yaml.safe_load(path.read_text())
    assert "kd.multiplier" in SweepSettings.load(tmp_path, "old").space().domains
    plain["base"]["kd"] = {"alpha": 0.9, "temperature": 4.0}
    path.write_text(yaml.safe_dump(plain))
    for _ in range(2):
        settings = SweepSettings.load(tmp_path, "old")
        space = settings.space()
        assert list(space.domains) == ["kd.alpha", "kd.temperature"]
        assert space.domains["kd.alpha"] == Range(low=0.05, high=0.99)
        kd = space.apply(settings.base, {"kd.alpha": 0.8, "kd.temperature": 2.0}).kd
        assert kd.weights == pytest.approx((0.2, 0.8))
        settings.save()
