"""A real ablation: two rows, on two seeds each."""

from pathlib import Path

import pytest
from real_sweeps import finish, start

from tuning.records.result import load_result
from tuning.report import main

ROWS = """
method: ce
rows:
  label smoothing: {label_smoothing: 0.1}
  without augmentation: {crop_padding: 0}
"""


def test_each_row_is_trained_and_the_table_is_printed(tmp_path: Path, capsys: object) -> None:
    path = tmp_path / "rows.yaml"
    path.write_text(ROWS, encoding="utf-8")
    asked = ["--grid", str(path), "--preset", "laptop", "--local", "--seeds-per-trial", "2"]
    said = finish(start(tmp_path / "runs", *asked, "--epochs", "1", "--name", "rows"))
    path.unlink()
    result = load_result(tmp_path / "runs", "rows")
    assert [trial.label for trial in result.trials] == [
        "",
        "label smoothing",
        "without augmentation",
    ]
    flats = [trial.config["kd"]["label_smoothing"] for trial in result.trials]
    assert flats == [0.0, 0.1, 0.0]
    assert result.trials[2].config["augment"]["crop_padding"] == 0
    lines = [line for line in said.splitlines() if "% (n = 2)" in line]
    assert [line.split("  ")[0] for line in lines] == [
        "the paper's default",
        "label smoothing",
        "without augmentation",
    ]
    for line, trial in zip(lines, result.trials, strict=True):
        assert f"{trial.score:.2f} ± {trial.metrics['val_acc_sd']:.2f} % (n = 2)" in line
    again = finish(start(tmp_path / "runs", "--resume", "rows"))
    assert lines == [line for line in again.splitlines() if "% (n = 2)" in line]
    with pytest.raises(SystemExit):
        main(["rows", "--storage", str(tmp_path / "runs")])
    assert len(load_result(tmp_path / "runs", "rows").trials) == 3
