"""An ablation's rows as a space, and every file of them that is shipped."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kd.config import TrainConfig
from kd.errors import UserError
from search_spaces import Choice, load_rows
from tuning.records.ablation import Ablation
from tuning.study.grid import ordered
from tuning.study.sampling import SAMPLERS, Sampling

SHIPPED = sorted((Path(__file__).parents[2] / "search_spaces" / "ablations").iterdir())
DTSKD = TrainConfig.paper("dtskd", "resnet8", "digits", epochs=9)
KD = TrainConfig.paper("kd", "resnet8", "digits", epochs=9)
ROWS: dict[str, Any] = {
    "structural alone": {"beta_max": 1, "kd.beta_min": 1},
    "one branch": {"lambda_b": [3, 0, "0"]},
    "no fusion": {"fusion": "none", "lr": "1e-2"},
}


def test_a_row_differs_from_the_default_in_what_it_names_alone() -> None:
    space = load_rows(DTSKD, ROWS)
    assert space.rows == {
        "structural alone": {"kd.beta_max": 1.0, "kd.beta_min": 1.0},
        "one branch": {"kd.lambda_b.1": 0.0, "kd.lambda_b.2": 0.0},
        "no fusion": {"kd.fusion": "none", "optimizer.lr": 0.01},
    }
    default, *configs = space.extremes(DTSKD)
    assert default == DTSKD
    for config, row in zip(configs, space.rows.values(), strict=True):
        flat = DTSKD.flat()
        assert config.flat() == flat | row
    assert space.domains["kd.fusion"] == Choice(("mixed", "none"))
    assert [space.label(n) for n in (0, 1, 3, 4)] == ["", "structural alone", "no fusion", ""]
    assert "one branch: kd.lambda_b.1 = 0.0, kd.lambda_b.2 = 0.0" in space.describe()


def test_what_no_row_names_may_be_fixed() -> None:
    space = load_rows(DTSKD, ROWS, fixed={"temperature": "2"})
    for config in space.extremes(DTSKD):
        assert config.flat()["kd.temperature"] == 2.0
    with pytest.raises(
        UserError, match=r"row 'one branch': --set gives kd.lambda_b, which the row"
    ):
        load_rows(DTSKD, ROWS, fixed={"lambda_b.0": "1"})


def test_rows_of_what_has_no_value_in_the_paper() -> None:
    space = load_rows(KD, {"free": {"ce_weight": 0.5}, "standardised": {"standardise": True}})
    assert space.domains["kd.ce_weight"] == Choice((None, 0.5))
    assert [c.flat()["kd.ce_weight"] for c in space.extremes(KD)] == [None, 0.5, None]


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_sampler_draws_anything_beside_them(name: str) -> None:
    import optuna

    space = load_rows(DTSKD, ROWS)
    sampling = Sampling(space, DTSKD, None, 3, name)
    assert sampling.trials == 4
    study, configs = optuna.create_study(direction="maximize"), list[TrainConfig]()
    study.enqueue_trial(sampling.first[0])
    for number in range(4):
        study.sampler = sampling.after([config.to_dict() for config in configs])
        trial = study.ask()
        configs.append(sampling.draw(trial))
        study.tell(trial, float(number))
    expected = list(space.extremes(DTSKD))
    if name == "grid":
        assert configs == expected
    assert all(config in expected for config in configs)
    assert all(configs.count(config) == 1 for config in expected)


def test_they_keep_their_order_whatever_the_seed() -> None:
    space = load_rows(DTSKD, ROWS)
    for seed in range(4):
        points = ordered(space, DTSKD, seed)
        assert points == [space.default_values(DTSKD), *space.listed(DTSKD)]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({}, "f has no rows"),
        ({"a": {"alhpa": 1}}, "f, row 'a': There is no hyperparameter 'alhpa'; did you mean"),
        ({"a": {"alpha": 7}}, "f, row 'a': kd.alpha is 7.0; it must be at least 0 and at most 1"),
        ({"a": {"alpha": "much"}}, "f, row 'a': kd.alpha is 'much', but it must be a number"),
        ({"a": {"beta_min": 0.95}}, "f, row 'a': kd.beta_max is 0.9, below kd.beta_min"),
        ({"a": {"alpha": 0.2}}, "f, row 'a' is the default"),
        ({"a": {"alpha": 1}, "b": {"α": 1.0}}, "f, row 'b' is the same as row 'a'"),
        ({"a": {"alpha": 1, "kd.alpha": 0.5}}, "f, row 'a': kd.alpha is there twice"),
        ({"a": {"lambda_b": [1, 2, 3], "λ.0": 2}}, "f, row 'a': kd.lambda_b.0 is there twice"),
        ({"a": {"lambda_b": [3, 0, 0, 0]}}, r"kd.lambda_b needs 3 values on resnet8; write kd.la"),
        ({"a": {"lambda_b": 1}}, r"kd.lambda_b needs 3 values on resnet8; write .*\[1, 1, 1\]"),
        ({"a": {"milestones": [0.9, 0.5]}}, "f, row 'a': milestones are .* must be rising"),
        ({"a": {"betas": [0.9]}}, "f, row 'a': optimizer.betas "),
        ({"a ": {"alpha": 1}, "a": {"alpha": 0.5}}, "f has two rows 'a'; give one of them another"),
        ({" the paper's default": {"alpha": 1}}, "f has a row .* give it another label"),
        ({"a": {"name": "adamw"}}, "f, row 'a': the learning rate is SGD's"),
        ({"a": {"epochs": 3}}, "There is no hyperparameter 'epochs'"),
        ({"a": {"split.seed": 3}}, "There is no hyperparameter 'split.seed'"),
        ({"a": None}, "f, row 'a': it is None; give what differs"),
        ({"a": 3}, "f, row 'a': it is 3; give what differs"),
        ({"": {"alpha": 1}}, "f has an empty label"),
        ({" \t": {"alpha": 1}}, "f has an empty label"),
        ({"a\nb": {"alpha": 1}}, r"f has the label 'a\\nb'; give one line of at most 60"),
        ({"x" * 61: {"alpha": 1}}, "f has the label 'xxx.*; give one line of at most 60"),
        ({3: {"alpha": 1}}, "f has the label 3; put it in quotes"),
    ],
)
def test_a_row_that_makes_no_sense_is_a_sentence(rows: dict[Any, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as refused:
        load_rows(DTSKD, rows, where="f")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_file_that_is_shipped_fits_its_method(path: Path) -> None:
    asked = Ablation.read(path, None, ())
    assert path.stem.startswith(asked.method)
    base = TrainConfig.paper(asked.method, "resnet18", "cifar100")
    space = load_rows(base, asked.rows, where=str(path))
    assert list(space.rows) == list(yaml.safe_load(path.read_text(encoding="utf-8"))["rows"])
    assert len(list(space.extremes(base))) == 1 + len(asked.rows)


def test_the_one_on_the_page_is_loaded() -> None:
    page = (SHIPPED[0].parents[2] / "docs" / "search-spaces.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    asked = Ablation.read(Path("page"), {"grid": yaml.safe_load(text)}, ())
    space = load_rows(TrainConfig.paper(asked.method, "resnet8", "digits"), asked.rows)
    assert len(space.rows) == 3
    assert all(f"`{path.name}`" in page for path in SHIPPED)


def test_the_two_of_no_branches_fit_every_backbone() -> None:
    from kd.backbones import backbone_names

    for path in (path for path in SHIPPED if "branches" not in path.name):
        asked = Ablation.read(path, None, ())
        for backbone in backbone_names():
            load_rows(TrainConfig.paper(asked.method, backbone, "cifar10"), asked.rows)
