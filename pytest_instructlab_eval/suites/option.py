"""One option of this plugin or of an installed benchmark: a flag and its ini name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Option:
    """One flag and its ini name: `--eval-few-shots` and `eval_few_shots`.

    `aliases` are other fields whose flags and ini names mean the same. `expert` options are in the second
    group of `pytest --help`. A `help` that has no `default` to be shown after it ends with "(default: …)"
    itself.
    """

    field: str
    metavar: str | None
    help: str
    parse: Callable[[str], Any]
    default: str | None = None
    repeatable: bool = False
    is_path: bool = False
    places: Literal["both", "flag", "ini"] = "both"
    aliases: tuple[str, ...] = ()
    expert: bool = False

    @property
    def flag(self) -> str:
        """Return the command-line flag."""
        return self.flags[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the command-line flag and its aliases."""
        return tuple("--eval-" + field.replace("_", "-") for field in (self.field, *self.aliases))

    @property
    def name(self) -> str:
        """Return the ini name, which is also the name of the flag's value in pytest."""
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the ini name and its aliases."""
        return tuple("eval_" + field for field in (self.field, *self.aliases))
