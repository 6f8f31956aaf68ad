"""Text of models, servers and strangers made safe: for a message, a terminal, a CI job, Markdown and JSON.

`shown` is for a value in a sentence, `printable` for a path or name that must stay itself, `visible` for all
that is printed in the end, whatever it is made of.
"""

from __future__ import annotations

import re
from typing import TypeVar, cast

MOST_SHOWN = 200  # characters of a value in a message
MOST_IN_MARKDOWN = 600  # characters of a name or a sentence

# Control characters but tab and newline; separators and directions of text, which can hide or reorder what
# stands beside them; lone surrogates, which no stream and no xdist worker can carry.
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# What GitHub's runner takes for a command: `::name::` behind the blanks at the beginning of a line, and
# `##[name]` anywhere. One character of each is written out.
COMMAND = re.compile(r"(?P<blanks>(?:^|(?<=\r))(?:[^\S\n]|[\ufeff\u200b])*):(?=:)|\#(?=\#\[)", re.MULTILINE)

MARKUP = re.compile(r"[`*\[\]<>&|@#~\\!]|:(?=//)|(?<=www)\.")  # of GitHub's Markdown: links and mentions too

T = TypeVar("T")


def escape(value: object, most: int = MOST_SHOWN) -> str:
    """Return a value as a part of a message: cut, and escaped where a terminal would act upon it."""
    whole = str(value)
    cut = whole if len(whole) <= most else whole[:most] + "…"
    return cut if cut.isprintable() else ascii(cut)


def printable_name(path: str) -> str:
    """Return a path or name as a terminal can show it; two of them never become the same text."""
    if path.isprintable() and "\\" not in path:
        return path
    return "".join(
        character if character.isprintable() and character != "\\" else _escape_character(character)
        for character in path
    )


def escape_text(text: str) -> str:
    """Return the text with unsafe characters written out, as in `\\x1b`, and no command for a CI job."""
    return _without_commands(UNSAFE.sub(lambda match: _escape_character(match.group()), text))


def escape_line(text: str) -> str:
    """Return the text as `visible` does, in one line."""
    return escape_text(text).replace("\n", "\\n")


def markdown_code(name: str) -> str:
    """Return a name as code: no link, no mention, no markup, no end of a table's cell; empty for no name."""
    inside = _in_one_line(name).replace("`", "'").replace("|", "\\|")
    return f"`{_cut_text(inside)}`" if inside else ""


def markdown_text(sentence: str) -> str:
    """Return a sentence as plain text: what would be markup is shown, and nobody is mentioned."""
    return MARKUP.sub(lambda match: f"&#{ord(match.group())};", _cut_text(_in_one_line(sentence)))


def markdown_block(text: str) -> str:
    """Return a text of several lines as a block of code, which nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{escape_text(text)}\n{fence}"


def escape_json(document: str) -> str:
    """Return a JSON document of the same content whose text forms no command."""
    return document.replace("##[", "\\u0023#[")


def escape_failure(failure: T) -> T:
    """Return what pytest shows of a failure without commands, its colours as they are; changed in place."""
    inert: object = failure
    if isinstance(failure, str):
        inert = _without_commands(failure)
    elif isinstance(failure, (list, tuple)):
        inert = type(failure)(map(escape_failure, failure))
    elif type(failure).__module__.startswith("_pytest."):
        for name, value in vars(failure).items():
            setattr(failure, name, escape_failure(value))
    return cast(T, inert)


def _escape_character(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _without_commands(text: str) -> str:
    return COMMAND.sub(lambda match: "\\x23" if match[0] == "#" else rf"{match['blanks']}\x3a", text)


def _in_one_line(text: str) -> str:
    return " ".join(UNSAFE.sub(" ", text).split())


def _cut_text(text: str) -> str:
    return text if len(text) <= MOST_IN_MARKDOWN else f"{text[:MOST_IN_MARKDOWN]}…"
