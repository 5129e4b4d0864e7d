"""Which teacher is trained first is said by its name, and why where nobody chose it."""

import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_methods import registered

from kd import train
from kd.backbones import build_backbone
from kd.config import SAW_VAL, TEACHERS_SEED, SplitConfig, TeacherConfig, TrainConfig
from kd.data import open_dataset
from kd.data.split import train_val
from kd.training import checkpoint
from kd.training.teacher import describe
from kd.typed import read_flags
from tuning.exporters.model_card import _score
from tuning.records.keeper import _beside
from tuning.records.keywords import from_keywords
from tuning.records.plan import print_plan
from tuning.records.protocol import protocol
from tuning.records.request import Flags, anew, sweeps
from tuning.records.result import Sweep, SweepResult
from tuning.records.settings import SweepSettings
from tuning.records.teaching import called, first_the_teacher
from tuning.reports.sentences import caveats
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study
from tuning.study.listing import ListSearcher
from tuning.sweeps.cell import Cell
from tuning.sweeps.teacher import _recipe, _taught, ready


@pytest.mark.parametrize(
    ("method", "backbone", "teacher", "sentence"),
    [
        ("kd", "resnet8", None, "First the teacher: resnet20."),
        ("kd", "resnet8", "resnet56", "First the teacher: resnet56."),
        ("kd", "resnet8", "resnet8", "First the teacher: resnet8."),
        (
            "kd",
            "resnet56",
            None,
            "First the teacher: resnet56, the student's own backbone, as no larger one is known "
            "for it.",
        ),
        ("drkd", "resnet8", None, "First the teacher: resnet8, the student's own backbone."),
    ],
)
def test_the_teacher_has_a_name(
    method: str, backbone: str, teacher: str | None, sentence: str
) -> None:
    chosen = TeacherConfig(backbone=teacher)
    base = TrainConfig.paper(method, backbone, "digits", teacher=chosen)
    assert first_the_teacher(base, base.ancestors[0]) == sentence


def test_a_teacher_that_was_begun_with_the_students_seed_keeps_it(tmp_path: Path) -> None:
    base = TrainConfig.paper("drkd", "resnet8", "digits", epochs=2)
    settings = SweepSettings(name="s", storage=tmp_path, base=base, trials=1)
    cell = SimpleNamespace(settings=settings)
    settings.folder.mkdir()
    own = base.ancestors[0]
    assert _recipe(cell, own).seed == TEACHERS_SEED  # type: ignore[arg-type]
    twin = replace(base.teacher_recipe(), seed=base.seed)
    with open_study(settings.folder / "teacher.log", "teacher", create=True) as study:
        assert ListSearcher(study, [twin]).suggest()
    assert _recipe(cell, own) == twin  # type: ignore[arg-type]


def test_that_a_teacher_saw_val_is_noted_in_every_result(tmp_path: Path) -> None:
    told = []
    for saw in (False, True):
        teacher = TeacherConfig(weights="t.safetensors", saw_val=saw)
        base = TrainConfig.paper("kd", "resnet8", "digits", teacher=teacher)
        settings = SweepSettings(name="s", storage=tmp_path, base=base, trials=1)
        result = SweepResult(Sweep(settings=settings, searched={}), [])
        told.append((protocol(base), caveats(result), "--teacher-saw-val" in anew(settings)))
    (plain, none, not_given), (marked, noted, given) = told
    assert (none, not_given, given) == ([], False, True)
    assert marked == {**plain, "teacher_saw_val": "true"}
    assert "may have been trained on val images" in noted[0]


@pytest.mark.parametrize(
    ("method", "backbone", "changes", "lr"),
    [
        # A smaller rate is its compact student's, not the teacher's.
        ("kd", "mobilenetv2", {}, 0.05),
        # What a person chose holds for both.
        ("kd", "mobilenetv2", {"lr": 0.02}, 0.02),
        ("drkd", "mobilenetv2", {}, 0.1),
    ],
)
def test_a_teacher_is_trained_by_its_own_recipe(
    method: str, backbone: str, changes: dict[str, float], lr: float
) -> None:
    teacher = TeacherConfig(backbone="resnet18" if method == "kd" else None)
    base = TrainConfig.paper(method, backbone, "digits", teacher=teacher)
    base = replace(base, optimizer=replace(base.optimizer, **changes))
    assert base.teacher_recipe().optimizer.lr == lr


def test_a_sweep_has_as_many_teachers_as_its_method(tmp_path: Path) -> None:
    """Three: the first and the third are trained, and lie in the sweep's folder; one was given."""
    given = tmp_path / "given.safetensors"
    given.write_bytes(b"second")
    further = (TeacherConfig(weights=str(given)), TeacherConfig(backbone="resnet8", seed=3))
    with registered():
        base = TrainConfig.paper("ensemble", "resnet8", "digits", further_teachers=further)
        settings = SweepSettings(name="s", storage=tmp_path, base=base, trials=1)
        settings.folder.mkdir()
        cell = Cell(settings, None, "images", None, None, base, {}, {})  # type: ignore[arg-type]
        first, third = base.ancestors
        assert (first.number, third.number) == (0, 2)
        assert [called(base, own) for own in (first, third)] == ["teacher 1", "teacher 3"]
        assert [_recipe(cell, own).seed for own in (first, third)] == [TEACHERS_SEED, 3]
        assert first_the_teacher(base, third) == "First teacher 3: resnet8."
        assert _taught(cell).teachers == ()
        for own, content in ((first, b"first"), (third, b"third")):
            files = TrialFiles(shelf=settings.shelf, study=Path(own.file).stem)
            path = Path(settings.shelf.uri) / settings.shelf.part / files.student(0)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        taught = _taught(cell)
        assert taught.teachers == (b"first", b"second", b"third")
        folder = settings.folder
        assert [teacher.weights for teacher in taught.base.teachers] == [
            str(folder / "teacher.safetensors"),
            str(given),
            str(folder / "teacher-3.safetensors"),
        ]
        beside = [teacher.weights for teacher in _beside(folder, taught.base).teachers]
        assert beside == ["teacher.safetensors", str(given), "teacher-3.safetensors"]
        # The student of another sweep has the name of this one's.
        (folder / "student.safetensors").write_bytes(b"its own student")
        for name in ("other/student.safetensors", "other/teacher.safetensors"):
            changed = taught.base.with_teachers([beside[0], name, beside[2]])
            assert _beside(folder, changed).teachers[1].weights == name


