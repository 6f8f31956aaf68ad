"""What a model, a server or a stranger wrote, such that a terminal shows it and doesn't act upon it."""

from __future__ import annotations

import re

__all__ = ["visible", "visible_line"]

# Control characters but tab and newline; separators and directions of text, which can hide or reorder what
# stands beside them; lone surrogates, which no stream and no xdist worker can carry.
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with such characters written out, as in `\\x1b`."""
    return UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def visible_line(text: str) -> str:
    """The same in one line."""
    return visible(text).replace("\n", "\\n")
