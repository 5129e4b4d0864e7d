"""`--slurm` on a real Slurm: two machines, a time limit, a drained machine."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from lan import wait_for
from slurm_lab import SlurmLab, missing
from sweeps import check_complete, running

SEARCH = "pskd --preset laptop --scheduler none --warm-start none --cpus-per-trial 1"


@pytest.fixture(scope="module")
def slurm():
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="kd-slurm-"))
    lab = SlurmLab(folder)
    yield lab
    lab.close()
    shutil.rmtree(folder)


def lines(said: str) -> list[str]:
    """Without what a search prints of its trials."""
    return [line for line in said.splitlines() if not line.startswith("[")]


def test_a_wrong_partition_is_one_sentence(slurm):
    said = slurm.type(f"{SEARCH} --name wrong --partition gpus", code=2)
    assert said.splitlines()[-1] == (
        "error: Slurm does not take the sweep (Invalid partition name specified); give --partition "
        "one of: main."
    )
    assert not (slurm.storage / "wrong").exists()


def test_a_sweep_that_its_time_limit_cuts_off_goes_on_when_it_is_queued_again(slurm):
    asked = f"{SEARCH} --name limited --trials 8 --epochs 400"
    # Slurm counts whole minutes, and may warn one earlier than it was asked to.
    search = slurm.begin(f"{asked} --nodes 2 --time 2 --sbatch=--signal=B:USR1@40")
    folder = slurm.storage / "limited"
    wait_for(lambda: running(folder, 1), "trials", 120)
    assert slurm.says("squeue -h -o %D|%N") == "2|n[1-2]"
    number = slurm.says("squeue -h -o %i")
    wait_for(lambda: slurm.says("squeue -h -o %T") == "PENDING", "the requeued job", 180)
    slurm.says(f"scontrol update jobid={number} timelimit=30 starttime=now")
    said, _ = search.communicate(timeout=500)
    assert search.returncode == 0, f"{said}\n{slurm.about(number)}"
    check_complete(folder, 8, 400)
    assert (folder / "student.safetensors").exists()
    told = lines(said)
    again = "The allocation's time is over: the job is queued again, and the sweep goes on then."
    assert again in told
    assert sum(line.startswith("Starting Ray") for line in told) == 2
    assert not [line for line in told if "srun" in line or "Traceback" in line]
    assert not list(Path("/tmp").glob(f"kd-{number}")), "Ray's folder is gone with it"


def test_what_runs_on_a_machine_that_is_drained_goes_on(slurm):
    search = slurm.begin(f"{SEARCH} --name drained --trials 4 --epochs 300 --nodes 2 --time 30")
    folder = slurm.storage / "drained"
    wait_for(lambda: running(folder, 1), "trials", 120)
    slurm.says("scontrol update nodename=n2 state=drain reason=test")
    assert slurm.says("sinfo -h -n n2 -o %T") == "draining"
    said, _ = search.communicate(timeout=500)
    assert search.returncode == 0, said
    check_complete(folder, 4, 300)
    wait_for(lambda: not slurm.says("squeue -h"), "the job's end", 60)
    slurm.says("scontrol update nodename=n2 state=resume")


def test_one_comes_back_to_a_sweep_and_ends_it(slurm):
    asked = f"{SEARCH} --name followed --trials 4 --epochs 3000 --time 30"
    search = slurm.begin(asked)
    folder = slurm.storage / "followed"
    wait_for(lambda: running(folder, 1), "trials", 120)
    twice = slurm.type(asked, code=2).splitlines()[-1]
    assert twice.startswith("error: The sweep followed exists; go on with --resume followed")
    twice = slurm.type("--resume followed", code=2).splitlines()[-1]
    assert twice.startswith("error: followed is on Slurm already, as job ")
    # Slurm itself may be away for a while, and knows the job again.
    slurm.restart_control(after=30)
    assert search.poll() is None
    search.send_signal(2)
    said, _ = search.communicate(timeout=60)
    assert "Slurm does not answer; asking again." in said
    assert search.returncode == 130
    assert "The sweep goes on without you. Come back: --slurm --attach followed" in said
    assert slurm.says("squeue -h -o %T") == "RUNNING"
    said = slurm.type("--stop", code=130)
    assert re.search(r"Interrupted after \d of 4 trials", said), said
    wait_for(lambda: not slurm.says("squeue -h"), "the job's end", 60)
    assert "Interrupted after" in slurm.type("--attach followed", code=130)
    over = slurm.type("--stop followed", code=2)
    assert over.splitlines()[-1] == (
        "error: followed is over; go on with: --slurm --resume followed"
    )
