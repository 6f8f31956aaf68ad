"""A panel: several judges as one, whose rating is the mean of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.judges.llm import Grader
from pytest_instructlab_eval.judges.pooling import pooled
from pytest_instructlab_eval.models.protocol import Message
from pytest_instructlab_eval.records.scores import Score

__all__ = ["Panel"]


class Panel:
    """A `Grader` that asks every one of its `judges`, which it has by what reports call them.

    An answer is scored when all of them have rated it. Each rating is in the score's metadata, under
    "judgments".
    """

    def __init__(self, judges: Mapping[str, Grader]) -> None:
        self.judges = dict(judges)

    @property
    def name(self) -> str:
        """The judges' names."""
        return ", ".join(self.judges)

    @property
    def needs_reference(self) -> bool:
        """Whether any of the judges can't grade without a reference answer."""
        return any(judge.needs_reference for judge in self.judges.values())

    async def grade(
        self, question: str, answer: str, *, reference: str | None = None, metric: str = "rating"
    ) -> Score:
        """The mean of the judges' ratings of an answer, each by its own measure."""
        return await self._ask(
            lambda judge: judge.grade(question, answer, reference=reference, metric=metric)
        )

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
        """The mean of the ratings in the judges' replies to a prompt."""
        return await self._ask(
            lambda judge: judge.rate(
                system,
                user,
                question=question,
                answer=answer,
                reference=reference,
                metric=metric,
                merge=merge,
                answer_id=answer_id,
            )
        )

    async def _ask(self, ask: Callable[[Grader], Any]) -> Score:
        scores = await asyncio.gather(*(ask(judge) for judge in self.judges.values()))
        return pooled(dict(zip(self.judges, scores, strict=True)), "judge", all_needed=True)

    async def chat(self, messages: str | Sequence[Message], **options: Any) -> NoReturn:
        """Raise ModelError: a chat is with one model."""
        raise ModelError(f"the judges {self.name} are a panel and can't be asked as one; name one judge")
