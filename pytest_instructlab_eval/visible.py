"""What a model, a server or a stranger wrote, such that a terminal or a CI job doesn't act upon it."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["inert_failure", "inert_json", "visible", "visible_line"]

# Control characters but tab and newline; separators and directions of text, which can hide or reorder what
# stands beside them; lone surrogates, which no stream and no xdist worker can carry.
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# What GitHub's runner takes for a command: `::name::` behind the blanks at the beginning of a line, and
# `##[name]` anywhere. One character of each is written out.
COMMAND = re.compile(r"(?P<blanks>(?:^|(?<=\r))(?:[^\S\n]|[\ufeff\u200b])*):(?=:)|\#(?=\#\[)", re.MULTILINE)


def visible(text: str) -> str:
    """Return the text with such characters written out, as in `\\x1b`, and no command for a CI job."""
    return _inert(UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text))


def visible_line(text: str) -> str:
    """Return the same in one line."""
    return visible(text).replace("\n", "\\n")


def inert_json(document: str) -> str:
    """Return a JSON document of the same content whose text forms no command."""
    return document.replace("##[", "\\u0023#[")


def inert_failure(shown: Any) -> Any:
    """Return what pytest shows of a failure without commands, its colours as they are; changed in place."""
    if isinstance(shown, str):
        return _inert(shown)
    if isinstance(shown, (list, tuple)):
        return type(shown)(map(inert_failure, shown))
    if type(shown).__module__.startswith("_pytest."):
        for name, value in vars(shown).items():
            setattr(shown, name, inert_failure(value))
    return shown


def _inert(text: str) -> str:
    return COMMAND.sub(lambda found: "\\x23" if found[0] == "#" else rf"{found['blanks']}\x3a", text)
