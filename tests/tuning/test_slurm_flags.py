import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuning.records.allocation import LEAD
from tuning.search import main

ASKED = ["lsskd", "--preset", "laptop", "--name", "mine"]


def printed(capsys, tmp_path, *flags):
    """The batch file that would be submitted."""
    with pytest.raises(SystemExit) as end:
        main([*ASKED, "--storage", str(tmp_path / "a b"), "--slurm-print", *flags])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_the_batch_file_is_filled_in_and_nothing_is_written(capsys, tmp_path):
    text = printed(capsys, tmp_path, "--nodes", "4", "--gpus-per-node", "2", "--time", "08:00:00")
    lines = text.splitlines()
    options = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert {"--nodes=4", "--gpus-per-node=2", "--cpus-per-task=8", "--time=08:00:00"} <= {*options}
    assert f"--output='{tmp_path}/a b/slurm/mine.out'" in options
    assert f"--chdir={Path.cwd()}" in options
    assert "--exclusive" not in options
    assert f"storage='{tmp_path}/a b'" in lines
    assert "names=(mine)" in lines
    assert "search=(lsskd --preset laptop --name mine)" in lines
    assert f"--signal=B:USR1@{LEAD}" in options
    assert not list(tmp_path.iterdir())


def test_it_is_a_shell_script_whatever_is_asked(capsys, tmp_path):
    text = printed(capsys, tmp_path, "--set", "alpha=0.5", "--sbatch=--constraint=a100&v100")
    assert "#SBATCH --constraint=a100&v100" in text
    assert "--exclusive" in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_several_sweeps_are_resumed_by_all_their_names(capsys, tmp_path):
    text = printed(capsys, tmp_path, "--backbone", "resnet8", "--backbone", "resnet20")
    assert "names=(mine-lsskd-resnet8-digits mine-lsskd-resnet20-digits)" in text.splitlines()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--nodes", "2"], "--nodes is for a sweep on Slurm; give --slurm too."),
        (["--slurm", "--nodes", "0"], "--nodes is 0; it must be at least 1."),
        (["--slurm", "--gpus-per-node", "-1"], "--gpus-per-node is -1; it must be at least 0."),
        (["--slurm", "--time", "8h"], "--time is 8h; type it as HH:MM:SS, or D-HH:MM:SS"),
        (["--slurm", "--sbatch=--qos x"], "has a space in it; give one option to a --sbatch."),
        (["--slurm", "--local"], "--local and --slurm say where to run; give one of them."),
        (["--slurm", "--set", "alpha=7"], "at most 1"),
        (["--slurm", "--dry-run"], "--dry-run measures where it is typed, and submits nothing;"),
        (["--slurm", "--sbatch=gres=gpu:4"], "with its dashes: --sbatch=--gres=gpu:4."),
        (["--slurm", "--sbatch=-N4"], "--sbatch is '-N4'; type --nodes for that instead."),
        (["--slurm", "--sbatch=--time=9"], "type --time for that instead."),
        (["--slurm", "--sbatch=--chdir=/"], "; --chdir is as a sweep needs it."),
        (["--slurm", "--sbatch=--array=0-3"], "; --array is as a sweep needs it."),
        (["--slurm", "--sbatch=--signal=USR1@60"], "type --sbatch=--signal=B:USR1@300."),
        (["--slurm", "--time", "2"], "which Slurm reads as 120 seconds; a sweep is ended 120"),
        (["--slurm", "--time", "0-0:2:30"], "reads as 150 seconds; a sweep is ended 120 seconds"),
        (["--slurm", "--time", "5", "--sbatch=--signal=B:USR1@300"], "so give 360 at least."),
        (["--slurm", "--time", "\u0663"], "type it as HH:MM:SS"),
        (["--slurm", "--time", "9" * 5000], "type it as HH:MM:SS"),
        (
            ["--slurm", "--partition", 'g"pu'],
            "--partition is 'g\"pu', which is no name of Slurm's.",
        ),
        (["--slurm", "--account", "a b"], "--account is 'a b', which is no name of Slurm's."),
        (["--slurm-print", "--attach"], "leave --attach or --stop away."),
        (["--slurm-print", "--stop"], "leave --attach or --stop away."),
        (["--slurm", "--attach"], "was submitted to Slurm; give its --storage."),
    ],
)
def test_what_makes_no_sense_is_refused_before_slurm_is_asked(capsys, tmp_path, flags, sentence):
    with pytest.raises(SystemExit) as end:
        main([*ASKED, "--storage", str(tmp_path), *flags])
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_machine_without_slurm_says_where_to_type_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit):
        main([*ASKED, "--storage", str(tmp_path), "--slurm"])
    assert "There is no sbatch on this machine; type this where Slurm's commands are" in (
        capsys.readouterr().err
    )


