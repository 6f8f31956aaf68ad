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
    is_part = any(chosen.get(name) is not None for name in ("sample", "first_n"))
    # Whether this run asks each question of the other: all, or the same choice of them.
    if not is_part or all(chosen.get(name) == their_chosen.get(name) for name in CHOICE):
        lost = [unit.label for name, unit in earlier.items() if not (name in known or name[0] in failed)]
        return LostQuestions(len(lost), len(earlier), tuple(lost))
    first, sample = (
        value if isinstance(value := chosen.get(name), int) else math.inf for name in ("first_n", "sample")
    )
    tasks = Counter(question if name is not None else "" for question, name in earlier)
    expected = int(min(sample, sum(min(first, count) for count in tasks.values())))  # at least
    return LostQuestions(max(0, expected - len(known) - len(failed)), expected)


def _question_key(unit: Unit) -> tuple[str, str | None]:
    return unit.key.question, unit.key.sample
