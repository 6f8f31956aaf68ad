"""An option: a flag and its ini twin; of this plugin, or of an installed benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Option:
    """One flag and its ini twin: `--eval-few-shots` and `eval_few_shots`.

    `aliases` are other fields whose flags and ini names mean the same.
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

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return self.flags[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """The command-line flag and its aliases."""
        return tuple("--eval-" + field.replace("_", "-") for field in (self.field, *self.aliases))

    @property
    def name(self) -> str:
        """The ini name; also where pytest keeps the flag's value."""
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The ini name and its aliases."""
        return tuple("eval_" + field for field in (self.field, *self.aliases))
