"""A judge's trial: six clearly good or bad answers that it rates before its ratings decide anything.

The questions and answers are our own. A judge that is broken, is another model than was meant, or has a wrong
chat template gives itself away here, before the whole run is paid for.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.errors import ConfigurationError, EvalError, JudgeTrialError
from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.judges.judge import Judge
from pytest_instructlab_eval.records.scores import Score

Put = Callable[[Judge, str, str, str], Awaitable[Score]]
"""How a benchmark puts an answer to a judge: the judge, the question, its reference answer and the answer."""


QUOTED = 200  # characters of a judgment in a message


@dataclass(frozen=True)
class TrialQuestion:
    """A question with its reference answer, an answer that is plainly good and one that is plainly bad."""

    question: str
    reference: str
    good: str
    bad: str


TRIAL_QUESTIONS = (
    TrialQuestion(
        question="A train leaves at 14:20 and arrives at 16:05. How long is the journey?",
        reference="The journey takes 1 hour and 45 minutes.",
        good="The journey takes 1 hour and 45 minutes: from 14:20 to 16:00 is 1 hour and 40 minutes, and "
        "five minutes more make it 16:05.",
        bad="Purple is my favourite colour.",
    ),
    TrialQuestion(
        question="Why does the Moon show us different phases in the course of a month?",
        reference="The Sun always lights one half of the Moon. As the Moon goes round the Earth, we see more "
        "or less of that lit half.",
        good="The Sun always lights one half of the Moon. As the Moon goes round the Earth in about a month, "
        "we see more or less of that lit half: none of it at new moon, all of it at full moon.",
        bad="asdf asdf asdf asdf",
    ),
    TrialQuestion(
        question="Write a short and polite note that asks a neighbour to turn the music down after ten.",
        reference="Dear neighbour, could you please turn the music down after ten? The walls are thin and "
        "we have to get up early. Thank you very much!",
        good="Dear neighbour, I hope you are well. Could you please turn the music down after ten? The walls "
        "are thin, and we have to get up early. Thank you very much, and have a nice evening!",
        bad="No.",
    ),
)


def checked_put(benchmark: str, make: Callable[[], Put]) -> Put:
    """Return how a benchmark puts an answer to a judge, made on first use.

    It raises ConfigurationError where the benchmark's own function fails or returns no Score.
    """

    async def put(judge: Judge, question: str, reference: str, answer: str) -> Score:
        problem = (
            f"judged_like of the benchmark {benchmark} must return an `async def` function that takes a "
            "judge, a question, its reference answer and an answer, and returns the judge's Score"
        )
        try:
            score: object = await make()(judge, question, reference, answer)
        except EvalError:
            raise
        except Exception as error:  # a package's function may raise anything
            raise ConfigurationError(f"{problem} ({type(error).__name__}: {escape(error)})") from None
        if not isinstance(score, Score):
            raise ConfigurationError(f"{problem} (got {escape(repr(score))})")
        return score

    return put


async def try_judge(name: str, judge: Judge, put: Put | None = None) -> None:
    """Raise ConfigurationError where the judge doesn't rate every good answer above every bad one.

    `put` puts each to it as the run does; where it is None, `judge.grade` does. `name` is what the judge is
    called.
    """
    scores = await asyncio.gather(
        *(
            put(judge, trial.question, trial.reference, text)
            if put
            else judge.grade(trial.question, text, reference=trial.reference)
            for trial in TRIAL_QUESTIONS
            for text in (trial.good, trial.bad)
        )
    )
    for score in scores:
        if score.error:
            raise ConfigurationError(
                f"the judge {name!r} could not rate the answers of its trial: {score.error}"
            )
    ratings = [math.nan if score.value is None else score.value for score in scores]  # above and below none
    good, bad = ratings[::2], ratings[1::2]
    if not all(better > worse for better, worse in itertools.product(good, bad)):
        message = (
            f"the judge {name!r} does not rate every good answer of its trial above every bad one (good: "
            f"{_ratings_text(good)}; bad: {_ratings_text(bad)}), so its ratings can decide nothing"
            f"{_first_failure(scores, good, bad)}; name another judge with --eval-judge-model, or skip the "
            "trial with --eval-no-judge-trial"
        )
        raise JudgeTrialError(message, tuple(_exchanged(scores)))


def _first_failure(scores: Sequence[Score], good: Sequence[float], bad: Sequence[float]) -> str:
    """Return the beginning of the first judgment without a rating.

    Where each has one: the first bad answer that is not rated below every good one, and what the judge wrote
    of it.
    """
    for judgment in itertools.chain.from_iterable(score.judgments for score in scores):
        if judgment.rating is None:
            return f"; in place of a rating it wrote {_quoted(judgment.text) or 'nothing'}"
    lowest = min(filter(math.isfinite, good), default=math.inf)
    for score, rating, trial in zip(scores[1::2], bad, TRIAL_QUESTIONS, strict=True):
        if rating >= lowest:
            quote = "".join(_quoted(judgment.text) for judgment in score.judgments[:1])
            said = f" and wrote {quote}" if quote else ""
            return f"; for example, it rated the bad answer {trial.bad!r} {rating:.3g}{said}"
    return ""


def _exchanged(scores: Sequence[Score]) -> Iterator[tuple[str, str]]:
    """Yield what the judge was sent and what it said, each with a title."""
    for number, score in enumerate(scores):
        answer = f"the {'bad' if number % 2 else 'good'} answer {number // 2 + 1}"
        if score.evidence is not None and score.evidence.user_prompt:
            yield f"What the judge was sent for {answer}", score.evidence.user_prompt
        for judgment in score.judgments:
            rating = "no rating" if judgment.rating is None else f"rating {judgment.rating:.3g}"
            yield f"What it said of {answer} ({rating})", judgment.text


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return escape(repr(line), QUOTED) if line else ""


def _ratings_text(ratings: Sequence[float]) -> str:
    return ", ".join("no rating" if math.isnan(rating) else f"{rating:.3g}" for rating in ratings)
