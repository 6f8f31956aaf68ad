"""Questions of an earlier run that a later run should have, and has no result of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.values import Unit, units_of

CHOICE = ("sample", "sample_seed", "first_n")


@dataclass(frozen=True)
class LostQuestions:
    """The number of lost questions, of so many that were expected; `names` where it is known which."""

    count: int
    expected: int
    names: tuple[str, ...] = ()


def lost_questions(
    ours: Iterable[Result],
    theirs: Iterable[Result],
    chosen: Mapping[str, object],
    their_chosen: Mapping[str, object],
) -> LostQuestions:
    """Return what our results of one benchmark and model lack beside theirs.

    A question that ended in an error or has no rating is not lost: a result says so. `chosen` and
    `their_chosen` are the fingerprints of the two runs. Where they chose other questions (a sample, or the
    first N), only the number of our questions can be wrong.
    """
    mine = list(ours)
    failed = {result.question for result in mine if result.error is not None}
    known = set(map(_question_key, units_of(mine)))
    earlier = {_question_key(unit): unit for unit in units_of(theirs) if unit.value is not None}
    asks_all = (chosen.get("sample"), chosen.get("first_n")) == (None, None)
    if asks_all or list(map(chosen.get, CHOICE)) == list(map(their_chosen.get, CHOICE)):
        lost = [unit.label for name, unit in earlier.items() if not (name in known or name[0] in failed)]
        return LostQuestions(len(lost), len(earlier), tuple(lost))
    expected = _least_asked(earlier, chosen)
    return LostQuestions(max(0, expected - len(known) - len(failed)), expected)


def _least_asked(questions: Iterable[tuple[str, str | None]], chosen: Mapping[str, object]) -> int:
    """Return how many of these questions a run asks at least that asks a sample or the first N."""
    first, sample = (
        value if isinstance(value := chosen.get(name), int) else math.inf for name in ("first_n", "sample")
    )
    tasks = Counter(question if name is not None else "" for question, name in questions)
    return int(min(sample, sum(min(first, count) for count in tasks.values())))


def _question_key(unit: Unit) -> tuple[str, str | None]:
    return unit.key.question, unit.key.sample
