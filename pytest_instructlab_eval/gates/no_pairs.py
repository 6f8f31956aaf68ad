"""The reason why a run and its baseline have no question to compare."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.records.scores import OWN_CONTENT, Result
from pytest_instructlab_eval.stats.values import QuestionKey, Values, units_of


def no_pairs_reason(name: str, ours: Sequence[Result], theirs: Sequence[Result]) -> str:
    """Return why no question of the gated tests, called `name`, is compared, and what to do."""
    here, there = _maxima(ours), _maxima(theirs)
    pairs = [(here[key], there[key]) for key in here if key in there]
    if pairs and all(mine != their for mine, their in pairs):
        mine, their = pairs[0]
        return (
            f"the scores of {name} went up to {their:g} in the baseline and go up to {mine:g} here; save a "
            "new baseline with --eval-save-baseline"
        )
    reason = f"no question of {name} has both the same content and a score in the baseline"
    if pairs and all(result.content.startswith(OWN_CONTENT) for result in ours):
        return (
            f"{reason}: the tests' first messages, or the judge's prompt, scale or reference, were others "
            "there; save a new baseline with --eval-save-baseline, or, if they differ in every run, state "
            'what stays the same in the marker, such as content="1"'
        )
    return reason


def _maxima(results: Sequence[Result]) -> dict[QuestionKey, float]:
    """Return the maximum of each score."""
    return {unit.key: unit.maximum for unit, _ in Values.scored(units_of(results)).entries}
