"""The judge without a language model: how close an answer is to its reference, by chrF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.judges.judge import Judge, Submission
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN, Scale
from pytest_instructlab_eval.models.background import in_daemon_thread
from pytest_instructlab_eval.records.evidence import Judgment
from pytest_instructlab_eval.records.scores import Score


def chrf_rating(answer: str, reference: str, scale: Scale = ONE_TO_TEN) -> tuple[float, float]:
    """Return the rating and the chrF (0 to 100) that it comes from, as its share of the scale.

    chrF is the F2-score of character n-grams up to 6, white space left out, as sacrebleu has it for one
    sentence (https://aclanthology.org/W15-3049): 100 where the texts are equal, so the highest rating, and
    0 where they share no character, so the lowest. From 1 to 10 it is 1 + 9 * chrF / 100.
    """
    from sacrebleu import sentence_chrf

    chrf = float(sentence_chrf(answer, [reference]).score)
    return scale.lowest + (scale.highest - scale.lowest) * chrf / 100, chrf


class ReferenceJudge(Judge):
    """A judge that compares an answer with its reference answer; the same two always rate the same.

    It knows nothing of meaning: a right answer in other words rates low. It is a floor to compare
    judges with, and a stand-in where there is no second model. It reads no prompt.
    """

    needs_reference = True
    no_chat = "the judge 'reference' is not a language model, so it cannot answer a chat; name another judge"

    @property
    def name(self) -> str:
        """Return its name in `--eval-judge-model`."""
        return "reference"

    async def rate(self, submission: Submission) -> Score:
        """Return the rating by the reference; an error where there is none, or two words to choose from."""
        answer, reference, scale = submission.answer, submission.reference, submission.scale
        evidence, reason = submission.evidence, None
        if reference is None or not reference.strip():
            reason = "the judge 'reference' needs a reference answer, and this question has none"
        elif scale.words is not None:
            reason = (
                f"the judge 'reference' cannot give a rating {scale}; name a model with --eval-judge-model"
            )
        if reference is None or reason is not None:
            unjudged = replace(evidence, reference=None)
            return Score(None, submission.metric, scale.highest, error=reason, evidence=unjudged)
        # milliseconds for the usual answer, seconds for a reference of a megabyte
        rating, chrf = await in_daemon_thread(lambda: chrf_rating(answer, reference, scale))
        judgment = Judgment(rating, f"chrF {chrf:.1f} of 100 against the reference answer", chrf=chrf)
        evidence = replace(evidence, judgments=(replace(judgment, prompt="chrF"),))
        return Score(rating, submission.metric, scale.highest, explanation=judgment.text, evidence=evidence)


def check_judge_references(references: Mapping[str, Sequence[str]], judge: Judge) -> None:
    """Raise ConfigurationError where the judge grades by references and a question has none.

    `references` are those of each question by its id.
    """
    lacking = [name for name, texts in references.items() if not any(text.strip() for text in texts)]
    if judge.needs_reference and lacking:
        raise ConfigurationError(
            f"the judge {judge.name!r} grades by reference answers, and {len(lacking):,} of the "
            f"{len(references):,} selected questions have none (the first: {lacking[0]}); leave them out "
            "with -k or --deselect, or name a model with --eval-judge-model"
        )
