"""A judge whose ways of grading in one test are kept."""

from __future__ import annotations

from typing import Any

from pytest_instructlab_eval.judges.judge import Judge, Submission
from pytest_instructlab_eval.records.scores import Score


class TranscribedJudge(Judge):
    """A judge that asks another, and adds the first way of grading of each metric to `gradings`.

    A way of grading is the scale, the reference answer, and the texts of the prompt. A template that does not
    name {answer} may hold the model's own words, which differ from run to run, so it is left out.
    """

    def __init__(self, judge: Judge, gradings: dict[str, object]) -> None:
        self._judge = judge
        self._gradings = gradings

    def __getattr__(self, name: str) -> Any:  # what only some judges have, such as `choice_logprobs`
        return getattr(self._judge, name)

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self._judge.name

    @property
    def needs_reference(self) -> bool:
        """Return whether the judge can grade only answers that have a reference answer."""
        return self._judge.needs_reference

    @property
    def no_chat(self) -> str:
        """Return a sentence that says why the judge cannot answer a chat."""
        return self._judge.no_chat

    async def rate(self, submission: Submission) -> Score:
        """Return the judge's rating of a submission."""
        scale, prompt = submission.scale, submission.prompt
        texts = None
        if prompt is not None:
            texts = prompt.system, prompt.template if "{answer" in prompt.template else ""
        way = (scale.lowest, scale.highest, scale.words), submission.reference, texts
        self._gradings.setdefault(submission.metric, way)
        return await self._judge.rate(submission)

    async def chat(self, *args: Any, **options: Any) -> Any:
        """Return the judge's answer to a chat; see `Judge.chat`."""
        return await self._judge.chat(*args, **options)
