"""What a judge is to a plain `def` test: its methods wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_instructlab_eval.judges.judge import JUDGMENT_TOKENS, JudgePrompt
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN, Scale
from pytest_instructlab_eval.models.protocol import Completion, Message
from pytest_instructlab_eval.records.scores import Score


class BlockingJudge(Protocol):
    """A `Judge` as a plain `def` test has it: the same methods, which wait for their result.

    A test that is `async def` has a `Judge`, and says `await`.
    """

    @property
    def name(self) -> str:
        """As the user names it."""
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
        """Return the rating of an answer on a scale; see `Judge`."""
        ...

    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = JUDGMENT_TOKENS,
        seed: int | None = None,
    ) -> Completion:
        """Return the judge's answer to a chat; see `Judge`."""
        ...
