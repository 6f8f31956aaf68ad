"""The judge of a plain `def` test, whose methods wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_instructlab_eval.judges.judge import JUDGMENT_TOKENS, JudgePrompt
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN, Scale
from pytest_instructlab_eval.models.protocol import Completion, Message
from pytest_instructlab_eval.records.scores import Score


class BlockingJudge(Protocol):
    """The judge in a plain `def` test, as the fixture `judge` gives it.

    It has the methods of `Judge`, but they wait for their result, without `await`.
    """

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        ...

    def grade(
        self,
        question: str,
        answer: str,
        *,
        reference: str | None = None,
        scale: Scale = ONE_TO_TEN,
        prompt: JudgePrompt | None = None,
        metric: str = "rating",
        answer_id: str = "",
    ) -> Score:
        """Return the judge's rating of an answer; see `Judge.grade`."""
        ...

    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = JUDGMENT_TOKENS,
        seed: int | None = None,
    ) -> Completion:
        """Return the judge's answer to a chat; see `Judge.chat`."""
        ...
