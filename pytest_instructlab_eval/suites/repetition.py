"""`--eval-repeat auto` in one process: how often each question is asked, from the spread seen so far.

A question is asked a few times, and its answers are judged. Then it waits for the other questions that are
under way. Where the spread of all ratings needs more answers, it is asked up to 8 times, and then up to 16
times, and looks at the spread again each time (see `needed_repeats`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pytest_instructlab_eval.data.answers import read_answers
from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.models import Model
from pytest_instructlab_eval.models.journalled_model import kept_number
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.stats.needed_repeats import (
    MOST,
    STEPS,
    SURE,
    AnswerSpread,
    first_repeats,
    has_spread,
    needed_repeats,
)
from pytest_instructlab_eval.suites.answer_aims import (
    AskedQuestion,
    EarlierAnswers,
    Purpose,
    purposes_of,
    spreads_of,
)
from pytest_instructlab_eval.suites.benchmark import Benchmark, Question
from pytest_instructlab_eval.suites.digests import digest

Key = tuple[str, str]
"""A question by its name, and the model that is asked."""

ENOUGH = 2 * SURE  # degrees of freedom of the spread with which no question waits for more
WIDEST = AnswerSpread((10**2 - 1) / 12, 1e6)  # of ratings from 1 to 10 that are all equally frequent

When = Literal["judged", "answered", "recorded"]
"""When the number of answers is decided: once the first are judged, before any is, or in an earlier run."""


class Repetition:
    """How often the questions of one benchmark are asked.

    `purposes` is what the answers decide, `earlier` has those of an earlier run. `recorded` are the
    numbers of answers to each question that a judging run has, by question and model.
    """

    def __init__(
        self,
        purposes: Sequence[Purpose],
        earlier: EarlierAnswers,
        when: When = "judged",
        recorded: Mapping[Key, int] | None = None,
    ) -> None:
        self.when = when
        self._purposes = purposes
        self._earlier = earlier
        self._recorded = recorded or {}
        self._spreads: dict[str | None, dict[Key, AnswerSpread]] = {
            purpose.metric: {} for purpose in purposes
        }
        self._firsts: dict[str, int] = {}
        self._counts = dict(self._recorded)
        self._under_way: Counter[Key] = Counter()
        self._news = asyncio.Event()

    def first(self, key: Key) -> int:
        """Return how often a question is asked before its answers are judged."""
        if self.when == "recorded":
            return self._recorded.get(key, 1)
        question, _ = key
        if question not in self._firsts:
            purposes = self._of(question)
            counts = [max((first_repeats(purpose.aim) for purpose in purposes), default=2)]
            for purpose in purposes if self.when == "answered" else ():
                needed = needed_repeats(purpose.aim, self._earlier.spreads(purpose.metric) or [WIDEST])
                counts.append(MOST if needed is None else min(MOST, needed))
            self._firsts[question] = max(counts)
        return self._firsts[question]

    def expected(self, question: str) -> int:
        """Return how often a question is asked as far as is known, rounded up where models differ.

        Any thread may call it.
        """
        known = list(self._counts.items())  # a copy, as the loop's thread may add to it
        counts = [count for (name, _), count in known if name == question]
        return math.ceil(statistics.fmean(counts)) if counts else self.first((question, ""))

    def add(self, key: Key, scores: Sequence[Score], answers: int) -> None:
        """Add the scores of so many answers to a question."""
        self._counts[key] = answers
        for metric, spreads in self._spreads.items():
            for spread in spreads_of([scores], metric):
                spreads[key] = spread

    @contextlib.contextmanager
    def under_way(self, key: Key) -> Iterator[None]:
        """Make the other questions wait for answers to this one, as long as the context lasts."""
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            self._under_way += Counter()  # without those that are at 0
            self._news.set()
            self._news = asyncio.Event()

    async def kept_first(self, key: Key, model: Model) -> int:
        """Return `first`; a run that goes on takes the number of the run before, where it had a choice."""
        if self.when != "answered":
            return self.first(key)

        async def decide() -> int:
            return self.first(key)

        return await kept_number(model, self._basis(key, 0), decide)

    async def kept_number(self, key: Key, asked: int, model: Model) -> int:
        """Return `decide`; a run that goes on takes the number of the run before.

        It would decide otherwise, as that depends on which answers are known by then. The number is another
        one where what the answers are for has changed.
        """
        self._counts[key] = await kept_number(
            model, self._basis(key, asked), partial(self.decide, key, asked)
        )
        return max(asked, self._counts[key])

    def _basis(self, key: Key, asked: int) -> object:
        """Return what the answers to a question are for, after it was asked so often, as data for JSON."""
        purposes = self._of(key[0])
        aims = [(one.text, one.metric, vars(one.aim), sorted(one.questions)) for one in purposes]
        return self.when, asked, aims

    async def decide(self, key: Key, asked: int) -> int:
        """Return how often a question is to be asked in all, after it was asked so often and added.

        Waits for the questions whose answers are under way now, not for later ones, and for none where the
        spread is known well enough.
        """
        awaited = set(self._under_way) - {key}
        purposes = self._of(key[0])
        while awaited & set(self._under_way):
            freedom = [sum(spread.freedom for spread in self._seen(purpose)) for purpose in purposes]
            if min(freedom, default=ENOUGH) >= ENOUGH:
                break
            await self._news.wait()
        self._counts[key] = max((self._next(purpose, asked) for purpose in purposes), default=asked)
        return self._counts[key]

    def _of(self, question: str) -> list[Purpose]:
        """Return the purposes in which a question counts."""
        return [purpose for purpose in self._purposes if question in purpose.questions]

    def _seen(self, purpose: Purpose) -> list[AnswerSpread]:
        """Return the spreads of the answers to the questions of a purpose."""
        spreads = self._spreads[purpose.metric]
        return [spread for (name, _), spread in spreads.items() if name in purpose.questions]

    def _next(self, purpose: Purpose, asked: int) -> int:
        """Return how often a purpose needs a question asked now that it was asked so often."""
        spreads = self._seen(purpose)
        if sum(spread.freedom for spread in spreads) < SURE:
            spreads = list(self._spreads[purpose.metric].values())
        if sum(spread.freedom for spread in spreads) < SURE:
            spreads += self._earlier.spreads(purpose.metric)
        if not spreads:  # no answer has a rating
            return asked
        needed = needed_repeats(purpose.aim, spreads) or MOST
        if needed <= asked:
            return asked
        return (
            next((step for step in STEPS if step > asked), asked)
            if has_spread(spreads)
            else min(MOST, needed)
        )


@dataclass(frozen=True)
class AutoRepeats:
    """The part of a `Repetition` of one question, given by its name."""

    repetition: Repetition
    name: str


def auto_repeats(
    benchmark: Benchmark, questions: Sequence[Question], settings: Settings, *, ref: str | None = None
) -> list[AutoRepeats]:
    """Return, for each of a benchmark's asked questions, its part of one `Repetition`.

    `ref` is the Git ref that the questions were read at, by which a judging run finds their answers.
    """
    earlier, when = EarlierAnswers.of(settings, benchmark.name), when_decided(settings)
    by_name = {
        question.id: AskedQuestion(
            question.id, question.group, digest(question.content) if benchmark.compared == "each" else ""
        )
        for question in questions
    }
    purposes = purposes_of(settings, benchmark.name, benchmark.maximum, list(by_name.values()), earlier)
    recorded = _recorded_counts(benchmark, questions, settings, ref) if when == "recorded" else {}
    repetition = Repetition(purposes, earlier, when, recorded)
    return [AutoRepeats(repetition, question.id) for question in questions]


def _recorded_counts(
    benchmark: Benchmark, questions: Sequence[Question], settings: Settings, ref: str | None
) -> dict[Key, int]:
    """Return how many answers there are to each question, by its name and the label of the model.

    A model without a file of answers has none here; the run itself reports that.
    """
    counts: dict[Key, int] = {}
    if benchmark.files is None:
        return counts
    for label in settings.labels:
        with contextlib.suppress(EvalError):
            recorded = read_answers(settings.output_dir / benchmark.files.folder(ref), label)
            for question in questions:
                turns = recorded.get(benchmark.files.conversation(question).number)
                if turns:
                    counts[question.id, label] = len(turns[0])
    return counts


def when_decided(settings: Settings) -> When:
    """Return when a run decides how often a question is asked.

    Where the model cannot be asked again after the judge, or would have to be loaded again for it, that is
    before any answer is judged.
    """
    if settings.stage == "judge":
        return "recorded"
    return "answered" if settings.stage == "answer" or settings.swaps_judges else "judged"
