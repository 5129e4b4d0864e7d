"""The tunnel to a head that is not there, is being set up, or could not be; Ray's own records."""

import json
import threading
import time
from pathlib import Path

import pytest
import yaml

from kd.errors import UserError
from tuning.cluster import tunnel as module
from tuning.cluster.tunnel import NotUpError, tunnel

ADDRESS = "127.0.0.1"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a cluster of machines that ssh reaches; this one, as its head."""
    path = tmp_path / "mine.yaml"
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    provider = {"type": "external", "module": "keeping_provider.KeepingProvider"}
    provider |= {"head_ip": ADDRESS, "worker_ips": []}
    path.write_text(yaml.safe_dump({"cluster_name": tmp_path.name, "provider": provider}))
    return path


@pytest.fixture
def set_up(file: Path):
    """How far Ray has written down that the head is set up, once it is called with that."""
    from ray.autoscaler._private.local.config import get_lock_path, get_state_path

    name = file.parent.name
    state = Path(get_state_path(name))
    state.parent.mkdir(parents=True, exist_ok=True)

    def write(status: str) -> None:
        tags = {"ray-node-type": "head", "ray-node-status": status}
        fresh = state.with_suffix(".new")
        fresh.write_text(json.dumps({ADDRESS: {"tags": tags, "state": "running"}}))
        fresh.replace(state)

    yield write
    for path in (state, Path(get_lock_path(name))):
        path.unlink(missing_ok=True)


def test_no_head(file):
    with pytest.raises(NotUpError, match="is not up; start it with: ray up"), tunnel(file):
        pass


def test_a_head_that_is_being_set_up_is_waited_for(file, set_up, capsys):
    """Until the `ray up` that is at it has failed, here."""
    set_up("waiting-for-ssh")

    def go_on() -> None:
        for state in ("setting-up", "update-failed"):
            time.sleep(8)
            set_up(state)

    going = threading.Thread(target=go_on)
    going.start()
    with pytest.raises(UserError) as refused, tunnel(file):
        pass
    going.join()
    assert not isinstance(refused.value, NotUpError)
    assert str(refused.value) == (
        f"The head of {file} is not set up (its state is update-failed); once no `ray up` is at "
        f"it, type `ray up {file}` again, or give --local."
    )
    assert capsys.readouterr().out.splitlines() == [
        f"The head of {file} is being set up (waiting-for-ssh); waiting …",
        f"The head of {file} is being set up (setting-up); waiting …",
    ]


def test_a_state_that_lasts_too_long_is_said(file, set_up, monkeypatch, capsys):
    """A `ray up` that was killed leaves its state behind."""
    set_up("syncing-files")
    monkeypatch.setattr(module, "_SET_UP_WITHIN", 1.0)
    monkeypatch.setattr(module, "_ASKED_EVERY", 0.5)
    with pytest.raises(SystemExit) as ended:
        module._until_set_up(str(file))
    assert ended.value.code == module._NOT_SET_UP
    said = capsys.readouterr().out.splitlines()
    assert len(said) >= 2
    assert set(said) == {"kd-state:syncing-files"}
