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


@pytest.mark.parametrize("name", ["kd.train", "kd.backbones.__main__", *COMMANDS])
def test_help_reads_well_on_a_narrow_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        import_module(name).main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert not OF_THE_PARSER.search(said), said
    assert not re.search(r"[a-z,;] {12,}\W?\n\W? {9,}[a-z]\w{0,9}[ .,]", said), "it had room above"
