"""What lies in a sweep's folder follows the folder: moved, renamed, copied, or never begun."""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from synthetic import sweep_result
from test_report import keep, run

import tuning.sweeps.run
from kd.config import TeacherConfig, TrainConfig
from kd.errors import UserError
from tuning.records.asked import check_asked
from tuning.records.keeper import Keeper
from tuning.records.result import load_result
from tuning.records.settings import SweepSettings
from tuning.search import main
from tuning.storage.shelf import Shelf
from tuning.storage.trial_files import TrialFiles
from tuning.study.journal import open_study
from tuning.study.listing import ListSearcher


def copied(first: Path) -> Path:
    return Path(shutil.copytree(first, first.parent / "second"))


def renamed(first: Path) -> Path:
    return first.rename(first.parent / "second")


def elsewhere(first: Path) -> Path:
    (first.parent / "below").mkdir()
    return Path(shutil.move(first, first.parent / "below" / "second"))


@pytest.mark.parametrize("moved", [copied, renamed, elsewhere])
def test_a_sweep_is_where_it_is_found(tmp_path: Path, moved: Callable[[Path], Path]) -> None:
    keep(sweep_result(tmp_path / "first", trials=4))
    second = moved(tmp_path / "first")
    before = sorted(tmp_path.glob("first/*"))
    settings = SweepSettings.load(tmp_path, str(second.relative_to(tmp_path)))
    assert (settings.name, settings.folder) == ("second", second)
    assert load_result(second.parent, "second").sweep.folder == second
    assert run("second", "--storage", str(second.parent)) == 0
    assert (second / "report.html").exists()
    assert "python -m tuning.confirm second" in (second / "report.html").read_text()
    assert sorted(tmp_path.glob("first/*")) == before
    settings.save()
    assert SweepSettings.load(second.parent, "second") == settings
    assert settings.shelf == Shelf(str(second))
    stored = replace(settings, checkpoints="s3://bucket/folder").shelf
    assert stored.part == "second", "a copy does not write over the other's checkpoints"


def test_a_folder_that_no_command_can_name_is_refused(tmp_path: Path) -> None:
    keep(sweep_result(tmp_path / "first", trials=4))
    (tmp_path / "first").rename(tmp_path / "first (copy)")
    with pytest.raises(UserError, match=r"named 'first \(copy\)'; rename it"):
        SweepSettings.load(tmp_path, "first (copy)")


def test_the_teacher_goes_where_the_folder_goes(tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "teacher.safetensors").write_bytes(b"weights")
    result = sweep_result(folder, trials=1)
    taught = TrainConfig.paper("kd", "resnet8", "digits")
    for weights, kept in (
        (tmp_path / "first" / "teacher.safetensors", "teacher.safetensors"),
        (tmp_path / "own.safetensors", str(tmp_path / "own.safetensors")),
    ):
        config = replace(taught, teacher=TeacherConfig(weights=str(weights)))
        result.trials[0].config = config.to_dict()
        Keeper(folder, TrialFiles(shelf=Shelf(str(folder)), study="trial"), result.trials)
        assert f"weights: {kept}\n" in (folder / "best_config.yaml").read_text()


# -- a sweep that never began -------------------------------------------------------------------


def fails(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("a bug, or a library's")


def is_interrupted(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("ends", "how"), [(fails, RuntimeError), (is_interrupted, SystemExit)])
def test_whatever_ends_a_sweep_before_it_begins_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ends: Callable[..., NoReturn],
    how: type[BaseException],
) -> None:
    monkeypatch.setattr(tuning.sweeps.run, "open_dataset", ends)
    with pytest.raises(how):
        main(["ce", "pskd", "--local", "--name", "husk", "--storage", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_kept_from_its_first_trial_on(tmp_path: Path) -> None:
    settings = sweep_result(tmp_path / "s", trials=1).sweep.settings
    settings.save()
    with open_study(settings.folder / "teacher.log", "teacher", create=True) as study:
        ListSearcher(study, [settings.base])
    assert settings.forget()
    assert not settings.folder.exists()
    settings.save()
    with open_study(settings.folder / "teacher.log", "teacher", create=True) as study:
        ListSearcher(study, [settings.base]).suggest()
    assert not settings.forget()
    assert (settings.folder / "sweep.yaml").exists()


def test_other_epochs_are_another_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(sweep_result(tmp_path / "first", trials=4))
    with pytest.raises(SystemExit) as ended:
        main(["--resume", "first", "--epochs", "40", "--local", "--storage", str(tmp_path)])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert "keeps its own epochs (9)" in said
    command = shlex.split(said.partition("python -m tuning.search ")[2])
    assert command[:5] == ["lsskd", "--backbone", "resnet8", "--dataset", "digits"]
    assert command[5:7] == ["--trials", "4"]
    assert command[-2:] == ["--epochs", "40"]
    assert command[command.index("--storage") + 1] == str(tmp_path)
    assert "--grace-period" in command
    with pytest.raises(SystemExit) as ended:
        main([*command, "--dry-run", "--local"])
    assert ended.value.code == 0


def test_what_may_not_be_asked_any_more_is_read_of_an_old_sweep(tmp_path: Path) -> None:
    result = sweep_result(tmp_path / "first", trials=4)
    keep(result)
    path = tmp_path / "first" / "sweep.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("reduction_factor: 2.0", "reduction_factor: 1.05"))
    assert SweepSettings.load(tmp_path, "first").reduction_factor == 1.05
    with pytest.raises(UserError, match=r"from 1\.1 to 1000"):
        check_asked(SweepSettings.load(tmp_path, "first"))
