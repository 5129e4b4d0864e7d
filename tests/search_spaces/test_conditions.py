"""Hyperparameters that are searched only where others have certain values."""

import random
from typing import Any

import pytest

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Choice, Domain, Range, RangeAbove, Space, load_space, searched

BASE = TrainConfig.paper("lsskd", "resnet8", "digits")
OPTIMIZERS: dict[str, Any] = {
    "optimizer.name": ["sgd", "adamw"],
    "momentum": {"low": 0.8, "high": 0.99, "when": {"optimizer.name": "sgd"}},
    "nesterov": {"choices": [True, False], "when": {"optimizer.name": ["sgd"]}},
    "dampened": {"low": 0.5, "high": 0.9, "step": 0.1, "when": {"nesterov": True}},
}
OPTIMIZERS["gamma"] = OPTIMIZERS.pop("dampened")


def lsskd(ranges: dict[str, Any], **fixed: str) -> Space:
    return load_space("lsskd", "resnet8", ranges=ranges, fixed=fixed, where="mine.yaml")


def pick(generator: random.Random):
    def picked(name: str, domain: Range | Choice) -> Any:
        if isinstance(domain, Choice):
            return generator.choice(domain.values)
        return domain.nearest(generator.uniform(domain.low, domain.high))

    return picked


def own(monkeypatch: pytest.MonkeyPatch, domains: dict[str, Domain]) -> None:
    """Let these be LSSKD's own domains."""
    monkeypatch.setattr("search_spaces.lsskd.domains", lambda stages: dict(domains))


# -- drawn and applied -----------------------------------------------------------------------


def test_what_hangs_on_what_is_not_searched_is_not_drawn_and_keeps_its_value():
    space, generator = lsskd(OPTIMIZERS), random.Random(0)
    counts = {True: 0, False: 0}
    for _ in range(300):
        values = space.draw(pick(generator))
        sgd = values["optimizer.name"] == "sgd"
        nesterov = bool(sgd and values["optimizer.nesterov"])
        assert ("optimizer.momentum" in values) == ("optimizer.nesterov" in values) == sgd
        assert ("kd.gamma" in values) == nesterov
        config = space.apply(BASE, values)
        if not sgd:
            assert config.optimizer.momentum == BASE.optimizer.momentum
        assert config.kd.gamma == (values["kd.gamma"] if nesterov else BASE.kd.gamma)
        flat = config.flat()
        for name in space.domains:
            assert searched(space.domains, name, flat) == (name in values)
        counts[nesterov] += 1
    assert min(counts.values()) > 50


def test_a_value_of_what_is_not_searched_counts_for_nothing():
    space = lsskd(OPTIMIZERS)
    values = space.draw(lambda name, domain: domain.corners()[-1])
    assert values["optimizer.name"] == "adamw"
    more = values | {"optimizer.momentum": 0.8, "optimizer.nesterov": True, "kd.gamma": 0.5}
    assert space.apply(BASE, more) == space.apply(BASE, values)


def test_more_than_one_value_and_more_than_one_condition():
    ranges = {
        "beta_schedule": ["cosine", "linear", "fixed"],
        "fusion": ["mixed", "add", "none"],
        "T": {"low": 2, "high": 8, "when": {"beta_schedule": ["cosine", "fixed"], "fusion": "add"}},
    }
    space = load_space("dtskd", "resnet8", ranges=ranges)
    seen = set()
    generator = random.Random(1)
    for _ in range(200):
        values = space.draw(pick(generator))
        both = values["kd.beta_schedule"], values["kd.fusion"]
        assert ("kd.temperature" in values) == (both in [("cosine", "add"), ("fixed", "add")])
        seen.add(both)
    assert len(seen) == 9


def test_numbers_that_equal_true_are_not_meant():
    ranges = {"nesterov": [True, False], "beta": {"low": 1, "high": 2, "when": {"nesterov": 1}}}
    with pytest.raises(UserError, match=r"no choice of optimizer.nesterov '1"):
        lsskd(ranges)


def test_a_file_may_name_them_in_any_order():
    ranges = dict(reversed(OPTIMIZERS.items()))
    names = list(lsskd(ranges).domains)
    order = ["optimizer.name", "optimizer.nesterov", "kd.gamma"]
    assert sorted(order, key=names.index) == order
    values = lsskd(ranges).draw(lambda name, domain: domain.corners()[0])
    assert values["kd.gamma"] == 0.5


def test_a_space_without_conditions_keeps_its_order():
    names = ["kd.alpha", "kd.alpha_schedule", "kd.beta", "kd.gamma", "kd.temperature"]
    assert list(load_space("lsskd", "resnet8").domains) == names
    assert [name for name, _ in load_space("dtskd", "resnet8").parameters()][:3] == [
        "kd.alpha", "kd.beta_min", "kd.beta_max.span",
    ]  # fmt: skip


