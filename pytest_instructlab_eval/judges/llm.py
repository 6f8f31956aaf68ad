"""The judge that is a language model, asked for a rating at the end of its judgment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_instructlab_eval.errors import ModelError, NoAnswerError
from pytest_instructlab_eval.judges.judge import JUDGMENT_TOKENS, Judge, Submission
from pytest_instructlab_eval.judges.pooling import pool_scores
from pytest_instructlab_eval.judges.quoting import quote_as_data
from pytest_instructlab_eval.judges.rating import ParsedRating, parse_rating
from pytest_instructlab_eval.models.protocol import Completion, Message, Model
from pytest_instructlab_eval.records.evidence import Evidence, Judgment
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.seeds import seed_of

SECOND_TRY_TEMPERATURE = 0.7
REPEAT_TEMPERATURE = 1.0  # the judge's own distribution, whose mean a mean of ratings estimates

Try = tuple[float, int | None]  # a temperature, and the seed where there is one
FIRST_TRIES: tuple[Try, ...] = ((0.0, None), (SECOND_TRY_TEMPERATURE, None))
TRIES = len(FIRST_TRIES)

INSTRUCTIONS = (
    "You grade answers. Compare the answer with the question{and_reference}, say in a few sentences what is "
    "right and what is wrong with it, and end with {rating}"
)
PARTS = ("Question", "Reference answer", "Answer")
TEMPLATE = "\n\n".join(f"<{title}>\n{{}}\n</{title}>" for title in PARTS)


class LLMJudge(Judge):
    """A `Model` that also grades.

    `merge_system_user_message` puts the system prompt at the head of the user's message, for models
    whose chat template has no system role; None leaves it to each prompt. With `repeats` above 1 each
    answer is rated so many times, not at temperature 0 but sampled at 1 with a seed each, as G-Eval does
    (https://arxiv.org/abs/2303.16634), and the mean of the ratings counts. `seed` is the run's, from which
    theirs are made. `discard` is told the replies of a judgment in which there was no rating.
    """

    def __init__(
        self,
        model: Model,
        *,
        merge_system_user_message: bool | None = None,
        repeats: int = 1,
        seed: int = 0,
        discard: Callable[[Sequence[Completion]], None] = lambda replies: None,
    ) -> None:
        self.model = model
        self._merge = merge_system_user_message
        self._repeats = repeats
        self._seed = seed
        self._discard = discard

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self.model.name

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = JUDGMENT_TOKENS,
        seed: int | None = None,
    ) -> Completion:
        """Return the judge's answer to a chat; see `Model`."""
        return await self.model.chat(messages, temperature=temperature, max_tokens=max_tokens, seed=seed)

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> list[float]:
        """Return the log-likelihood of each choice; see `Model`."""
        return await self.model.choice_logprobs(prompt, choices)

    async def close(self) -> None:
        """Close the model."""
        await self.model.close()

    async def rate(self, submission: Submission) -> Score:
        """Return the rating in the judge's reply: scored, unscored, or an error.

        A reply without a rating that can be used is asked for once more, less coldly.
        """
        prompt, merged = submission.prompt, bool(self._merge)
        if prompt is None:
            system, user = _own_prompt(submission)
        else:
            system, user = prompt.system, submission.filled_in(prompt)
            merged = prompt.merges_system(self.name) if self._merge is None else merged
        messages: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        if merged:
            messages = [{"role": "user", "content": f"{system}\n{user}"}]
        evidence = replace(submission.evidence, user_prompt=user)
        if self._repeats == 1:
            return await self._judgment(messages, FIRST_TRIES, submission, evidence)
        about = (self.name, submission.answer_id, submission.metric, system, user)
        tries: list[list[Try]] = [  # no seed is used twice
            [
                (REPEAT_TEMPERATURE, seed_of(self._seed, "judgment", *about, once, repeat=number))
                for once in range(TRIES)
            ]
            for number in range(self._repeats)
        ]
        scores = await asyncio.gather(
            *(self._judgment(messages, own_tries, submission, evidence) for own_tries in tries)
        )
        parts = {str(number): score for number, score in enumerate(scores, start=1)}
        return pool_scores(parts, "repeat", all_needed=False)

    async def _judgment(
        self, messages: Sequence[Message], tries: Sequence[Try], submission: Submission, evidence: Evidence
    ) -> Score:
        """Return the rating of the first of the tries whose reply has one."""
        prompts = [message["content"] for message in messages]
        scale, metric, maximum = submission.scale, submission.metric, submission.scale.highest
        replies: list[Completion] = []
        for temperature, seed in tries:
            try:
                reply = await self.chat(messages, temperature=temperature, seed=seed)
                replies.append(reply)
                verdict = parse_rating(
                    reply.text, finish_reason=reply.finish_reason, scale=scale, prompts=prompts
                )
            except NoAnswerError as error:
                reply = Completion("", error.finish_reason, 0, 0, 0.0, error.reasoning)
                verdict = ParsedRating(None, str(error))
            except ModelError as error:
                reason = f"the judge could not be asked: {error}"
                return Score(None, metric, maximum, error=reason, evidence=evidence)
            if verdict.value is not None:
                break
        judgment = Judgment(
            verdict.value,
            reply.text,
            finish_reason=reply.finish_reason,
            reasoning="\n\n".join(part for part in (reply.reasoning, verdict.reasoning) if part),
            contradictory=verdict.stated if verdict.contradictory else (),
        )
        explanation = reply.text
        if verdict.value is None:
            self._discard(replies)
            explanation = f"the judge gave no rating {scale} in two tries; the last time, {verdict.reason}"
        evidence = replace(evidence, judgments=(judgment,))
        return Score(verdict.value, metric, maximum, explanation=explanation, evidence=evidence)


def _own_prompt(submission: Submission) -> tuple[str, str]:
    """Return the system message and the user's by this package's own instructions."""
    reference = " and the reference answer" if submission.reference else ""
    system = INSTRUCTIONS.format(and_reference=reference, rating=submission.scale.instruction)
    texts = (submission.question, submission.reference, submission.answer)
    user = "\n\n".join(
        f"<{title}>\n{quote_as_data(text, TEMPLATE, submission.scale)}\n</{title}>"
        for title, text in zip(PARTS, texts, strict=True)
        if text is not None
    )
    return system, user
