"""The questions of one run, read once for each benchmark, and notes on the data that it does not use."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import Question
from pytest_instructlab_eval.suites.digests import data_digest
from pytest_instructlab_eval.suites.registry import (
    benchmark_fixtures,
    benchmark_names,
    find_benchmark,
    fixture_of,
)
from pytest_instructlab_eval.suites.selection import asked_questions, selected_benchmarks, unasked_notes

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges.trial import Put


class RunQuestions:
    """The questions of one run.

    `put` is how the first judged question is put to a judge, for its trial; None before one is read.
    """

    def __init__(self, settings: Settings) -> None:
        self.put: Put | None = None
        self._settings = settings
        self._by_fixture: dict[str, Sequence[Question]] = {}

    def of_fixture(self, fixture: str, gates: Sequence[str] = ()) -> Sequence[Question]:
        """Return the questions or tasks behind a parametrized fixture; raises DataError.

        `gates` are those of the marker of the test that asks them, for --eval-repeat auto.
        """
        if fixture not in self._by_fixture:
            definition = find_benchmark(benchmark_fixtures()[fixture])
            assert definition is not None  # noqa: S101  (each fixture is of one)
            settings = replace(self._settings, gates=(*gates, *self._settings.gates))
            self._by_fixture[fixture] = questions = asked_questions(definition, settings)
            if questions and definition.judged_like is not None:
                from pytest_instructlab_eval.judges.trial import checked_put

                make = functools.partial(definition.judged_like, questions[0])
                self.put = self.put or checked_put(definition.name, make)
        return self._by_fixture[fixture]

    @cached_property
    def unasked(self) -> dict[str, list[str]]:
        """The notes on each benchmark's unused data; unreadable data is reported when it is read."""
        notes: dict[str, list[str]] = {}
        for name in selected_benchmarks(self._settings):
            with contextlib.suppress(EvalError):
                notes[name] = unasked_notes(name, self._settings)
        return notes

    def notes(self, collected: Collection[str]) -> tuple[str, ...]:
        """Return the notes on questions that the run does not ask, for its results.

        `collected` are the benchmarks of its tests.
        """
        settings, own = self._settings, [name for name in collected if name not in benchmark_names()]
        of_benchmarks = itertools.chain.from_iterable(
            notes
            for name, notes in self.unasked.items()
            if name in collected or fixture_of(name) in self._by_fixture
        )
        if not own or (settings.sample or settings.first_n) is None:
            return tuple(of_benchmarks)
        option = "--eval-first-n" if settings.sample is None else "--eval-sample"
        which = ", ".join(own)
        return (
            *of_benchmarks,
            f"{option} does not apply to your own benchmarks: every question of {which} is asked",
        )

    def asks_nothing(self, fixtures: Sequence[str]) -> bool:
        """Return whether none of these parametrized fixtures has a question."""
        return self._settings.base_questions == "same" and not any(map(self.of_fixture, fixtures))

    def digests(self, benchmarks: Collection[str]) -> dict[str, str]:
        """Return the digests of the data of these benchmarks, by name; unknown ones are missing."""
        digests: dict[str, str] = {}
        for name in benchmarks:
            definition, questions = find_benchmark(name), self._by_fixture.get(fixture_of(name) or "", ())
            digest = (
                data_digest(definition, questions, self._settings)
                if definition is not None and questions
                else None
            )
            if digest is not None:
                digests[name] = digest
        return digests
