"""The judge without a language model: how close an answer is to its reference, by chrF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.judges.llm import MAXIMUM_RATING
from pytest_instructlab_eval.models.background import in_daemon_thread
from pytest_instructlab_eval.models.protocol import Message
from pytest_instructlab_eval.records.scores import Score

__all__ = ["ReferenceJudge", "chrf_rating"]


def chrf_rating(answer: str, reference: str) -> tuple[float, float]:
    """The rating, 1 + 9 * chrF / 100, and the chrF (0 to 100) that it comes from.

    chrF is the F2-score of character n-grams up to 6, white space left out, as sacrebleu has it for one
    sentence (https://aclanthology.org/W15-3049): 100 where the texts are equal, so a rating of 10, and
    0 where they share no character, so a rating of 1.
    """
    from sacrebleu import sentence_chrf

    chrf = float(sentence_chrf(answer, [reference]).score)
    return 1 + (MAXIMUM_RATING - 1) * chrf / 100, chrf


class ReferenceJudge:
    """A `Grader` that compares an answer with its reference answer; the same two always rate the same.

    It knows nothing of meaning: a right answer in other words rates low. It is a floor to compare
    judges with, and a stand-in where there is no second model.
    """

    @property
    def name(self) -> str:
        """What `--eval-judge-model` names it by."""
        return "reference"

    @property
    def needs_reference(self) -> bool:
        """Yes: it has nothing else to go by."""
        return True

    async def grade(
        self, question: str, answer: str, *, reference: str | None = None, metric: str = "rating"
    ) -> Score:
        """The rating of an answer by its reference; an error where there is none."""
        evidence: dict[str, Any] = {"question": question, "answer": answer}
        if reference is None or not reference.strip():
            reason = "the judge 'reference' needs a reference answer, and this question has none"
            return Score(None, metric, MAXIMUM_RATING, error=reason, metadata=evidence)
        # milliseconds for the usual answer, seconds for a reference of a megabyte
        rating, chrf = await in_daemon_thread(lambda: chrf_rating(answer, reference))
        judgment = f"chrF {chrf:.1f} of 100 against the reference answer"
        evidence |= {"reference": reference, "judgment": judgment, "judge_prompt": "chrF", "chrf": chrf}
        return Score(rating, metric, MAXIMUM_RATING, explanation=judgment, metadata=evidence)

    async def rate(
        self,
        system: str,
        user: str,
        *,
        question: str,
        answer: str,
        reference: str | None = None,
        metric: str = "rating",
        merge: Callable[[str], bool] | None = None,
        answer_id: str = "",
    ) -> Score:
        """As `grade`: a judge's prompt is not read."""
        return await self.grade(question, answer, reference=reference, metric=metric)

    async def chat(self, messages: str | Sequence[Message], **options: Any) -> NoReturn:
        """Raise ModelError: there is no language model to ask."""
        raise ModelError("the judge 'reference' is no language model and can't be asked; name another judge")
