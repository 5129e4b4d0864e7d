"""Addresses that hold a secret, in every spelling: what is shown of them, and what never is."""

import os
from pathlib import Path

import pytest

from kd.config import TrainConfig
from kd.errors import UserError
from tuning.cluster.target import find
from tuning.records.settings import FILE, SweepSettings
from tuning.storage.addresses import masked, public, scrubbed
from tuning.storage.shelf import check_uri
from tuning.tracking.store import Store

SECRET = "Zx9-kQ"

TABLE = [
    ("http://kd:Zx9-kQ@host:5000/a", "http://***@host:5000/a"),
    ("http://kd:%3aZx9-kQ@host", "http://***@host"),
    ("http://kd%3aZx9-kQ@host", "http://***@host"),
    ("https://Zx9-kQ@host/a", "https://***@host/a"),
    ("https://Zx9-kQ:x-oauth@host/a", "https://***@host/a"),
    ("http://kd:p@/Zx9-kQ@host", "http://***@host"),
    ("http://kd:p?Zx9-kQ@host", "http://***@"),
    ("http://host/a?token=Zx9-kQ", "http://host/a?***"),
    ("http://host/a?to=b@Zx9-kQ", "http://***@"),
    ("http://host/a?api_key=Zx9-kQ&port=1", "http://host/a?port=1&***"),
    ("http://host/#access_token=Zx9-kQ", "http://host/#***"),
    ("http://host/?%70assword=Zx9-kQ", "http://host/?***"),
    ("http://host/?Zx9-kQ", "http://host/?***"),
    ("postgresql:///?user=kd&password=Zx9-kQ", "postgresql:///?user=kd&***"),
    ("postgresql:///?password=a;Zx9-kQ&host=h", "postgresql:///?host=h&***"),
    ("postgresql:///?host=h&PGPASSWORD=Zx9-kQ", "postgresql:///?host=h&***"),
    ("postgresql+psycopg://:Zx9-kQ@host/db", "postgresql+psycopg://:***@host/db"),
    ("mssql://host;user=kd;password=Zx9-kQ", "mssql://host;user=kd&***"),
    ("host=h user=kd password=Zx9-kQ", "?host=h&user=kd&***"),
    ("kd:Zx9-kQ@host:6379", "***@host:6379"),
]


def reach(address: str) -> None:
    cluster = find(local=False, address=address, file=None)
    assert cluster
    with cluster.connect():
        raise AssertionError


HARMLESS = [
    "127.0.0.1:6379",
    "http://host:5000/a",
    "postgresql://kd@host:5432/db?sslmode=require",
    "sqlite:////home/a@b/c;d#e=f/mlflow.db",
    "s3://bucket/folder?region=eu-west-1",
]


@pytest.mark.parametrize(("address", "shown"), TABLE)
def test_a_secret_is_masked_in_every_spelling(address: str, shown: str) -> None:
    assert masked(address) == shown
    assert SECRET not in masked(address)
    assert SECRET not in public(address)
    told = f"could not parse {address!r}: no host {SECRET!r}, port {SECRET}"
    assert SECRET not in scrubbed(told, address)


@pytest.mark.parametrize("address", HARMLESS)
def test_what_is_no_secret_is_shown(address: str) -> None:
    assert masked(address) == address
    assert scrubbed(f"{address} is down", address) == f"{address} is down"


@pytest.mark.parametrize("address", [address for address, _ in TABLE if "://" in address])
def test_no_store_says_its_secret(address: str, tmp_path: Path) -> None:
    store = Store.at(tmp_path, address.replace("host", "127.0.0.1:1"))
    with pytest.raises(UserError) as error:
        store.connect()
    chain = repr(store) + str(error.value) + repr(error.value.__cause__)
    assert SECRET not in chain + store.name + store.page
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    "address", [a for a, _ in TABLE if a.startswith("http")] + ["kd:Zx9-kQ@host", "ray://Zx9-kQ@h"]
)
def test_no_cluster_says_its_secret(address: str) -> None:
    with pytest.raises(UserError) as error:
        reach(address.replace("host", "127.0.0.1:1"))
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("uri", ["s3://a:Zx9-kQ@bucket/x", "s3://bucket/x?secret_key=Zx9-kQ"])
def test_checkpoints_take_no_key(uri: str) -> None:
    with pytest.raises(UserError, match="holds a key") as error:
        check_uri(uri)
    assert SECRET not in str(error.value)


def test_settings_that_may_hold_a_secret_are_for_their_owner_alone(tmp_path: Path) -> None:
    base = TrainConfig.paper("ce", "resnet8", "digits", epochs=1)
    uri = f"postgresql://kd:{SECRET}@host/db"
    for name, address, mode in (("open", None, 0o644), ("private", uri, 0o600)):
        settings = SweepSettings(
            name=name, base=base, trials=1, storage=tmp_path, tracking_uri=address
        )
        before = os.umask(0o022)
        try:
            settings.save()
            file = settings.folder / FILE
            assert file.stat().st_mode & 0o777 == mode
            file.chmod(0o644)
            settings.save()
        finally:
            os.umask(before)
        assert file.stat().st_mode & 0o777 == mode
