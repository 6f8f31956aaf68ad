"""The judge: what rates answers from 1 to 10, and the model that does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.pooling import pooled
from pytest_instructlab_eval.models.protocol import Completion, Message, Model
from pytest_instructlab_eval.scores import Score

__all__ = ["MAXIMUM_RATING", "Grader", "Judge", "defused", "parse_ratings"]

MAXIMUM_RATING = 10.0
JUDGMENT_TOKENS = 2048
SECOND_TRY_TEMPERATURE = 0.7
REPEAT_TEMPERATURE = 1.0  # the judge's own distribution, whose mean a mean of ratings estimates

Try = tuple[float, int | None]  # a temperature, and the seed where there is one
FIRST_TRIES: tuple[Try, ...] = ((0.0, None), (SECOND_TRY_TEMPERATURE, None))

NUMBER = r"(\d{1,3}(?:\.\d{1,6})?)"
DOUBLE = re.compile(rf"\[\[\s*{NUMBER}\s*\]\]")
SINGLE = re.compile(rf"\brating\b[^\[\]\n]{{0,40}}\[\s*{NUMBER}\s*\](?!\])", re.IGNORECASE)

INSTRUCTIONS = (
    "You grade answers. Compare the answer with the question{and_reference}, say in a few sentences what is "
    "right and what is wrong with it, and end with a rating from 1 (useless) to 10 (flawless) in double "
    "square brackets, such as: Rating: [[5]]"
)


def parse_ratings(judgment: str) -> list[float]:
    """Every usable rating in a judgment, in order: `[[n]]`, else `[n]` after the word "rating".

    Usable is 1 <= n <= 10. The last one counts.
    """
    for pattern in (DOUBLE, SINGLE):
        ratings = [float(number) for number in pattern.findall(judgment)]
        usable = [rating for rating in ratings if 1 <= rating <= MAXIMUM_RATING]
        if usable:
            return usable
    return []


def defused(answer: str) -> str:
    """The answer without anything that a judge could quote and that would then read as a rating."""
    for pattern in (DOUBLE, SINGLE):
        while pattern.search(answer):  # what is left of one may make another
            answer = pattern.sub(lambda match: match.group().replace("[", "(").replace("]", ")"), answer)
    return answer


class Grader(Protocol):
    """What benchmarks need of a judge: a rating from 1 to 10, *unscored* or an *error*."""

    @property
    def name(self) -> str:
        """As the user names it."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether an answer without a reference answer beside it can't be graded."""
        ...

    async def grade(
        self, question: str, answer: str, *, reference: str | None = None, metric: str = "rating"
    ) -> Score:
        """A rating of an answer, by the judge's own measure; for benchmarks of one's own."""
        ...

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
    ) -> Score:
        """A rating of an answer, by a benchmark's own judge prompt where the judge reads prompts."""
        ...


class Judge:
    """A `Model` that also grades.

    `merge_system_user_message` puts the system prompt at the head of the user's message, for models
    whose chat template has no system role; None leaves it to each prompt. With `repeats` above 1 each
    answer is rated so many times, not at temperature 0 but sampled at 1 with a seed each, as G-Eval does
    (https://arxiv.org/abs/2303.16634), and the mean of the ratings counts.
    """

    def __init__(
        self, model: Model, *, merge_system_user_message: bool | None = None, repeats: int = 1
    ) -> None:
        self._model = model
        self._merge = merge_system_user_message
        self._repeats = repeats

    @property
    def name(self) -> str:
        """As the user names it."""
        return self._model.name

    @property
    def needs_reference(self) -> bool:
        """No: what there is to compare with stands in the prompt."""
        return False

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = JUDGMENT_TOKENS,
        seed: int | None = None,
    ) -> Completion:
        """The judge's answer to a chat; see `Model`."""
        return await self._model.chat(messages, temperature=temperature, max_tokens=max_tokens, seed=seed)

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """The log-likelihood of each choice; see `Model`."""
        return await self._model.choice_logprobs(prompt, choices)

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    async def grade(
        self, question: str, answer: str, *, reference: str | None = None, metric: str = "rating"
    ) -> Score:
        """A rating of an answer, by this package's own instructions; for benchmarks of one's own."""
        system = INSTRUCTIONS.format(and_reference=" and the reference answer" if reference else "")
        parts = [("Question", question), ("Reference answer", reference), ("Answer", defused(answer))]
        user = "\n\n".join(f"<{title}>\n{text}\n</{title}>" for title, text in parts if text is not None)
        return await self.rate(
            system, user, question=question, answer=answer, reference=reference, metric=metric
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
    ) -> Score:
        """The rating in the judge's reply to a prompt: scored, unscored, or an error.

        A reply without a usable rating is asked for once more, less coldly. `merge` says of a judge's name
        whether the system message is to be merged, where the judge itself wasn't told. `reference` is kept
        with the score; the prompt has its own.
        """
        evidence = {"question": question, "answer": answer, "user_prompt": user}
        if reference is not None:
            evidence["reference"] = reference
        merged = merge is not None and merge(self.name) if self._merge is None else self._merge
        messages = _messages(system, user, merged)
        if self._repeats == 1:
            return await self._judgment(messages, FIRST_TRIES, metric, evidence)
        scores = await asyncio.gather(
            *(
                self._judgment(messages, _sampled_tries(number, self._repeats), metric, evidence)
                for number in range(self._repeats)
            )
        )
        parts = {str(number): score for number, score in enumerate(scores, start=1)}
        return pooled(parts, "repeat", all_needed=False)

    async def _judgment(
        self, messages: Sequence[Message], tries: Sequence[Try], metric: str, evidence: Mapping[str, str]
    ) -> Score:
        """The rating of the first of the tries whose reply has one."""
        ratings: list[float] = []
        judgment = ""
        try:
            for temperature, seed in tries:
                judgment = (await self.chat(messages, temperature=temperature, seed=seed)).text
                ratings = parse_ratings(judgment)
                if ratings:
                    break
        except ModelError as error:
            reason = f"the judge could not be asked: {error}"
            return Score(None, metric, MAXIMUM_RATING, error=reason, metadata=evidence)
        metadata: dict[str, Any] = {**evidence, "judgment": judgment}
        if not ratings:
            reason = "the judge gave no rating from 1 to 10, asked twice"
            return Score(None, metric, MAXIMUM_RATING, explanation=reason, metadata=metadata)
        if len(set(ratings)) > 1:
            metadata["contradictory_ratings"] = ratings
        return Score(ratings[-1], metric, MAXIMUM_RATING, explanation=judgment, metadata=metadata)


def _sampled_tries(number: int, repeats: int) -> tuple[Try, Try]:
    """How the judgment of this number, from 0, of so many is asked for: no seed is used twice."""
    return (REPEAT_TEMPERATURE, number), (REPEAT_TEMPERATURE, repeats + number)


def _messages(system: str, user: str, merge: bool) -> list[Message]:
    if merge:
        return [{"role": "user", "content": f"{system}\n{user}"}]
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]
