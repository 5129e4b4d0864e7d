"""Every method's search space, and what a person may type to change it."""

import random
import subprocess
import sys
from typing import Any

import pytest
from families import BY_STAGES

from kd.backbones import backbone_names, backbone_spec
from kd.config import TrainConfig
from kd.errors import UserError
from kd.methods import config_class, method_names
from search_spaces import Choice, Range, RangeAbove, Space, load_space
from search_spaces._names import resolve


def draw(space: Space, generator: random.Random) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, domain in space.parameters():
        if isinstance(domain, Choice):
            values[name] = generator.choice(domain.values)
        else:
            values[name] = generator.choice(
                [*domain.corners(), generator.uniform(*domain.corners())]
            )
    return values


@pytest.fixture
def paper() -> TrainConfig:
    return TrainConfig.paper("dtskd", "resnet8", "digits")


@pytest.mark.parametrize("method", method_names())
@pytest.mark.parametrize("optimizer", [False, True])
def test_the_papers_default_comes_back_exactly(method, optimizer):
    for backbone in backbone_names():
        base = TrainConfig.paper(method, backbone, "cifar100")
        space = load_space(method, backbone, optimizer=optimizer)
        assert space.apply(base, space.default_values(base)) == base
        assert space.clipped(base) == []


@pytest.mark.parametrize("dataset", ["cifar100", "imagenet", "tiny-imagenet"])
@pytest.mark.parametrize("method", method_names())
def test_the_space_holds_what_the_papers_publish(method, dataset):
    for backbone in backbone_names():
        kd = config_class(method).paper(backbone, dataset)
        base = TrainConfig(method=method, backbone=backbone, dataset=dataset, epochs=1, kd=kd)
        assert load_space(method, backbone).clipped(base) == []


