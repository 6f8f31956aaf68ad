"""The ratings of repeated answers in a baseline: entries on the line of their question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypedDict

from pytest_instructlab_eval.data.typed_json import MisfitError
from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.records.schema import rating_problems
from pytest_instructlab_eval.records.scores import Score


class AnswersEntry(TypedDict, total=False):
    """The ratings of a question's answers by metric, and the metrics whose answers are all the same."""

    answers: Mapping[str, tuple[float | None, ...]]
    same_answers: tuple[str, ...]


def answers_entry(metrics: Iterable[Sequence[Score]]) -> dict[str, object]:
    """Return the entries of a question's scores, given by metric; none for questions that were asked once.

    A metric that was recorded several times is left out, since its answers could be of any of its scores.
    """
    repeated = [scores[0] for scores in metrics if len(scores) == 1 and scores[0].answers]
    answers = {score.metric: score.answers for score in repeated if not score.samples}
    same = [score.metric for score in repeated if score.same_answers]
    entries: dict[str, object] = {"answers": answers, "same_answers": same}
    return {name: entry for name, entry in entries.items() if entry}


def with_answers(scores: Iterable[Score], entry: AnswersEntry, *place: str) -> list[Score]:
    """Return a question's scores with the ratings of their answers; raises Misfit where both differ.

    `place` is that of the question.
    """
    answers, same = entry.get("answers", {}), entry.get("same_answers", ())
    scores = list(scores)
    metrics = [score.metric for score in scores if not score.samples]
    for metric in (*answers, *same):
        if metrics.count(metric) != 1 or metric not in answers:
            raise MisfitError(f"has answers of {escape(metric)}, which must have one score", *place)
    for score in scores:
        ratings = answers.get(score.metric, ())
        for problem in rating_problems(ratings, score.value, score.maximum, *place, "answers", score.metric):
            raise problem
    return [
        replace(score, answers=answers.get(score.metric, ()), same_answers=score.metric in same)
        for score in scores
    ]
