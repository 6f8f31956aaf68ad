"""Several ratings of one thing put together: of several judges, of one asked again, of several answers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from pytest_instructlab_eval.records.evidence import Evidence, Mark
from pytest_instructlab_eval.records.scores import Score

__all__ = ["pooled"]


def pooled(parts: Mapping[str, Score], mark: Mark, *, all_needed: bool) -> Score:
    """Return one score, of one question, whose value is the mean of the parts' values.

    `parts` has them by name, and `mark` says what the names are of. Its evidence has each part's own
    judgments, marked with its name. A part that could not be had makes an error of the whole; one without a
    rating leaves it unscored where `all_needed`, and is else left out: a mean of some judges is not
    comparable with that of all, but one of fewer repeats is.
    """
    scores = list(parts.values())
    values = [score.value for score in scores if score.value is not None]
    errors = [f"{mark} {name}: {score.error}" for name, score in parts.items() if score.error]
    complete = len(values) == len(scores) or (values and not all_needed)
    evidence = {name: score.evidence or Evidence() for name, score in parts.items()}
    texts = {
        name: score.explanation or "\n\n".join(judgment.text for judgment in evidence[name].judgments)
        for name, score in parts.items()
    }
    judgments = tuple(
        judgment.marked(mark, name) for name, part in evidence.items() for judgment in part.judgments
    )
    return Score(
        value=statistics.fmean(values) if complete and not errors else None,
        metric=scores[0].metric,
        maximum=scores[0].maximum,
        explanation="\n\n".join(f"{mark} {name}: {text}" for name, text in texts.items() if text),
        error="; ".join(errors) or None,
        metadata={key: value for score in reversed(scores) for key, value in score.metadata.items()},
        evidence=replace(_together(list(evidence.values())), judgments=judgments),
    )


def _together(parts: Sequence[Evidence]) -> Evidence:
    """Return the evidence of the first, with what another part alone knows."""
    found = parts[0]
    for part in parts[1:]:
        lacking = [field.name for field in fields(found) if not getattr(found, field.name)]
        found = replace(found, **{name: getattr(part, name) for name in lacking})
    return found