# -- the default and the ends ----------------------------------------------------------------


def test_the_default_has_what_is_searched_beside_it():
    space = lsskd(OPTIMIZERS)
    values = space.default_values(BASE)
    assert values["optimizer.momentum"] == 0.9
    assert "kd.gamma" not in values, "the paper has no Nesterov momentum"
    assert space.apply(BASE, values) == BASE
    assert space.clipped(BASE) == []
    moved = TrainConfig.from_dict(
        {**BASE.to_dict(), "optimizer": {"nesterov": True, "momentum": 0.5}}
    )
    assert set(space.clipped(moved)) == {"optimizer.momentum", "kd.gamma"}
    assert space.apply(moved, space.default_values(moved)).kd.gamma == 0.5


def test_a_kept_value_may_lie_anywhere():
    ranges = {
        "alpha_schedule": ["linear", "constant"],
        "weight_decay": {"low": 1, "high": 2, "log": True, "when": {"alpha_schedule": "constant"}},
    }
    space = lsskd(ranges)
    assert space.apply(BASE, space.default_values(BASE)) == BASE
    assert space.clipped(BASE) == []


def test_the_ends_of_what_the_default_does_not_search_are_among_the_extremes():
    configs = list(lsskd(OPTIMIZERS).extremes(BASE))
    gammas = {(c.kd.gamma, c.optimizer.name, c.optimizer.nesterov) for c in configs}
    assert {(0.5, "sgd", True), (0.9, "sgd", True)} <= gammas
    assert {c.optimizer.name for c in configs} == {"sgd", "adamw"}
    assert configs[0] == BASE


def test_extremes_of_images_are_checked_under_their_condition():
    ranges = {
        "alpha_schedule": ["linear", "constant"],
        "augment.cutout": {"low": 0, "high": 900, "when": {"alpha_schedule": "constant"}},
    }
    assert max(c.augment.cutout for c in lsskd(ranges).extremes(BASE)) == 900


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"beta": {"low": 1, "high": 2, "when": "much"}}, "when: {NAME: VALUE}"),
        (
            {
                "alpha_schedule": ["linear", "constant"],
                "T": {"low": 1, "high": 1e13, "when": {"alpha_schedule": "constant"}},
            },
            "kd.temperature is 10000000000000.0; it must be at least 0.001",
        ),
        (
            {
                "momentum": [0, 0.5, 0.9],
                "nesterov": {"choices": [True, False], "when": {"momentum": [0, 0.9]}},
            },
            "nesterov is true, but momentum is 0",
        ),
    ],
)
def test_a_draw_that_could_not_be_is_refused_before(ranges, sentence):
    with pytest.raises(UserError) as error:
        lsskd(ranges)
    assert str(error.value).startswith("mine.yaml: ")
    assert sentence in str(error.value)


def test_two_values_that_are_never_drawn_together_need_not_fit():
    ranges = {
        "momentum": [0, 0.5, 0.9],
        "nesterov": {"choices": [True, False], "when": {"momentum": [0.5, 0.9]}},
    }
    space, generator = lsskd(ranges), random.Random(0)
    for _ in range(100):
        space.apply(BASE, space.draw(pick(generator)))


# -- beside --set and beside a method's own --------------------------------------------------


def test_a_methods_own_condition_is_decided_by_what_is_fixed(monkeypatch):
    when = {"kd.alpha_schedule": ("linear",)}
    own(
        monkeypatch,
        {
            "kd.gamma": Range(low=0.1, high=1, when={"kd.beta": (1, 2)}),
            "kd.alpha": Range(low=0.1, high=0.9),
            "kd.beta": Choice((1, 2, 3), when=when),
            "kd.alpha_schedule": Choice(("linear", "constant")),
        },
    )
    assert load_space("lsskd", "resnet8").domains["kd.beta"].when == when
    always = load_space("lsskd", "resnet8", fixed={"alpha_schedule": "linear"}).domains
    assert always["kd.beta"].when == {}
    assert always["kd.gamma"].when == {"kd.beta": (1, 2)}
    never = load_space("lsskd", "resnet8", fixed={"alpha_schedule": "constant"}).domains
    assert list(never) == ["kd.alpha"]
    fixed = load_space("lsskd", "resnet8", fixed={"beta": "2.0"}).domains
    assert fixed["kd.gamma"].when == {}
    ranges = {"beta": {"low": 1, "high": 2}}
    with pytest.raises(UserError, match=r"but kd.beta is searched in a range"):
        load_space("lsskd", "resnet8", ranges=ranges)
    other = load_space("lsskd", "resnet8", ranges={"beta": [3]}).domains
    assert "kd.gamma" not in other


