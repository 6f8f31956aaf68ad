"""The judge: what rates answers from 1 to 10, and the model that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pytest_instructlab_eval.errors import ModelError, NoAnswerError
from pytest_instructlab_eval.judges.pooling import pooled
from pytest_instructlab_eval.judges.quoted import as_data
from pytest_instructlab_eval.judges.rating import Verdict, parse_rating
from pytest_instructlab_eval.models.protocol import Completion, Message, Model
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.seeds import seed_of

__all__ = ["MAXIMUM_RATING", "Grader", "Judge"]

LOWEST_RATING, MAXIMUM_RATING = 1.0, 10.0
JUDGMENT_TOKENS = 2048
SECOND_TRY_TEMPERATURE = 0.7
REPEAT_TEMPERATURE = 1.0  # the judge's own distribution, whose mean a mean of ratings estimates

Try = tuple[float, int | None]  # a temperature, and the seed where there is one
FIRST_TRIES: tuple[Try, ...] = ((0.0, None), (SECOND_TRY_TEMPERATURE, None))
TRIES = len(FIRST_TRIES)

INSTRUCTIONS = (
    "You grade answers. Compare the answer with the question{and_reference}, say in a few sentences what is "
    "right and what is wrong with it, and end with a rating from 1 (useless) to 10 (flawless) in double "
    "square brackets, such as: Rating: [[5]]"
)


PARTS = ("Question", "Reference answer", "Answer")
TEMPLATE = "\n\n".join(f"<{title}>\n{{}}\n</{title}>" for title in PARTS)


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
        answer_id: str = "",
    ) -> Score:
        """A rating of an answer, by a benchmark's own judge prompt where the judge reads prompts."""
        ...


class Judge:
    """A `Model` that also grades.

    `merge_system_user_message` puts the system prompt at the head of the user's message, for models
    whose chat template has no system role; None leaves it to each prompt. With `repeats` above 1 each
    answer is rated so many times, not at temperature 0 but sampled at 1 with a seed each, as G-Eval does
    (https://arxiv.org/abs/2303.16634), and the mean of the ratings counts. `seed` is the run's, from which
    theirs are made.
    """

    def __init__(
        self, model: Model, *, merge_system_user_message: bool | None = None, repeats: int = 1, seed: int = 0
    ) -> None:
        self._model = model
        self._merge = merge_system_user_message
        self._repeats = repeats
        self._seed = seed

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
        parts = zip(PARTS, (question, reference, answer), strict=True)
        user = "\n\n".join(
            f"<{title}>\n{as_data(text, TEMPLATE)}\n</{title}>" for title, text in parts if text is not None
        )
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
        answer_id: str = "",
    ) -> Score:
        """The rating in the judge's reply to a prompt: scored, unscored, or an error.

        A reply without a usable rating is asked for once more, less coldly. `merge` says of a judge's name
        whether the system message is to be merged, where the judge itself wasn't told. `reference` is kept
        with the score; the prompt has its own. `answer_id` tells apart answers that are rated by the same
        prompt, for the seeds of repeats.
        """
        evidence = {"question": question, "answer": answer, "user_prompt": user}
        if reference is not None:
            evidence["reference"] = reference
        merged = merge is not None and merge(self.name) if self._merge is None else self._merge
        messages = _messages(system, user, merged)
        if self._repeats == 1:
            return await self._judgment(messages, FIRST_TRIES, metric, evidence)
        about = (self.name, answer_id, metric, system, user)
        scores = await asyncio.gather(
            *(
                self._judgment(messages, self._sampled_tries(number, *about), metric, evidence)
                for number in range(self._repeats)
            )
        )
        parts = {str(number): score for number, score in enumerate(scores, start=1)}
        return pooled(parts, "repeat", all_needed=False)

    def _sampled_tries(self, number: int, *about: str) -> list[Try]:
        """How the judgment of this number, from 0, is asked for: no seed is used twice."""
        seeds = (seed_of(self._seed, "judgment", *about, once, repeat=number) for once in range(TRIES))
        return [(REPEAT_TEMPERATURE, seed) for seed in seeds]

    async def _judgment(
        self, messages: Sequence[Message], tries: Sequence[Try], metric: str, evidence: Mapping[str, str]
    ) -> Score:
        """The rating of the first of the tries whose reply has one."""
        prompts = [message["content"] for message in messages]
        for temperature, seed in tries:
            try:
                reply = await self.chat(messages, temperature=temperature, seed=seed)
                verdict = parse_rating(
                    reply.text,
                    finish_reason=reply.finish_reason,
                    lowest=LOWEST_RATING,
                    highest=MAXIMUM_RATING,
                    prompts=prompts,
                )
            except NoAnswerError as error:
                reply = Completion("", error.finish_reason, 0, 0, 0.0, error.reasoning)
                verdict = Verdict(None, str(error))
            except ModelError as error:
                reason = f"the judge could not be asked: {error}"
                return Score(None, metric, MAXIMUM_RATING, error=reason, metadata=evidence)
            if verdict.value is not None:
                break
        metadata: dict[str, Any] = {
            **evidence, "judgment": reply.text, "judgment_finish_reason": reply.finish_reason,
        }  # fmt: skip
        if reasoning := "\n\n".join(part for part in (reply.reasoning, verdict.reasoning) if part):
            metadata["judgment_reasoning"] = reasoning
        if verdict.value is None:
            reason = f"the judge gave no rating from 1 to 10, asked twice; the last time, {verdict.reason}"
            return Score(None, metric, MAXIMUM_RATING, explanation=reason, metadata=metadata)
        if verdict.contradictory:
            metadata["contradictory_ratings"] = list(verdict.stated)
        return Score(verdict.value, metric, MAXIMUM_RATING, explanation=reply.text, metadata=metadata)


def _messages(system: str, user: str, merge: bool) -> list[Message]:
    if merge:
        return [{"role": "user", "content": f"{system}\n{user}"}]
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]
