"""A mistake of a user as a record: what was meant, what was typed, and what must be said."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from tests.plugin.conftest import Project

__all__ = ["SECRET", "Mistake", "errors", "shortened", "told"]

ERROR = re.compile(r"^(?:ERROR: (?!usage:)|Error: |\S+: error: )")
SECRET = "sk-0123456789abcdef"  # the user's key, in the environment of every run as THE_KEY


@dataclass(frozen=True)
class Mistake:
    """One mistake and what it must get.

    `command` is what the user types, with the names that `test_mistakes.names` gives. `gets` is the pattern of
    the sentence; it begins with what is wrong. `given` prepares the project; `server` runs what the user takes
    for a model's server, and its URL is $URL. `asks` says that the mistake shows only when a model is asked.
    `never` is what must not be said.
    """

    name: str
    meant: str
    command: str
    gets: str
    status: int = 4
    files: Mapping[str, str] = field(default_factory=dict)
    given: Callable[[Project], None] | None = None
    server: Callable[[], AbstractContextManager[str]] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    asks: bool = False
    never: str = ""


def errors(shown: str) -> list[str]:
    """Return the lines that begin as an error of pytest, of argparse or of click does; each once."""
    lines = [line for line in shown.splitlines() if ERROR.match(line)]
    return list(dict.fromkeys(ERROR.sub("", line) for line in lines))


def told(gets: str, status: int, shown: str) -> list[str]:
    """Return the sentences that fit the pattern, each once.

    A run that was refused has its sentence in an error; one that ended has it anywhere, such as in a failure.
    """
    refusals = errors(shown) if status in (2, 4) else []
    lines = refusals or [ERROR.sub("", line) for line in shown.splitlines()]
    return list(dict.fromkeys(line for line in lines if re.search(gets, line)))


def shortened(shown: str, places: Mapping[str, str]) -> str:
    """Return the text with a short name for each folder of the test, as a user's own folders have."""
    for folder in sorted(places, key=len, reverse=True):
        shown = shown.replace(folder, places[folder])
    return shown
