"""The entry of one question in a baseline file, short enough for one line."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.records.answer_ratings import answers_entry
from pytest_instructlab_eval.records.scores import Result, Score

Value = float | str | Mapping[str, float | None] | None
"""The entry of a score: a number or none, a text of a task's answers, or values by sample."""

ANSWERS = {"1": 1.0, "0": 0.0, "-": None}


def baseline_entry(results: Sequence[Result]) -> dict[str, object]:
    """Return a question's scores by metric, its repeated answers, and what else is known of it.

    A metric that was recorded twice has a list. A group equal to the question is left out, and so is a
    cluster that follows from the group.
    """
    first, metrics = results[0], defaultdict[str, list[Score]](list)
    passages: dict[str, str] = {}
    for score in itertools.chain.from_iterable(result.scores for result in results):
        metrics[score.metric].append(score)
        passages |= {sample.id: sample.passage for sample in score.samples if sample.passage}
    entry = answers_entry(metrics.values())
    entry |= _common_digests(results)
    if first.group != first.question:
        entry["group"] = first.group
    if first.own_cluster is not None:
        entry["cluster"] = first.own_cluster
    if passages:
        entry["passages"] = passages
    entry["scores"] = {
        name: list(map(_compact, scores)) if len(scores) > 1 else _compact(scores[0])
        for name, scores in metrics.items()
    }
    return entry


def _common_digests(results: Sequence[Result]) -> dict[str, object]:
    """Return the digests of a question's content and gradings, each where all its tests have the same.

    Tests of one name in two files may ask different things, or be graded in different ways.
    """
    digests = {"content": results[0].content, "gradings": results[0].gradings}
    return {
        name: value
        for name, value in digests.items()
        if value and all(getattr(result, name) == value for result in results)
    }


def _compact(score: Score) -> Value:
    """Return the entry of a score: a number or None; for samples, a text of answers or values by id."""
    if not score.samples:
        return score.value
    signs = {value: sign for sign, value in ANSWERS.items()}
    numbered = [sample.id for sample in score.samples] == [str(n) for n in range(len(score.samples))]
    if numbered and all(sample.value in signs for sample in score.samples):
        return "".join(signs[sample.value] for sample in score.samples)
    return {sample.id: sample.value for sample in score.samples}
