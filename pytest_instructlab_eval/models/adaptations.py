"""Adaptations: what a server could not do as asked, and what was done instead; reports list them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Role = Literal["model", "judge"]


@dataclass(frozen=True)
class Adaptation:
    """One way in which requests to a model's server differ from the usual ones.

    `name` is the same in every process and release ("max_completion_tokens"), `text` a sentence for people.
    `changes_answers` says whether a model may answer otherwise for it: such a one is part of a run's
    fingerprint.
    """

    name: str
    text: str
    changes_answers: bool = False


class Adaptations:
    """The adaptations to one model's server, each noted once, in the order they were found necessary."""

    def __init__(self) -> None:
        self._noted: dict[str, Adaptation] = {}

    def note(self, name: str, text: str, *, changes_answers: bool = False) -> None:
        """Add an adaptation, unless it is there already."""
        self._noted.setdefault(name, Adaptation(name, text, changes_answers))

    def __contains__(self, name: object) -> bool:
        return name in self._noted

    def __len__(self) -> int:
        return len(self._noted)

    def __iter__(self) -> Iterator[Adaptation]:
        return iter(tuple(self._noted.values()))
