"""Answering and judging as two runs: a judge that waits, and a model whose answers are there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from pytest_instructlab_eval.errors import ModelError, NoAnswerError
from pytest_instructlab_eval.judges.judge import Judge, Submission
from pytest_instructlab_eval.models.protocol import Completion, Message, as_messages
from pytest_instructlab_eval.records.evidence import Chat
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.scores import Score

NOT_HAD = "$ERROR$"  # InstructLab's mark in the place of an answer
ANSWERED = "answered, to be judged with --eval-stage judge"
NO_ANSWER = "{} has no recorded answer to this question; ask it with --eval-stage answer"


class PostponedJudge(Judge):
    """A judge that keeps the answer and leaves its rating to a later run."""

    no_chat = "--eval-stage answer does not ask the judge"

    def __init__(self, name: str | None) -> None:
        self._name = name or "none"

    @property
    def name(self) -> str:
        """Return the name that the user gave the judge."""
        return self._name

    async def rate(self, submission: Submission) -> Score:
        """Return the answer, unscored."""
        evidence = replace(submission.evidence, reference=None, answered=True)
        maximum = submission.scale.highest
        return Score(None, submission.metric, maximum, explanation=ANSWERED, evidence=evidence)


class _RecordedModel:
    """The common part of models that are not asked again."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Return the name that the user gave."""
        return self._name

    async def choice_logprobs(self, prompt: str | Sequence[Message], choices: Sequence[str]) -> NoReturn:
        """Raise ModelError: likelihoods aren't recorded."""
        raise ModelError("--eval-stage judge does not ask the model, and likelihoods are not recorded")

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


class RecordedAnswers(_RecordedModel):
    """A `Model` that gives the answers of an earlier run.

    `answers` has them by the user's turns of the conversation so far, one for each time that the model was
    asked: the seed of a chat says which.
    """

    def __init__(self, name: str, answers: Mapping[tuple[str, ...], Sequence[str]]) -> None:
        super().__init__(name)
        self._answers = answers

    async def chat(self, messages: str | Sequence[Message], **options: Any) -> Completion:
        """Return the recorded answer; raises ModelError where there is none."""
        turns = tuple(message["content"] for message in as_messages(messages) if message["role"] == "user")
        if turns not in self._answers:
            raise ModelError(
                f"{NO_ANSWER.format(self._name)}, or judge only the first N with --eval-first-n N",
                prompt=turns[-1] if turns else "",
            )
        seed = options.get("seed") or 0
        answers, number = self._answers[turns], getattr(seed, "repeat", seed)
        if number >= len(answers):
            raise ModelError(
                f"{self._name} has no recorded answer number {number + 1} to this question; ask it "
                "with --eval-stage answer and the same --eval-repeat",
                prompt=turns[-1],
            )
        if answers[number] == NOT_HAD:
            raise ModelError(
                f"the recorded answer of {self._name} is {NOT_HAD}, which means that there was none; ask "
                "again with --eval-stage answer",
                prompt=turns[-1],
            )
        return Completion(answers[number], "stop", 0, 0, 0.0).split(self._name, turns[-1])


class RecordedChats(_RecordedModel):
    """A `Model` that answers as it did in the chats of the same test of an earlier run, each once."""

    def __init__(self, name: str, chats: Iterable[Chat]) -> None:
        super().__init__(name)
        self._left = list(chats)

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        seed: int | None = None,
    ) -> Completion:
        """Return the recorded answer; raises ModelError where there is none."""
        request = plain_data((as_messages(messages), temperature, max_tokens, seed))
        alike = (
            chat
            for chat in self._left
            if plain_data((chat.messages, chat.temperature, chat.max_tokens, chat.seed)) == request
        )
        chat = next(alike, None)
        if chat is None:
            prompt = request[0][-1]["content"] if request[0] else ""
            raise ModelError(NO_ANSWER.format(self._name), prompt=str(prompt))
        self._left.remove(chat)
        if chat.answer is None:
            reason = f"{self._name} gave no answer in the run that asked it ({chat.error})"
            reason += "; ask again with --eval-stage answer"
            if chat.reasoning or chat.finish_reason:
                raise NoAnswerError(reason, reasoning=chat.reasoning, finish_reason=chat.finish_reason)
            raise ModelError(reason)
        return Completion(
            chat.answer,
            chat.finish_reason,
            chat.prompt_tokens,
            chat.completion_tokens,
            chat.seconds,
            chat.reasoning,
        )
