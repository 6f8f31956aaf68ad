"""What the verdict on a drop is about: these questions alone, or questions like these."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.gates.sentences import confidence_text, name_list, question_count
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.comparison import Comparison
from pytest_instructlab_eval.stats.repeated_answers import AnswersComparison, fewest_answers
from pytest_instructlab_eval.stats.values import evidence_of

FEW_ANSWERS = 4  # to a question on a side: with five questions a drop of 1 of 10 is mostly seen


def comparison_about(
    comparison: Comparison,
    ours: Sequence[Result],
    theirs: Sequence[Result],
    asked_for: GateAbout | None,
    *,
    by_default: bool,
) -> Comparison:
    """Return the comparison, which is about questions like these, or one about these questions.

    The results are those of both sides. Samples of a task are always about questions like them. Unless
    `asked_for` decides it, the verdict is about these questions where each has several rated answers on both
    sides, and `by_default` says so or there is no other interval. Where there is no other interval and only
    some questions have several, it is about these too, to say which lack them.
    """
    if asked_for == "like-these" or any(pair.unit.stratum is not None for pair in comparison.pairs):
        return comparison
    these = AnswersComparison.of(comparison, ours, theirs)
    if asked_for == "these":
        return these
    if comparison.interval() is None:
        return these if len(these.asked_once) < these.n else comparison
    return these if by_default and not these.asked_once else comparison


def about(comparison: Comparison) -> GateAbout:
    """Return what the verdict on this comparison is about."""
    return "these" if isinstance(comparison, AnswersComparison) else "like-these"


def compared_questions(comparison: Comparison, like_these: str) -> str:
    """Return what a comparison is about, in words; `like_these` has those for questions like these."""
    if not isinstance(comparison, AnswersComparison):
        return like_these
    these = "this 1 question" if comparison.n == 1 else f"these {question_count(comparison.n)}"
    fewest, most = comparison.counts
    number = str(most) if fewest == most else f"{fewest} to {most}"
    return f"on {these}, {number} {'answer' if most == 1 else 'answers'} each,"


def without_interval(comparison: Comparison, ours: Sequence[Result], confidence: float) -> str:
    """Return why a comparison has no interval at this confidence, and what to do for one."""
    needed = max(FEW_ANSWERS, fewest_answers(comparison.n, confidence))
    advice = f"ask each question {needed} times on both sides (--eval-repeat {needed})"
    if not isinstance(comparison, AnswersComparison):
        few = f"too few independent questions for a {confidence_text(confidence)} interval"
        are_samples = any(pair.unit.stratum is not None for pair in comparison.pairs)
        return few if are_samples else f"{few}; for a verdict about these questions, {advice}"
    once = comparison.asked_once
    if not once:
        return f"too few answers for a {confidence_text(confidence)} interval; {advice}"
    scores = [score for result in ours for score in result.scores if not score.answers]
    reason = (
        f"expected 2 or more rated answers to each question on both sides, got fewer for {len(once):,} of "
        f"{question_count(comparison.n)} ({name_list(once)})"
    )
    if any(len(evidence.judgments) > 1 for evidence in evidence_of(scores)):
        reason += "; several judgments of one answer are about this answer alone"
    return f"{reason}; {advice}"


def spread_notes(comparison: Comparison) -> list[str]:
    """Return what is to be said of a verdict about these questions whose answers do not differ."""
    if not isinstance(comparison, AnswersComparison) or comparison.unchanged:
        return []
    if comparison.exact:
        return ["all answers to a question have the same text at temperature 0, so the drop is exact"]
    if comparison.without_spread:
        return [
            "no two answers to a question are rated differently, so the interval is what so many equal "
            "ratings allow at most"
        ]
    return []
