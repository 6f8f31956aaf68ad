"""Several ratings of one thing put together: of several judges, of one asked again, of several answers."""

from __future__ import annotations

import statistics
from collections import ChainMap
from collections.abc import Collection, Mapping
from dataclasses import fields, replace

from pytest_instructlab_eval.records.evidence import Evidence, Mark
from pytest_instructlab_eval.records.scores import Score


def pool_scores(parts: Mapping[str, Score], mark: Mark, *, all_needed: bool) -> Score:
    """Return one score, of one question, whose value is the mean of the parts' values.

    `parts` has them by name, and `mark` says what the names are of. Its evidence has each part's own
    judgments, marked with its name. A part that could not be had makes an error of the whole; one without a
    rating leaves it unscored where `all_needed`, and is else left out: a mean of some judges is not
    comparable with that of all, but one of fewer repeats is. The values of several answers are kept beside
    their mean.
    """
    scores = list(parts.values())
    explanations = {
        name: score.explanation or "\n\n".join(judgment.text for judgment in score.judgments)
        for name, score in parts.items()
    }
    return Score(
        value=_mean(scores, all_needed=all_needed),
        metric=scores[0].metric,
        maximum=scores[0].maximum,
        explanation="\n\n".join(_named_texts(mark, explanations)),
        error="; ".join(_named_texts(mark, {name: score.error for name, score in parts.items()})) or None,
        metadata=dict(ChainMap(*(dict(score.metadata) for score in scores))),
        evidence=_merged_evidence(parts, mark),
        answers=tuple(score.value for score in scores) if mark == "answer" else (),
    )


def _mean(scores: Collection[Score], *, all_needed: bool) -> float | None:
    """Return the mean of the values, None where one that is needed is lacking."""
    values = [score.value for score in scores if score.value is not None]
    lacking = all_needed and len(values) < len(scores)
    if lacking or not values or any(score.error for score in scores):
        return None
    return statistics.fmean(values)


def _merged_evidence(parts: Mapping[str, Score], mark: Mark) -> Evidence:
    """Return the evidence of the first, with what another part alone knows, and all judgments."""
    first, *others = (score.evidence or Evidence() for score in parts.values())
    for other in others:
        lacking = [field.name for field in fields(first) if not getattr(first, field.name)]
        first = replace(first, **{name: getattr(other, name) for name in lacking})
    judgments = (judgment.marked(mark, name) for name, score in parts.items() for judgment in score.judgments)
    return replace(first, judgments=tuple(judgments))


def _named_texts(mark: Mark, texts: Mapping[str, str | None]) -> list[str]:
    """Return the texts that there are, each after the name of its part."""
    return [f"{mark} {name}: {text}" for name, text in texts.items() if text]
