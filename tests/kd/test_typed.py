"""What was typed becomes flags, with `~` written out, and no secret is said again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from kd.errors import UserError
from kd.typed import read_flags


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Flags within flags."""

    storage: Path = Path("runs")
    """A folder."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Flags of every kind."""

    output: Path | None = None
    """A file."""
    trials: int = 1
    """A number."""
    words: tuple[str, ...] = ()
    """Texts."""
    inner: Annotated[Inner, tyro.conf.arg(name="")] = field(default_factory=Inner)


def test_a_tilde_is_the_users_folder_wherever_a_shell_leaves_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    flags = read_flags(Flags, ["--output=~/x.yaml", "--storage", "~", "--words", "~/a", "b"])
    assert flags.output == Path("/home/me/x.yaml")
    assert flags.inner.storage == Path("/home/me")
    assert flags.words == ("~/a", "b")


@pytest.mark.parametrize("flag", ["output", "storage"])
def test_a_tilde_before_nobodys_name_is_refused(flag):
    with pytest.raises(UserError, match=rf"--{flag} is ~nosuchuser/x, but there is no user"):
        read_flags(Flags, [f"--{flag}", "~nosuchuser/x"])


@pytest.mark.parametrize("words", [["--trials="], ["--trials", ""], ["--words", "a", ""]])
def test_an_empty_word_is_refused(words):
    with pytest.raises(UserError, match="is empty; give a value, or leave it away"):
        read_flags(Flags, words)


@pytest.mark.parametrize(
    "words",
    [
        ["--token", "secret"],
        ["--token=secret"],
        ["-t", "a:secret"],
        ["--token", "-secret"],
        ["--token", "a, -secret"],
        ["--token", "--secret"],
    ],
)
def test_the_value_of_an_unknown_flag_is_not_said_again(words):
    with pytest.raises(UserError, match=r"There is no flag -") as refusal:
        read_flags(Flags, words)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("length", [59, 61, 300, 5000])
def test_a_long_value_is_said_by_its_beginning(length):
    with pytest.raises(UserError, match=r"^--trials is 'zzzz.*'; give a whole number") as refusal:
        read_flags(Flags, ["--trials", "z" * length])
    assert len(str(refusal.value)) < 200


def test_the_value_that_is_wrong_is_said_and_not_an_earlier_one():
    with pytest.raises(UserError, match="--trials is 'x'; give a whole number"):
        read_flags(Flags, ["--trials", "3", "--trials", "x"])