def test_a_new_range_stays_conditional_until_that_is_ended(monkeypatch):
    when = {"kd.alpha_schedule": ("linear",)}
    own(
        monkeypatch,
        {
            "kd.alpha_schedule": Choice(("linear", "constant")),
            "kd.gamma": Range(low=0.1, high=1, when=when),
        },
    )

    def gamma(spec: Any) -> Domain:
        return load_space("lsskd", "resnet8", ranges={"gamma": spec}).domains["kd.gamma"]

    assert gamma({"low": 0.2, "high": 0.3}) == Range(low=0.2, high=0.3, when=when)
    assert gamma([0.1, 0.2, 0.3]) == Choice((0.1, 0.2, 0.3), when=when)
    assert gamma({"low": 0.2, "high": 0.3, "when": {}}) == Range(low=0.2, high=0.3)
    assert gamma({"when": {"alpha_schedule": "constant"}}) == Range(
        low=0.1, high=1, when={"kd.alpha_schedule": ("constant",)}
    )


def test_a_condition_on_an_element_of_a_fixed_list_is_decided(monkeypatch):
    branch = {"kd.lambda_b.1": (1.0,)}
    domains = {
        "kd.alpha": Range(low=0, high=1),
        "kd.temperature": Range(low=1, high=2, when=branch),
    }
    monkeypatch.setattr("search_spaces.dtskd.domains", lambda stages: domains)
    for text, there in [("[3, 1, 1]", True), ("[3, 2, 1]", False)]:
        space = load_space("dtskd", "resnet8", fixed={"lambda_b": text})
        assert ("kd.temperature" in space.domains) == there


def test_a_child_that_is_fixed_needs_no_condition():
    ranges = {"T": {"low": 1, "high": 8, "when": {"alpha_schedule": "linear"}}}
    space = lsskd(ranges, T="4", alpha_schedule="constant")
    assert "kd.temperature" not in space.domains


# -- a range above another one ---------------------------------------------------------------


@pytest.mark.parametrize("conditional", ["beta_min", "beta_max"])
def test_one_end_of_beta_may_be_conditional(conditional):
    base = TrainConfig.paper("dtskd", "resnet8", "digits")
    ranges = {
        "fusion": ["mixed", "add", "none"],
        conditional: {"when": {"fusion": ["add", "none"]}},
    }
    space, generator = load_space("dtskd", "resnet8", ranges=ranges), random.Random(4)
    assert isinstance(space.domains["kd.beta_max"], RangeAbove)
    kept = 0
    for _ in range(300):
        values = space.draw(pick(generator))
        kd = space.apply(base, values).kd
        assert kd.beta_min <= kd.beta_max
        if kd.fusion == "mixed":
            assert getattr(kd, conditional) == getattr(base.kd, conditional)
            kept += 1
    assert kept > 50
    assert len(list(space.extremes(base))) == 1 + sum(
        len(d.corners()) for _, d in space.parameters()
    )


def test_a_kept_end_of_beta_that_would_cross_the_other_is_refused():
    ranges = {
        "fusion": ["mixed", "none"],
        "beta_min": {"low": 0.5, "high": 0.95},
        "beta_max": {"low": 0.6, "high": 1, "when": {"fusion": "none"}},
    }
    with pytest.raises(UserError, match=r"kd.beta_max is 0.9, below kd.beta_min, 0.95"):
        load_space("dtskd", "resnet8", ranges=ranges)


# -- said ------------------------------------------------------------------------------------


def test_steps_and_conditions_are_described_in_plain_words():
    assert {
        "optimizer.name: sgd | adamw",
        "optimizer.momentum: 0.8 … 0.99, only where optimizer.name is sgd, else the paper's",
        "optimizer.nesterov: true | false, only where optimizer.name is sgd, else the paper's",
        "kd.gamma: 0.5 … 0.9 in steps of 0.1, only where optimizer.nesterov is true, else the "
        "paper's",
    } <= set(lsskd(OPTIMIZERS).describe())


def test_many_conditions_are_decided_in_no_time():
    names = [f"kd.lambda_b.{b}" for b in range(4)]
    spec = list(range(1, 60))
    ranges: dict[str, Any] = {names[0]: {"choices": spec}}
    for name, other in zip(names[1:], names, strict=False):
        ranges[name] = {"choices": spec, "when": {other: spec[1:]}}
    space = load_space("dtskd", "resnet18", ranges=ranges)
    assert space.reaching({names[3]: 7}) == {names[3]: 7, **dict.fromkeys(names[:3], 2)}
