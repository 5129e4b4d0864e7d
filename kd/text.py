"""Text that people chose, made harmless for one line, and values as JSON that all can read."""

import json
import re
from typing import Any


def visible(text: str) -> str:
    r"""`text` in one line: line breaks, controls and the like as `\n`, `\x1b`, `\u2028`."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def as_json(value: Any, indent: int | None = None) -> str:
    r"""JSON whose strings YAML, TOML and Python read as the same ones.

    Characters beyond the BMP stand for themselves, not as two escapes, which are two characters
    to YAML and none to TOML; what is not printable is escaped.
    """
    written = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub(r"[^\n -~]", _escaped, written)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable() or ord(character) > 0xFFFF:
        return character
    return f"\\u{ord(character):04x}"