@pytest.mark.parametrize(
    "words",
    [
        ["--teacher", "resnet20", "--teacher", "resnet20"],
        ["--teacher", "resnet56", "--teacher", "resnet20", "--teacher-weight", "0.7",
         "--teacher-weight", "0.3"],
        ["--teacher", "resnet56", "--assistant", "resnet20", "--assistant", "resnet8"],
    ],
)  # fmt: skip
def test_what_was_asked_of_teachers_is_typed_again(words: list[str], tmp_path: Path) -> None:
    asked = read_flags(Flags, ["kd", *words, "--name", "s", "--storage", str(tmp_path)])
    (settings,) = sweeps(asked, gpus=0)
    again = shlex.split(anew(settings))
    first = again.index("--teacher")
    assert again[first : first + len(words)] == words
    (other,) = sweeps(read_flags(Flags, [*again[3:], "--name", "s"]), gpus=0)
    assert other.base.teachers == settings.base.teachers
    keywords: dict[str, list[str]] = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        keywords.setdefault(flag[2:].replace("-", "_"), []).append(value)
    given = from_keywords(Flags, {"method": "kd", "name": "s", "storage": tmp_path, **keywords},
                          "method")  # fmt: skip
    assert given == asked


def test_a_line_is_said_in_its_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["kd", "--teacher", "resnet56", "--assistant", "resnet20", "--assistant", "resnet8",
             "--epochs", "4", "--storage", str(tmp_path)]  # fmt: skip
    (settings,) = sweeps(read_flags(Flags, words), gpus=0)
    said = [first_the_teacher(settings.base, own) for own in settings.base.ancestors]
    assert said == [
        "First the teacher: resnet56.",
        "Then assistant 1: resnet20, by kd from the one before it.",
        "Then assistant 2: resnet8, by kd from the one before it.",
    ]
    print_plan(settings, settings.space(), gpus=False)
    told = capsys.readouterr().out
    assert "a teacher first: resnet56, 4 epochs\nthen an assistant, by kd: resnet20, 4 epo" in told


def test_how_much_each_of_several_counts_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["kd", "--teacher", "resnet20", "--teacher", "resnet8", "--teacher-weight", "3",
             "--teacher-weight", "1", "--storage", str(tmp_path)]  # fmt: skip
    (settings,) = sweeps(read_flags(Flags, words), gpus=0)
    print_plan(settings, settings.space(), gpus=False)
    assert (
        "teachers, by how much they count: resnet20 75 %, resnet8 25 %" in capsys.readouterr().out
    )


SPLIT = SplitConfig(val_fraction=0.6, train_size=60)


def write_teacher(path: Path, **changes: object) -> str:
    """The file of a teacher that is not trained at all, with `changes` in what it says."""
    base = TrainConfig.paper("ce", "resnet8", "digits", split=SPLIT)
    images, _ = train_val(open_dataset("digits").train, SPLIT)
    about = describe(base, images, {"val_acc": 10.0}) | changes
    checkpoint.save_weights(build_backbone("resnet8", 10, 1), path, about)
    return str(path)


@pytest.mark.parametrize("given", [False, True])
def test_of_its_own_teacher_a_sweep_does_not_ask_what_it_saw(
    given: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that it trained before files said so; of one that it was given, it is said."""
    weights = str(tmp_path / "given.safetensors") if given else None
    base = TrainConfig.paper(
        "kd", "resnet8", "digits", split=SPLIT, teacher=TeacherConfig(weights=weights)
    )
    settings = SweepSettings(name="s", storage=tmp_path, base=base, trials=1)
    settings.folder.mkdir()
    write_teacher(Path(weights or settings.folder / "teacher.safetensors"), split=None, images=None)
    images = open_dataset("digits").train
    cell = Cell(settings, None, images.digest, *train_val(images, SPLIT), base, {}, {})  # type: ignore[arg-type]
    assert len(ready([cell])[0].teachers) == 1
    assert ("does not say which images" in capsys.readouterr().out) == given


def test_a_training_and_a_card_note_that_a_teacher_saw_val(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_teacher(tmp_path / "t.safetensors", split={"val_fraction": 0.6, "seed": 1})
    teacher = TeacherConfig(weights=weights, saw_val=True)
    config = TrainConfig.paper("kd", "resnet8", "digits", split=SPLIT, epochs=1, teacher=teacher)
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    with pytest.raises(SystemExit) as ended:
        train.main([str(tmp_path / "c.yaml"), "--output", str(tmp_path / "run")])
    assert not ended.value.code
    assert SAW_VAL in capsys.readouterr().out
    description = {"val_acc": 10.0, "epochs": 1}
    assert SAW_VAL in _score(config, description, None)
    fine = TrainConfig.paper("kd", "resnet8", "digits", split=SPLIT)
    assert SAW_VAL not in _score(fine, description, None)
