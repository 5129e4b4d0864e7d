"""Which cluster a command is for, and one sentence where none answers."""

import http.server
import json
import socket
import threading
from pathlib import Path

import pytest

from kd.errors import UserError
from kd.typed import read_flags
from tuning.cluster.parcel import to_words
from tuning.cluster.target import Cluster, Head, find, started_from_here
from tuning.engine import growth
from tuning.records.request import Flags


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a cluster file, on a machine that never started it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray_cluster.yaml").write_text("cluster_name: mine\n")
    return tmp_path


def start(folder: Path, name: str) -> None:
    """Leave what `ray up` leaves of a cluster file."""
    (folder / "ray-config-0").write_text(json.dumps({"config": {"cluster_name": name}}))


def test_a_cluster_that_was_never_started_from_here_is_not_looked_for(here):
    assert find(local=False, address=None, file=None) is None
    start(here, "another")
    assert find(local=False, address=None, file=None) is None


def test_the_cluster_that_was_started_here_is_found(here):
    start(here, "mine")
    assert started_from_here(Path("ray_cluster.yaml"))
    assert find(local=False, address=None, file=None) == Cluster(
        file=Path("ray_cluster.yaml"), asked=False
    )


def test_what_a_person_says_comes_before_what_is_found(here, monkeypatch):
    start(here, "mine")
    (here / "other.yaml").write_text("cluster_name: other\n")
    other, url = here / "other.yaml", "http://127.0.0.1:8265"
    assert find(local=False, address=None, file=other) == Cluster(file=other)
    monkeypatch.setenv("RAY_ADDRESS", url)
    assert find(local=False, address=None, file=None) == Cluster(address=url)
    assert find(local=False, address="http://head:1", file=other) == Cluster(
        address="http://head:1"
    )
    assert find(local=True, address=url, file=other) is None


def test_a_missing_or_damaged_cluster_file_is_one_sentence(here):
    with pytest.raises(UserError, match="no cluster file"):
        find(local=False, address=None, file=Path("clsuter.yaml"))
    (here / "ray_cluster.yaml").write_text("{")
    with pytest.raises(UserError, match="not a cluster file"):
        find(local=False, address=None, file=None)


@pytest.mark.timeout(120)
def test_an_address_where_nothing_answers_is_one_sentence_and_not_waited_for(here):
    with pytest.raises(UserError, match="No Ray answers at"):
        find(local=False, address="127.0.0.1:9", file=None)
    with pytest.raises(UserError, match="Ray's client"):
        find(local=False, address="ray://127.0.0.1:10001", file=None)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(UserError, match="No Ray answers at"),
    ):
        find(local=False, address=f"127.0.0.1:{silent.getsockname()[1]}", file=None)
    with (
        pytest.raises(UserError, match="does not answer"),
        Cluster(address="http://127.0.0.1:9").connect(),
    ):
        pass


@pytest.mark.parametrize(
    ("statuses", "sentence"),
    [((401, 401), "refuses the token"), ((200, 403), "refuses the token"),
     ((500, 200), "does not answer"), ((200, 500), "does not answer")],
)  # fmt: skip
def test_a_head_that_refuses_or_is_dead_is_one_sentence(statuses, sentence):
    answers = dict(zip(("/api/gcs_healthz", "/api/version"), statuses, strict=True))

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answers[self.path])
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with pytest.raises(UserError, match=sentence):
            Head(url, {}, url, None).check()
        server.shutdown()


@pytest.mark.parametrize(
    "words",
    [
        ["lsskd"],
        ["lsskd", "pskd", "--backbone", "resnet8", "--backbone", "resnet20"],
        ["kd", "--set", "alpha=0.8", "--set", "tau=2", "--search-optimizer", "--trials", "4"],
        ["--resume", "yesterday"],
    ],
)
def test_a_command_line_reaches_the_cluster_as_it_was_typed(words):
    flags = read_flags(Flags, [*words, "--cluster", "ray_cluster.yaml", "--storage", "elsewhere"])
    sent = to_words(flags)
    assert "--cluster" not in sent
    assert "--storage" not in sent
    assert read_flags(Flags, sent) == read_flags(Flags, words)


def test_a_cluster_is_planned_at_the_size_it_may_grow_to(tmp_path, monkeypatch):
    config = {
        "max_workers": 3,
        "available_node_types": {
            "head": {"resources": {"CPU": 0}, "max_workers": 0},
            "gpu_spot": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 8},
        },
    }
    monkeypatch.setattr(growth, "_CONFIG", tmp_path / "config.yaml")
    assert growth.machines([{"CPU": 2.0}]) == [{"CPU": 2.0}]
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert growth.machines([{"CPU": 0.0}]) == [{"CPU": 8, "GPU": 1}] * 3