# Typed from the papers and their public code: section 2 of the comparison, DTSKD's section 4.1
# and tables 9 to 11, DR-KD's table I. What is lost, LSSKD's, is this project's own.
PUBLISHED: dict[str, dict[str, list[Any]]] = {
    "ce": {"kd.label_smoothing": [0.0, 0.1]},
    # Their multipliers are the weights k over α = 1 − c, k up to 20 beside c 0.1.
    "kd": {
        "kd.alpha": [0.5, 0.9],
        "kd.temperature": [1.0, 2.0, 3.0, 4.0, 10.0],
        "kd.multiplier": [1.0, 10.0, 12 / 0.9, 20 / 0.9],
    },
    "dkd": {
        "kd.alpha": [1.0, 9.0, 18.0],
        "kd.beta": [0.5, 2.0, 6.0, 8.0, 36.0, 72.0, 144.0],
        "kd.temperature": [1.0, 2.0, 4.0],
    },
    "rld": {
        "kd.alpha": [1.0, 9.0],
        "kd.beta": [0.5, 2.0, 8.0, 72.0],
        "kd.temperature": [1.0, 2.0, 4.0],
        "kd.alpha_temperature": [1.0, 2.0, 4.0],
    },
    "nkd": {"kd.gamma": [1.0, 1.5, 3.5], "kd.temperature": [1.0, 3.0]},
    "dist": {"kd.beta": [1.0, 2.0], "kd.gamma": [1.0, 2.0], "kd.temperature": [1.0, 4.0]},
    "ttm": {"kd.gamma": [0.1, 0.25, 1.0], "kd.beta": [1.0, 45.0]},
    "wttm": {"kd.gamma": [0.1, 0.2], "kd.beta": [4.0]},
    "ctkd": {
        "kd.ce_weight": [0.1, 1.0],
        "kd.kd_weight": [0.9, 1.0, 9.0],
        "kd.lowest_temperature": [1.0],
        "kd.temperature_range": [20.0],
    },
    "mlkd": {
        "kd.ce_weight": [0.1, 0.5],
        "kd.kd_weight": [0.5, 0.9, 6.0, 9.0],
        "kd.temperature": [1.0, 2.0, 4.0],
    },
    "wkd_l": {
        "kd.gamma": [25.0, 30.0, 200.0, 600.0],
        "kd.temperature": [2.0, 6.0, 8.0],
        "kd.sharpness": [1.0, 2.0],
    },
    "uskd": {"kd.alpha": [0.1, 1.0], "kd.beta": [0.1], "kd.mu": [0.005, 0.1]},
    "crd": {
        "kd.beta": [0.8],
        "kd.contrast_temperature": [0.07],
        "kd.kd_weight": [0.0, 1.0],
        "kd.temperature": [4.0],
    },
    "semckd": {"kd.beta": [50.0, 400.0], "kd.kd_weight": [1.0], "kd.temperature": [4.0]},
    "ban": {"kd.label_weight": [0.0, 1.0]},
    # Its published values were not at hand: those of the configuration.
    "sd": {"kd.kd_weight": [1.0], "kd.temperature": [2.0]},
    "byot": {"kd.alpha": [0.1], "kd.beta": [1e-6], "kd.temperature": [3.0]},
    "dks": {"kd.beta": [1.0], "kd.temperature": [1.0, 4.0]},
    "frskd": {"kd.alpha": [2.0], "kd.beta": [100.0], "kd.temperature": [4.0]},
    "ddgsd": {
        "kd.ce_weight": [0.5, 1.0],
        "kd.beta": [1.0],
        "kd.mu": [5e-4],
        "kd.temperature": [4.0],
    },
    "mixskd": {
        "kd.mixup_alpha": [0.1, 0.4],
        "kd.mixed_label_weight": [1.0],
        "kd.kd_weight": [1.0],
        "kd.feature_weight": [1.0],
        "kd.discriminator_weight": [1.0],
        "kd.temperature": [3.0],
    },
    "pskd": {"kd.alpha": [0.8]},
    "drkd": {"kd.alpha": [0.10, 0.15, 0.40, 0.95], "kd.temperature": [6.0, 20.0]},
    "lsskd": {
        "kd.alpha": [0.8],
        "kd.alpha_schedule": ["linear", "constant"],
        "kd.beta": [1.0],
        "kd.gamma": [0.05],
        "kd.temperature": [3.0],
    },
    "dtskd": {
        "kd.alpha": [0.2, 0.4, 0.6, 0.8, 0.9],
        "kd.beta_min": [0.0, 0.5, 0.8],
        "kd.beta_max": [0.6, 0.9, 1.0],
        "kd.lambda_b.0": [3.0, 4.0],
        "kd.lambda_b.1": [1.0],
        "kd.lambda_b.2": [1.0],
        "kd.temperature": [4.0],
    },
}
OPTIMIZER = {"optimizer.lr": [0.01, 0.05, 0.1], "optimizer.weight_decay": [1e-4, 5e-4]}


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_ranges_hold_the_published_numbers(method):
    space = load_space(method, "resnet8", optimizer=True)
    published = PUBLISHED[method] | OPTIMIZER
    assert set(space.domains) == set(published)
    for name, values in published.items():
        assert [space.domains[name].nearest(value) for value in values] == values, name


@pytest.mark.parametrize("backbone", BY_STAGES)
@pytest.mark.parametrize("method", method_names())
def test_every_draw_is_a_valid_configuration(method, backbone):
    base = TrainConfig.paper(method, backbone, "digits")
    space = load_space(method, backbone, optimizer=True)
    generator = random.Random(0)
    for _ in range(100):
        values = draw(space, generator)
        config = space.apply(base, values)
        flat = config.flat()
        for name, domain in space.domains.items():
            if not isinstance(domain, RangeAbove):
                assert flat[name] == values[name]
        assert TrainConfig.from_dict(config.to_dict()) == config


def test_beta_max_covers_all_that_beta_min_leaves(paper):
    space = load_space("dtskd", "resnet8")
    defaults = space.default_values(paper)
    for beta_min, span, beta_max in [
        (0.0, 0.0, 0.6),
        (0.0, 1.0, 1.0),
        (0.8, 0.0, 0.8),
        (0.7, 0.5, 0.85),
    ]:
        values = {**defaults, "kd.beta_min": beta_min, "kd.beta_max.span": span}
        config = space.apply(paper, values)
        assert (config.kd.beta_min, config.kd.beta_max) == (beta_min, beta_max)
        assert space.default_values(config) == pytest.approx(values)


@pytest.mark.parametrize("backbone", backbone_names())
def test_one_weight_for_every_branch(backbone):
    names = [n for n in load_space("dtskd", backbone).domains if n.startswith("kd.lambda_b.")]
    assert names == [f"kd.lambda_b.{b}" for b in range(backbone_spec(backbone).stages)]


