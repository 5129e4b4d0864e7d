"""One training run, described: frozen dataclasses, read from and written to YAML or JSON.

`TrainConfig` holds every value that a run depends on, defaults included, so that a file
written by one machine trains the same network on another.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from kd.backbones import backbone_spec
from kd.errors import UserError, unknown
from kd.methods import MethodConfig, Recipe, config_class

Precision = Literal["auto", "float32", "bfloat16"]
SEEDS = 2**63
"""How many there are: TOML, Parquet and torch hold every whole number from 0 up to this one."""


class Section:
    """A part of a configuration file; unknown keys are refused."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def _positive(self, *names: str) -> None:
        for name in names:
            if not 0 < getattr(self, name) < inf:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0 and finite.")

    def _fraction(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Section):
    """SGD with momentum, and the course of its learning rate.

    `milestones` and `warmup` are fractions of the training (0.625 of 240 epochs is epoch 150).
    """

    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: Literal["step", "cosine"] = "step"
    milestones: tuple[float, ...] = (0.625, 0.875)
    gamma: float = 0.1
    warmup: float = 0.0

    def __post_init__(self) -> None:
        self._positive("lr", "gamma")
        self._fraction("momentum", "warmup")
        if not 0 <= self.weight_decay < inf:
            raise UserError(
                f"weight_decay is {self.weight_decay}; it must be at least 0 and finite."
            )
        if self.nesterov and not self.momentum:
            raise UserError(
                "nesterov is true, but momentum is 0; give a momentum above 0, or nesterov false."
            )
        if list(self.milestones) != sorted(self.milestones) or not all(
            0 < m <= 1 for m in self.milestones
        ):
            raise UserError(
                f"milestones are {list(self.milestones)}; they must be rising fractions of the "
                "training, for example [0.625, 0.875]."
            )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig(Section):
    """What happens to a training image: random crop after padding, horizontal flip, cutout.

    `crop_padding` and `cutout` are in pixels, `flip` is a probability.
    """

    crop_padding: int = 4
    flip: float = 0.5
    cutout: int = 0

    def __post_init__(self) -> None:
        self._fraction("flip")
        for name in ("crop_padding", "cutout"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 0 pixels.")


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Section):
    """How val is cut from the training set: stratified, and the same for the same seed.

    `train_size` keeps that many of the remaining images (few-shot); None keeps all.
    """

    val_fraction: float = 0.1
    train_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.val_fraction < 1:
            raise UserError(f"val_fraction is {self.val_fraction}; it must lie between 0 and 1.")
        if self.train_size is not None and self.train_size < 1:
            raise UserError(f"train_size is {self.train_size}; it must be at least 1 image.")
        if not 0 <= self.seed < SEEDS:
            raise UserError(f"split.seed is {self.seed}; it must lie between 0 and {SEEDS - 1}.")


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(Section):
    """Where a method with a teacher gets it: a file of weights, or trained first by plain CE.

    `backbone` None means the student's own (a self-teacher); `epochs` None the student's.
    `weights` is a .safetensors file that `kd.export` wrote.
    """

    backbone: str | None = None
    weights: str | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.backbone is not None:
            backbone_spec(self.backbone)
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"teacher.epochs is {self.epochs}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """One training run: a method on a backbone and a data set, for a number of epochs."""

    method: str
    backbone: str
    dataset: str
    epochs: int
    batch_size: int = 64
    seed: int = 0
    precision: Precision = "auto"
    kd: MethodConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)

    def __post_init__(self) -> None:
        expected = config_class(self.method)
        if not isinstance(self.kd, expected):
            raise UserError(f"kd holds {type(self.kd).__module__}; {self.method} needs its own.")
        backbone_spec(self.backbone)
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.seed >= SEEDS:
            raise UserError(f"seed is {self.seed}; it must be at most {SEEDS - 1}.")

    # -- made from a paper, from a mapping, from a file ---------------------------------------

    @classmethod
    def paper(cls, method: str, backbone: str, dataset: str, **changes: Any) -> Self:
        """The configuration that the method's paper trains with, with `changes` on top.

        What a paper publishes for a data set holds for `parquet:DIR` where DIR has its name, as
        in `parquet:data/tiny-imagenet`.
        """
        from kd.data import default_augment

        config = config_class(method)
        recipe = config.recipe_for(backbone)
        shared = {f.name for f in fields(OptimizerConfig)} & {f.name for f in fields(Recipe)}
        values: dict[str, Any] = {
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "kd": config.paper(backbone, Path(dataset.removeprefix("parquet:")).name),
            "optimizer": OptimizerConfig(**{name: getattr(recipe, name) for name in shared}),
            **changes,
        }
        if "augment" not in changes:
            values["augment"] = default_augment(dataset)
        return cls(method=method, backbone=backbone, dataset=dataset, **values)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "the configuration") -> Self:
        """Build from nested mappings; UserError names the first key or value that is wrong.

        `data` must name the method, the backbone and the data set. All else that it leaves out,
        whole sections or keys of a section, is as `paper` has it.
        """
        for name in ("method", "backbone", "dataset"):
            if data.get(name) is None:
                raise UserError(f"{where} has no {name!r}; add a line `{name}: …`.")
        whole = cls._paper_of(data)
        for name, value in data.items():
            if not isinstance(whole.get(name), dict):
                whole[name] = value
            elif isinstance(value, Mapping):
                whole[name] |= value
            elif value is not None:
                raise UserError(f"{where}: {name} is {value!r}; put names and values below it.")
        kd = parse(config_class(whole["method"]), whole["kd"], where, within="kd.")
        return parse(cls, {**whole, "kd": kd}, where)

    @classmethod
    def _paper_of(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The plain form of what the paper does in the cell that `data` names."""
        from kd.data import default_augment

        method, backbone, dataset = (str(data[name]) for name in ("method", "backbone", "dataset"))
        whole = cls.paper(method, backbone, dataset, augment=AugmentConfig()).to_dict()
        given = data.get("augment")
        if not isinstance(given, Mapping) or whole["augment"].keys() - given.keys():
            # Only where it is needed: it may look at the images, which a finished run outlives.
            whole["augment"] = asdict(default_augment(dataset))
        return whole

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a YAML or JSON file; a teacher that lies beside it is found wherever both are."""
        config = cls.from_dict(read_mapping(path), str(path))
        weights = config.teacher.weights
        if weights is None or not (beside := Path(path).absolute().parent / weights).is_file():
            return config
        return replace(config, teacher=replace(config.teacher, weights=str(beside)))

    # -- the teacher --------------------------------------------------------------------------

    @property
    def needs_teacher(self) -> bool:
        """Whether the method learns from a network that is trained before."""
        return config_class(self.method).teacher != "none"

    def teacher_recipe(self) -> Self:
        """How the teacher is trained: plain cross-entropy, otherwise as the student.

        A self-teacher has the student's backbone (DR-KD, section 3); a network teacher has
        `teacher.backbone`, or the one that the registry pairs with the student.
        """
        paired = backbone_spec(self.backbone).teacher
        network = self.teacher.backbone or (
            paired if config_class(self.method).teacher == "network" else None
        )
        return replace(
            self,
            method="ce",
            kd=config_class("ce")(),
            backbone=network or self.backbone,
            epochs=self.teacher.epochs or self.epochs,
            teacher=TeacherConfig(),
        )

    # -- written ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values, in the order of the fields; the inverse of `from_dict`."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def flat(self) -> dict[str, Any]:
        """Dotted names to plain values: `kd.alpha`, `optimizer.lr`, `kd.lambda_b.0`."""
        return dict(_flatten(self.to_dict()))

    def to_yaml(self) -> str:
        """The YAML form."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds; UserError if it holds anything else."""
    try:
        data = read_yaml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text file"
        raise UserError(f"{path} cannot be read: {reason}; give the path of a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"{path} is not valid YAML{line}; mend it or export it again.") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold names and values, one `name: value` a line.")
    return data


