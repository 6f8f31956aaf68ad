"""A stratified sample of questions: the same on every machine, and contained in every larger one."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import Settings

if TYPE_CHECKING:
    from pytest_instructlab_eval.suites.benchmark import Question

T = TypeVar("T")
Q = TypeVar("Q", bound="Question")


def stratum_sizes(sizes: Mapping[str, int], n: int, seed: int = 0, *, alike: bool = False) -> dict[str, int]:
    """Return how many of `n` questions each stratum gets: in proportion to its size, or all `alike`.

    Each gets one before any gets a second. Where the score gives each question the same weight, the next goes
    to the stratum of size p with s questions so far that has the largest p^2 / (s(s+1)), as seats of the U.S.
    House are apportioned (Huntington-Hill, 2 U.S.C. 2a). Where it gives each stratum the same weight, the
    next goes to the stratum that has the fewest: for strata of one spread this has the smallest standard
    error (Neyman, Journal of the Royal Statistical Society 97, 1934). A larger `n` takes none away. Equals,
    and the first ones where `n` is less than the number of strata, come in an order that the seed decides.
    """
    weights = {name: 1 if alike else size for name, size in sizes.items() if size > 0}
    waiting = [
        (_priority(weight, 0), _shuffled_position(seed, name), name) for name, weight in weights.items()
    ]
    heapq.heapify(waiting)
    shares = dict.fromkeys(sizes, 0)
    for _ in range(min(n, sum(sizes.values()))):
        _, rank, name = heapq.heappop(waiting)
        shares[name] += 1
        if shares[name] < sizes[name]:
            heapq.heappush(waiting, (_priority(weights[name], shares[name]), rank, name))
    return shares


def _priority(weight: int, seats: int) -> tuple[bool, Fraction]:
    """Return the sort key of a stratum with so many questions: the smallest gets the next question."""
    return (False, Fraction(0)) if seats == 0 else (True, Fraction(seats * (seats + 1), weight * weight))


def stratified_sample(
    strata: Mapping[str, Sequence[T]], n: int, seed: int = 0, *, alike: bool = False
) -> dict[str, list[T]]:
    """Return `n` questions of all strata, or all where there are fewer: by stratum, each in its own order.

    For `alike` see `stratum_sizes`. Strata that get none are left out. A question is known by its text
    (`str`), which must be unique in its stratum: whether it is drawn doesn't depend on where it stands.
    """
    sizes = {name: len(questions) for name, questions in strata.items()}
    share = stratum_sizes(sizes, n, seed, alike=alike)
    sample = {}
    for name, questions in strata.items():
        ranks = [_shuffled_position(seed, name, str(question)) for question in questions]
        drawn = heapq.nsmallest(share[name], range(len(questions)), key=ranks.__getitem__)
        if drawn:
            sample[name] = [questions[index] for index in sorted(drawn)]
    return sample


def _shuffled_position(seed: int, *names: str) -> bytes:
    """Return a sort key that looks random, and is the same on every machine and version of Python."""
    return hashlib.sha256("\0".join((str(seed), *names)).encode("utf-8", "surrogatepass")).digest()


def choose_rows(
    rows: Sequence[T], first_n: int | None = None, numbers: Sequence[int] | None = None
) -> list[tuple[int, T]]:
    """Return the rows of these numbers, else the first `first_n`, else all: each with its number, from 0."""
    if numbers is not None:
        return [(number, rows[number]) for number in numbers]
    return list(enumerate(rows[:first_n]))


def sample_questions(questions: Sequence[Q], settings: Settings) -> list[Q]:
    """Return the sample that the settings ask for, over the groups: categories, or qna.yaml files.

    The score gives each question the same weight, so larger groups get more of them.
    """
    if settings.sample is None:
        return list(questions)
    groups: dict[str, list[str]] = {}
    for question in questions:
        groups.setdefault(question.group, []).append(question.id)
    drawn = stratified_sample(groups, settings.sample, settings.sample_seed or 0)
    drawn_ids = {question for ids in drawn.values() for question in ids}
    return [question for question in questions if question.id in drawn_ids]


def sample_tasks(tasks: Sequence[Any], settings: Settings) -> list[Any]:
    """Return the tasks that have a part of the sample, with their rows of it.

    The score gives each task the same weight, so each gets as many, as far as it has them.
    """
    if settings.sample is None:
        return list(tasks)
    rows = {task.id: range(task.size) for task in tasks}
    drawn = stratified_sample(rows, settings.sample, settings.sample_seed or 0, alike=True)
    return [dataclasses.replace(task, rows=tuple(drawn[task.id])) for task in tasks if task.id in drawn]


def sampled_score(score: Score, rows: Sequence[int] | None, size: int) -> Score:
    """Return the score of a task of this size with what it is a sample of; `rows` are those of the sample."""
    whole = rows is None or len(rows) >= size
    return score if whole else dataclasses.replace(score, sample_of=size)
