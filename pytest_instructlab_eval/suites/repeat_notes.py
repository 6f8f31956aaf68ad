"""The notes on a run of `--eval-repeat auto`: how many answers there were, and where 16 are too few."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pytest_instructlab_eval.gates.sentences import question_count
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.stats.needed_repeats import (
    MOST,
    Moments,
    has_spread,
    needed_repeats,
)
from pytest_instructlab_eval.suites.answer_aims import (
    EarlierAnswers,
    purposes_of,
    questions_of_results,
    undecided_gates,
)
from pytest_instructlab_eval.suites.benchmark import Benchmark
from pytest_instructlab_eval.suites.registry import find_benchmark
from pytest_instructlab_eval.suites.repetition import when_decided

PLANS = {
    "judged": f"as many answers as the drop gates need, at most {MOST}",
    "answered": f"at most {MOST} answers, their number chosen before any is judged",
    "recorded": "the answers that were recorded",
}


def repeat_plan(settings: Settings) -> str | None:
    """Return the header's words on how often questions are asked; None where the options give a number."""
    return f"repeat: auto ({PLANS[when_decided(settings)]})" if settings.repeat == "auto" else None


def repeat_notes(settings: Settings, results: Sequence[Result]) -> list[str]:
    """Return the notes on how often each benchmark's questions were asked, and whether that was enough."""
    if settings.repeat != "auto":
        return []
    notes: list[str] = []
    for name in dict.fromkeys(result.benchmark for result in results):
        benchmark = find_benchmark(name)
        asked = [result for result in results if result.benchmark == name and _answer_count(result)]
        if benchmark is not None and benchmark.with_repeats is not None and asked:
            notes += [_count_note(settings, name, asked), *_shortfalls(settings, benchmark, asked)]
    return notes


def _answer_count(result: Result) -> int:
    """Return how often a question was asked."""
    return max((len(score.evidence.replies) for score in result.scores if score.evidence), default=0)


def _count_note(settings: Settings, benchmark: str, results: Sequence[Result]) -> str:
    """Return the sentence on how often the questions were asked, and the requests that this took."""
    counts = [_answer_count(result) for result in results]
    questions, models = ({getattr(result, of) for result in results} for of in ("question", "model"))
    by = f" by {len(models)} models" if len(models) > 1 else ""
    often = " to ".join(map(str, sorted({min(counts), max(counts)})))
    often += " answer" if max(counts) == 1 else " answers"
    each = (settings.stage != "judge") + settings.judgments  # requests for one answer
    more = each * sum((_answer_count(result) - 1) * len(result.scores) for result in results)
    sentence = f"{benchmark}: {often} to each of {question_count(len(questions))}{by}, {more:,} requests more"
    if same := sum(result.same_answers for result in results):
        sentence += f"; at temperature 0 {same:,} got the same answer twice, and were not asked again"
    if when_decided(settings) == "answered":
        sentence += "; their number was chosen before any was judged, by the spread in an earlier run, or "
        sentence += "else as for ratings of the widest spread"
    return sentence


def _shortfalls(settings: Settings, benchmark: Benchmark, results: Sequence[Result]) -> Iterator[str]:
    """Yield a warning for each gate that needs more answers than there can be."""
    if settings.shard is not None or settings.stage == "answer":
        return  # a part of the questions, or no ratings
    earlier = EarlierAnswers()  # without a baseline, those of an earlier run change nothing any more
    if settings.baseline is not None:
        earlier = EarlierAnswers.of(settings, benchmark.name)
    questions = questions_of_results(result for result in results if result.model != settings.base_label)
    purposes = purposes_of(settings, benchmark.name, benchmark.maximum, questions, earlier)
    for gate in undecided_gates(settings, benchmark.name, purposes):
        yield (
            f"warning: {gate.text}: the baseline has no repeated answers to each of these questions, so the "
            "number of answers was not made for this gate; save a baseline of a run with --eval-repeat auto"
        )
    for purpose in purposes:
        spreads = purpose.spreads(results)
        needed = needed_repeats(purpose.aim, spreads) if spreads else 0
        if needed is None:
            yield f"warning: {purpose.text}: no number of answers decides it, since the baseline has too few"
        elif needed > MOST:
            spread = "equal ratings of all answers to each"
            if has_spread(spreads):
                spread = f"a spread of {math.sqrt(Moments.of(spreads).variance):.2g}"
            yield (
                f"warning: {purpose.text}: {MOST} answers are too few; with "
                f"{question_count(len(purpose.questions))} and {spread} it needs {needed:,} answers to each; "
                "ask more questions, or take a larger limit"
            )
