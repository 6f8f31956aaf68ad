"""Several ratings of one thing put together: of several judges, of one asked again, of several answers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from pytest_instructlab_eval.records.scores import Score

__all__ = ["pooled"]

OF_ONE_JUDGMENT = (
    "judgment", "judge_prompt", "chrf", "contradictory_ratings", "judgment_finish_reason",
    "judgment_reasoning",
)  # fmt: skip


def pooled(parts: Mapping[str, Score], mark: str, *, all_needed: bool) -> Score:
    """One score, of one question, whose value is the mean of the parts' values.

    `parts` has them by name, and `mark` says what the names are of: "judge", "answer", "repeat". The
    metadata "judgments" has each part's own judgments, marked with its name. A part that could not be had
    makes an error of the whole; one without a rating leaves it unscored where `all_needed`, and is else left
    out: a mean of some judges is not comparable with that of all, but one of fewer repeats is.
    """
    scores = list(parts.values())
    values = [score.value for score in scores if score.value is not None]
    errors = [f"{mark} {name}: {score.error}" for name, score in parts.items() if score.error]
    complete = len(values) == len(scores) or (values and not all_needed)
    texts = [f"{mark} {name}: {_text(score)}" for name, score in parts.items() if _text(score)]
    judgments = [{**entry, mark: name} for name, score in parts.items() for entry in _judgments(score)]
    metadata = {key: value for score in reversed(scores) for key, value in score.metadata.items()}
    metadata = {key: value for key, value in metadata.items() if key not in OF_ONE_JUDGMENT}
    if judgments:
        metadata |= {"judgment": "\n\n".join(texts), "judgments": judgments}
    return Score(
        value=statistics.fmean(values) if complete and not errors else None,
        metric=scores[0].metric,
        maximum=scores[0].maximum,
        explanation="\n\n".join(texts),
        error="; ".join(errors) or None,
        metadata=metadata,
    )


def _text(score: Score) -> str:
    return score.explanation or str(score.metadata.get("judgment", ""))


def _judgments(score: Score) -> list[Mapping[str, Any]]:
    """Each judgment behind a score, with its rating (None where it has none)."""
    if "judgments" in score.metadata:
        return list(score.metadata["judgments"])
    if "judgment" not in score.metadata:
        return []
    own = {key: score.metadata[key] for key in OF_ONE_JUDGMENT if key in score.metadata}
    return [{"rating": score.value, **own}]
