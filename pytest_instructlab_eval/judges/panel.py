"""A panel: several judges as one, whose rating is the mean of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pytest_instructlab_eval.judges.judge import Judge, Submission
from pytest_instructlab_eval.judges.pooling import pool_scores
from pytest_instructlab_eval.records.scores import Score


class Panel(Judge):
    """A judge that asks every one of its `judges`, which it has by what reports call them.

    An answer is scored when all of them have rated it. Each rating is in the score's evidence.
    """

    def __init__(self, judges: Mapping[str, Judge]) -> None:
        self.judges = dict(judges)

    @property
    def name(self) -> str:
        """Return the judges' names."""
        return ", ".join(self.judges)

    @property
    def needs_reference(self) -> bool:
        """Return whether any of the judges can grade only answers that have a reference answer."""
        return any(judge.needs_reference for judge in self.judges.values())

    @property
    def no_chat(self) -> str:
        """Return a sentence that says why a panel cannot answer a chat."""
        return f"the judges {self.name} are a panel, which cannot answer a chat; name one judge"

    async def rate(self, submission: Submission) -> Score:
        """Return the mean of the judges' ratings."""
        scores = await asyncio.gather(*(judge.rate(submission) for judge in self.judges.values()))
        return pool_scores(dict(zip(self.judges, scores, strict=True)), "judge", all_needed=True)