def test_a_sweep_that_is_not_there_is_not_resumed_in_a_queue(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        main(["--slurm", "--resume", "mine", "--storage", str(tmp_path)])
    assert end.value.code == 2
    assert "There is no sweep under" in capsys.readouterr().err


def test_who_asks_for_parts_of_machines_does_not_get_all_of_them(capsys, tmp_path):
    assert "--exclusive" not in printed(capsys, tmp_path, "--sbatch=--gres=gpu:2")
    assert "--exclusive" in printed(capsys, tmp_path, "--sbatch=--constraint=a100")


def test_a_queue_of_somewhere_else_is_told_from_a_refusal(capsys, tmp_path, monkeypatch):
    """Nothing is left of what was not submitted."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho Could not establish a configuration source >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent), prepend=os.pathsep)
    with pytest.raises(SystemExit):
        main([*ASKED, "--storage", str(tmp_path / "runs"), "--slurm"])
    assert "Slurm does not answer here (Could not establish" in capsys.readouterr().err
    assert not list((tmp_path / "runs" / "slurm").iterdir())


def test_a_folder_that_a_batch_file_cannot_hold_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        main([*ASKED, "--storage", str(tmp_path / "li\nne"), "--slurm-print"])
    assert end.value.code == 2
    assert "has a character that a batch file cannot hold" in capsys.readouterr().err
    assert "a%%jb/a b/slurm/mine.out" in printed(capsys, tmp_path / "a%jb")


def test_a_storage_that_cannot_be_made_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        main([*ASKED, "--storage", "/proc/nope", "--slurm"])
    assert end.value.code == 2
    assert (
        "cannot be written: No such file or directory; give another --storage"
        in capsys.readouterr().err
    )


SLOW = """#!/bin/sh
sleep 1
echo 7
"""


def test_of_two_that_submit_the_same_at_once_one_is_refused(tmp_path):
    """The queue knows the first when the second asks."""
    (tmp_path / "bin").mkdir()
    for name, code in {"sbatch": SLOW, "squeue": "#!/bin/sh\necho PENDING\n"}.items():
        (tmp_path / "bin" / name).write_text(code)
        (tmp_path / "bin" / name).chmod(0o755)
    words = [sys.executable, "-m", "tuning.search", *ASKED, "--slurm", "--storage", str(tmp_path)]
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    both = [
        subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    try:
        end = time.monotonic() + 60
        while (refused := next((one for one in both if one.poll() is not None), None)) is None:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert "mine is on Slurm already, as job 7" in refused.communicate()[0]
        assert [one.poll() for one in both].count(None) == 1, "the other one follows its job"
    finally:
        for one in both:
            one.kill()
            one.wait()


@pytest.mark.parametrize("time", ["3", "3:00", "0:03:00", "08:00:00", "1-0", "0", "0:0:0"])
def test_times_that_leave_some_to_a_sweep_are_taken(capsys, tmp_path, time):
    assert f"#SBATCH --time={time}" in printed(capsys, tmp_path, "--time", time).splitlines()