def read_yaml(text: str) -> Any:
    """The value that `text` stands for; yaml.YAMLError for whatever is wrong with it."""
    try:
        return yaml.safe_load(text)
    except (AttributeError, LookupError, RecursionError, ValueError) as error:
        # PyYAML lets through what building a value raises: `2020-13-45`, `!!int x`, `[[[[…`.
        raise yaml.YAMLError(str(error)) from None


T = TypeVar("T")


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def parse(cls: type[T], data: Any, where: str, within: str = "") -> T:
    """Check `data` against the dataclass `cls`; UserError names `where` and the field."""
    try:
        if cls not in _ADAPTERS:
            _ADAPTERS[cls] = TypeAdapter(cls)
        checked: Any = _ADAPTERS[cls].validate_python(data)
    except ValidationError as failure:
        raise _refusal(cls, failure.errors()[0], where, within) from None
    read = dict(_flatten(asdict(checked)))
    for name, value in _flatten(data):
        # To pydantic true is as good as 1.
        if isinstance(value, bool) and not isinstance(read.get(name), bool):
            typed = str(value).lower()
            raise UserError(f"{where}: {within}{name} is {typed}, but it must be a number.")
    result: T = checked
    return result


def _refusal(cls: type[Any], error: Any, where: str, within: str) -> UserError:
    """The sentence for the first of pydantic's errors."""
    name = within + ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return UserError(f"{where} has no {name!r}; add a line `{name}: …`.")
    if error["type"] == "unexpected_keyword_argument":
        owner: Any = cls
        for part in error["loc"][:-1]:
            owner = next(f.default_factory for f in fields(owner) if f.name == part)
        known = [f.name for f in fields(owner)]
        return UserError(f"{where}: {unknown('key', error['loc'][-1], known)}")
    given = "empty" if error["input"] is None else repr(error["input"])
    message = error["msg"][0].lower() + error["msg"][1:].rstrip(".")
    return UserError(f"{where}: {name} is {given}, but {message}.")


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
