"""The questions of one run: those of each benchmark, read once, and what of its data is not asked."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.base import Question
from pytest_instructlab_eval.suites.digests import data_digest
from pytest_instructlab_eval.suites.registry import benchmark, fixture_of, fixtures, names
from pytest_instructlab_eval.suites.selection import asked, selected, unasked

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges.trial import Put

__all__ = ["Questions"]


class Questions:
    """What one run asks.

    `put` is how judges are tried: as the first judged question is put to them; None where there is none yet.
    """

    def __init__(self, settings: Settings) -> None:
        self.put: Put | None = None
        self._settings = settings
        self._by_fixture: dict[str, Sequence[Question]] = {}

    def of_fixture(self, fixture: str) -> Sequence[Question]:
        """Return the questions or tasks behind a parametrized fixture; raises DataError."""
        if fixture not in self._by_fixture:
            known = benchmark(fixtures()[fixture])
            assert known is not None  # noqa: S101  (each fixture is of one)
            self._by_fixture[fixture] = found = asked(known, self._settings)
            if found and known.judged_like is not None:
                self.put = self.put or known.judged_like(found[0])
        return self._by_fixture[fixture]

    @cached_property
    def unasked(self) -> dict[str, list[str]]:
        """What the run leaves out of each benchmark's data; what cannot be read is told when it is read."""
        found: dict[str, list[str]] = {}
        for name in selected(self._settings):
            with contextlib.suppress(EvalError):
                found[name] = unasked(name, self._settings)
        return found

    def notes(self, collected: Collection[str]) -> tuple[str, ...]:
        """Return what is not asked of the benchmarks that the run has, as a part of its results.

        `collected` are the benchmarks of its tests.
        """
        settings, own = self._settings, [name for name in collected if name not in names()]
        told = itertools.chain.from_iterable(
            notes
            for name, notes in self.unasked.items()
            if name in collected or fixture_of(name) in self._by_fixture
        )
        if not own or (settings.sample or settings.first_n) is None:
            return tuple(told)
        option = "--eval-first-n" if settings.sample is None else "--eval-sample"
        which = ", ".join(own)
        return (
            *told,
            f"{option} does not apply to your own benchmarks: every question of {which} is asked",
        )

    def asks_nothing(self, fixtures: Sequence[str]) -> bool:
        """Return whether there is no question behind any of these parametrized fixtures."""
        return self._settings.base_questions == "same" and not any(map(self.of_fixture, fixtures))

    def digests(self, benchmarks: Collection[str]) -> dict[str, str]:
        """Return what tells the data of these benchmarks from other data, of those of which it is known."""
        found: dict[str, str] = {}
        for name in benchmarks:
            known, questions = benchmark(name), self._by_fixture.get(fixture_of(name) or "", ())
            digest = (
                data_digest(known, questions, self._settings) if known is not None and questions else None
            )
            if digest is not None:
                found[name] = digest
        return found