# -- --set -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "typed", "name", "value"),
    [
        ("lsskd", "alpha=0.8", "kd.alpha", 0.8),
        ("lsskd", "kd.alpha=1", "kd.alpha", 1.0),
        ("lsskd", "tau=4", "kd.temperature", 4.0),
        ("drkd", "T=1e1", "kd.temperature", 10.0),
        ("lsskd", "gamma=1e-3", "kd.gamma", 0.001),
        ("kd", "gamma=0.2", "optimizer.gamma", 0.2),
        ("lsskd", "lr=0.01", "optimizer.lr", 0.01),
        ("lsskd", "nesterov=true", "optimizer.nesterov", True),
        ("lsskd", "batch_size=32", "batch_size", 32),
        ("lsskd", "feature_target=deepest", "kd.feature_target", "deepest"),
        ("dtskd", "lambda_b.1=2", "kd.lambda_b.1", 2.0),
        ("dtskd", "λ.0=4", "kd.lambda_b.0", 4.0),
    ],
)
def test_set_fixes_one_value(method, typed, name, value):
    key, _, text = typed.partition("=")
    base = TrainConfig.paper(method, "resnet8", "digits")
    space = load_space(method, "resnet8", optimizer=True, fixed={key: text})
    assert name not in space.domains
    config = space.apply(base, draw(space, random.Random(1)))
    assert config.flat()[name] == value
    assert type(config.flat()[name]) is type(value)


def test_a_fixed_value_may_lie_outside_the_range(paper):
    space = load_space("dtskd", "resnet8", fixed={"temperature": "50"})
    assert space.apply(paper, space.default_values(paper)).kd.temperature == 50


def test_a_whole_tuple_is_fixed(paper):
    space = load_space("dtskd", "resnet8", fixed={"lambda_b": "[4, 2, 1]"})
    assert not any(name.startswith("kd.lambda_b") for name in space.domains)
    assert space.apply(paper, space.default_values(paper)).kd.lambda_b == (4, 2, 1)


@pytest.mark.parametrize(
    "fixed", [{"beta_max": "0.3"}, {"beta_min": "0.95"}, {"beta_max": "0"}, {"beta_min": "1"}]
)
def test_fixing_one_end_of_beta_keeps_every_draw_valid(paper, fixed):
    space = load_space("dtskd", "resnet8", fixed=fixed)
    generator = random.Random(2)
    for values in [space.default_values(paper), *(draw(space, generator) for _ in range(100))]:
        kd = space.apply(paper, values).kd
        assert kd.beta_min <= kd.beta_max


