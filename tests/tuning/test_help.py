"""What `--help` says reads as a person wrote it, with nothing of the parser's own words."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import tuning

COMMANDS = sorted(
    f"tuning.{path.stem}"
    for path in Path(tuning.__file__).parent.glob("*.py")
    if path.stem != "__init__"
)
OF_THE_PARSER = re.compile(r"\{None\}|\{True|\bSTR\b|default: (None|\)|\(\))|\[\[")


@pytest.mark.parametrize("name", ["kd.train", *COMMANDS])
def test_help_has_no_word_of_the_parser(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        import_module(name).main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert not OF_THE_PARSER.search(said), said
