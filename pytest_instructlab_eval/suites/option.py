"""An option: a flag and its ini twin; of this plugin, or of an installed benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Option"]


@dataclass(frozen=True)
class Option:
    """One flag and its ini twin: `--eval-few-shots` and `eval_few_shots`."""

    field: str
    metavar: str | None
    help: str
    parse: Callable[[str], Any]
    default: str | None = None
    repeatable: bool = False
    is_path: bool = False
    places: Literal["both", "flag", "ini"] = "both"

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--eval-" + self.field.replace("_", "-")

    @property
    def name(self) -> str:
        """The ini name; also where pytest keeps the flag's value."""
        return "eval_" + self.field