@pytest.mark.parametrize(
    ("method", "fixed", "sentence"),
    [
        ("lsskd", {"alpa": "1"}, "no hyperparameter 'alpa'; did you mean 'kd.alpha'"),
        ("lsskd", {"alpha": "high"}, "--set: kd.alpha is 'high'"),
        ("lsskd", {"alpha": "3"}, "kd.alpha is 3.0; it must be at least 0 and at most 1"),
        ("lsskd", {"alpha": "nan"}, "kd.alpha is nan"),
        ("lsskd", {"temperature": ".inf"}, "kd.temperature is inf"),
        ("lsskd", {"weight_decay": "nan"}, "weight_decay is nan"),
        ("lsskd", {"alpha": "true"}, "--set: kd.alpha is true, but it must be a number"),
        ("lsskd", {"alpha": "null"}, "--set: kd.alpha is empty"),
        ("lsskd", {"alpha": "2020-13-45"}, "--set: kd.alpha is '2020-13-45'"),
        ("lsskd", {"alpha": "!!int x"}, "--set: kd.alpha is '!!int x'"),
        ("lsskd", {"beta": "9" * 5000}, "kd.beta is inf"),
        ("dtskd", {"momentum": "0"}, "nesterov is true, but momentum is 0"),
        ("lsskd", {"alpha_schedule": "cubic"}, "'linear' or 'constant'"),
        ("lsskd", {"batch_size": "many"}, "batch_size is 'many'"),
        ("lsskd", {"alpha": "[0.1"}, "kd.alpha is '[0.1'"),
        ("lsskd", {"seed": "1"}, "no hyperparameter 'seed'"),
        ("lsskd", {"alpha": "0.5", "kd.alpha": "0.6"}, "gives kd.alpha twice"),
        ("pskd", {"alpha": "0.5"}, "nothing is left to search"),
        ("dtskd", {"lambda_b": "[1, 2]"}, "needs 3 values on resnet8"),
        ("dtskd", {"lambda_b": "3"}, "needs 3 values on resnet8"),
        ("dtskd", {"lambda_b.3": "1"}, "no hyperparameter 'lambda_b.3'"),
        ("dtskd", {"beta_min": "low"}, "'low' is none"),
        ("dtskd", {"beta_min": "9" * 400}, "must be numbers"),
        ("dtskd", {"beta_min": "0.9", "beta_max": "0.5"}, "must not be below kd.beta_min"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(method, fixed, sentence):
    with pytest.raises(UserError) as error:
        load_space(method, "resnet8", fixed=fixed)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_name_in_two_sections_is_the_searched_one_or_must_be_typed_in_full():
    settable = ["kd.gamma", "optimizer.gamma"]
    assert resolve("gamma", ["kd.gamma"], settable) == "kd.gamma"
    with pytest.raises(UserError, match=r"'gamma' may be kd.gamma or optimizer.gamma"):
        resolve("gamma", ["kd.alpha"], settable)


# -- --space ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranges", "name", "domain"),
    [
        ({"alpha": {"low": 0.2, "high": 0.9}}, "kd.alpha", Range(low=0.2, high=0.9)),
        (
            {"T": {"low": 2, "high": 5, "log": True}},
            "kd.temperature",
            Range(low=2, high=5, log=True),
        ),
        (
            {"temperature": {"low": 2, "high": 5, "log": False}},
            "kd.temperature",
            Range(low=2, high=5),
        ),
        ({"schedule": ["step", "cosine"]}, "optimizer.schedule", Choice(("step", "cosine"))),
        ({"beta": {"choices": [1, 2]}}, "kd.beta", Choice((1, 2))),
        ({"beta": [1, 2, 4]}, "kd.beta", Choice((1, 2, 4))),
        ({"wd": {"choices": ["1e-5", 0]}}, "optimizer.weight_decay", Choice((1e-5, 0))),
        (
            {"wd": {"low": "1e-5", "high": "1e-3"}},
            "optimizer.weight_decay",
            Range(low=1e-5, high=1e-3),
        ),
        (
            {"batch_size": {"low": 32, "high": 128}},
            "batch_size",
            Range(low=32, high=128, integer=True),
        ),
        ({"batch_size": [32]}, "batch_size", Choice((32,))),
        ({"nesterov": [True, False]}, "optimizer.nesterov", Choice((True, False))),
    ],
)
def test_a_file_replaces_or_adds_a_range(ranges, name, domain):
    space = load_space("lsskd", "resnet8", ranges=ranges, where="mine.yaml")
    assert space.domains[name] == domain


def test_weights_that_are_never_all_0_may_be_0():
    ranges = {"lambda_b.1": [0, 1, 3], "lambda_b.2": {"choices": [0, 1]}}
    space = load_space("dtskd", "resnet8", ranges=ranges, where="mine.yaml")
    assert space.domains["kd.lambda_b.1"] == Choice((0, 1, 3))


def test_every_milestone_of_the_method_may_be_searched():
    ranges = {"milestones.2": {"low": 0.8, "high": 0.95}}
    space = load_space("kd", "resnet8", ranges=ranges, where="mine.yaml")
    base = TrainConfig.paper("kd", "resnet8", "digits")
    assert space.apply(base, space.default_values(base)) == base


def test_a_range_for_a_tuple_holds_for_each_element():
    space = load_space("dtskd", "resnet8", ranges={"lambda_b": {"low": 0.5, "high": 2}})
    assert [space.domains[f"kd.lambda_b.{b}"].corners() for b in range(3)] == [(0.5, 2)] * 3


def test_a_new_range_of_beta_max_stays_above_beta_min(paper):
    space = load_space("dtskd", "resnet8", ranges={"beta_max": {"low": 0.2, "high": 0.4}})
    generator = random.Random(3)
    for _ in range(200):
        kd = space.apply(paper, draw(space, generator)).kd
        assert 0.2 <= kd.beta_max <= 0.4
        assert kd.beta_min <= kd.beta_max


def test_a_default_outside_the_range_moves_to_the_nearest_value():
    base = TrainConfig.paper("lsskd", "resnet8", "digits")
    ranges = {"alpha": {"low": 0.1, "high": 0.5}, "alpha_schedule": ["constant"]}
    space = load_space("lsskd", "resnet8", ranges=ranges, where="mine.yaml")
    assert space.clipped(base) == ["kd.alpha", "kd.alpha_schedule"]
    config = space.apply(base, space.default_values(base))
    assert (config.kd.alpha, config.kd.alpha_schedule) == (0.5, "constant")


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"alpha": {"low": 0.9, "high": 0.2}}, "kd.alpha goes from 0.9 to 0.2"),
        ({"alpha": {"low": 0.2, "high": 0.2}}, "kd.alpha goes from 0.2 to 0.2"),
        (
            {"alpha": {"low": 0.2, "high": 1.5}},
            "kd.alpha is 1.5; it must be at least 0 and at most 1",
        ),
        ({"alpha": {"low": -1, "high": 0.5}}, "kd.alpha is -1.0; it must be at least 0"),
        ({"alpha": ["a", "b"]}, "kd.alpha is 'a', but it must be a number"),
        ({"alpha": [0.1, float("inf")]}, "kd.alpha is inf"),
        ({"alpha": 0.5}, "kd.alpha is 0.5; give a range"),
        ({"alpha": None}, "kd.alpha is None; give a range"),
        ({"alpha": {"choices": []}}, "give a list of at least one"),
        ({"alpha": {"low": 0.1}}, "high None"),
        ({"alpha": {"low": 0.1, "high": "much"}}, "high 'much'"),
        ({"alpha": {"low": 0.1, "hihg": 1}}, "no key 'hihg'; did you mean 'high'"),
        ({"temperature": {"low": 0, "high": 9, "log": True}}, "logarithmic from 0"),
        ({"temperatur": [1, 2]}, "did you mean 'kd.temperature'"),
        ({3: [1, 2]}, "no hyperparameter '3'"),
        ({"batch_size": {"low": 0.5, "high": 3}}, "batch_size is 0.5"),
        ({"beta_max": {"low": 0.6, "high": 1, "log": True}}, "drop log"),
        ({"beta_max": {"choices": [0.6, 1]}}, "give a range, no choices"),
        ({"beta_min": {"choices": [0, 0.5]}}, "kd.beta_min must be a range"),
        (
            {"beta_max": {"low": 0.2, "high": 0.4}, "beta_min": {"low": 0.5, "high": 0.9}},
            "must not be below kd.beta_min",
        ),
        ({"temperature": [1, 10**400]}, "but it must be a number"),
        ({"temperature": {"low": 1, "high": 10**400}}, "write a number, a larger number"),
        ({"alpha": [True, False]}, "kd.alpha is true, but it must be a number"),
        ({"lambda_b": {"choices": [0, 1]}}, "kd.lambda_b is [0.0, 0.0, 0.0]"),
        ({"lambda_b": [3, 1, 0]}, "kd.lambda_b is [0.0, 0.0, 0.0]"),
        (
            {"momentum": {"choices": [0, 0.9]}, "nesterov": [False, True]},
            "nesterov is true, but momentum is 0",
        ),
        (
            {
                "milestones.0": {"low": 0.2, "high": 0.74},
                "milestones.1": {"low": 0.7, "high": 0.9},
            },
            "milestones are [0.74, 0.7]",
        ),
    ],
)
def test_a_wrong_range_is_refused_in_one_sentence_that_names_the_file(ranges, sentence):
    with pytest.raises(UserError) as error:
        load_space("dtskd", "resnet8", ranges=ranges, where="mine.yaml")
    assert str(error.value).startswith("mine.yaml: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_description_names_everything_that_varies_or_is_fixed():
    lines = load_space("dtskd", "resnet8", fixed={"alpha": "0.4"}).describe()
    assert "kd.temperature: 1 … 10 (log)" in lines
    assert "kd.beta_max: 0.6 … 1, from kd.beta_min on" in lines
    assert "kd.alpha = 0.4" in lines


def test_no_torch_and_no_optuna_are_imported():
    code = (
        "import sys; from search_spaces import load_space; load_space('dtskd', 'resnet18');"
        "print([m for m in ('torch', 'optuna', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
