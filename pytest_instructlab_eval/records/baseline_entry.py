"""The entry of one question in a baseline file, short enough for one line."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from pytest_instructlab_eval.records.answer_ratings import answers_entry
from pytest_instructlab_eval.records.scores import Result, Score, cluster_before

Value = float | str | Mapping[str, float | None] | None
"""The entry of a score: a number or none, a text of a task's answers, or values by sample."""

ANSWERS = {"1": 1.0, "0": 0.0, "-": None}


def baseline_entry(results: Sequence[Result]) -> dict[str, object]:
    """Return a question's scores by metric, its repeated answers, and what else is known of it.

    A metric that was recorded twice has a list. A group equal to the question is left out, and so is a
    cluster that follows from the group.
    """
    recorded = list(itertools.chain.from_iterable(result.scores for result in results))
    metrics: dict[str, list[Score]] = defaultdict(list)
    for score in recorded:
        metrics[score.metric].append(score)
    entries = {name: list(map(_compact, scores)) for name, scores in metrics.items()}
    return {
        **answers_entry(metrics.values()),
        **_contents(results),
        **_place(results[0]),
        **_passages(recorded),
        "scores": {name: values if len(values) > 1 else values[0] for name, values in entries.items()},
    }


def _place(result: Result) -> dict[str, object]:
    """Return the group and the cluster of a question, where its name does not say them."""
    group = {"group": result.group} if result.group != result.question else {}
    cluster = {"cluster": result.cluster} if result.cluster != cluster_before(result.group) else {}
    return {**group, **cluster}


def _passages(scores: Sequence[Score]) -> dict[str, object]:
    """Return the passages of a task's questions, where they have some."""
    samples = itertools.chain.from_iterable(score.samples for score in scores)
    passages = {sample.id: sample.passage for sample in samples if sample.passage}
    return {"passages": passages} if passages else {}


def _contents(results: Sequence[Result]) -> dict[str, object]:
    """Return the digests of what the tests of one name asked, and of how they were graded.

    In two files they may ask different things, and then have no content together.
    """
    entries: dict[str, object] = {"content": results[0].content, "gradings": results[0].gradings}
    return {
        name: value
        for name, value in entries.items()
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
