"""The questions of a run one by one, with each answer, its chats and its ratings, for tables and viewers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pytest_instructlab_eval.records.evidence import Chat, Evidence, Judgment, ModelReply
from pytest_instructlab_eval.records.samples import Outcome, Sample
from pytest_instructlab_eval.records.scores import Result, Score

NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class MetricScore:
    """The score of one answer on one metric: its value, None without one, and what it rests on.

    `score` is that of all answers to the question, `reply` and `judgments` are those of this one.
    """

    metric: str
    value: float | None
    score: Score
    reply: ModelReply | None
    judgments: tuple[Judgment, ...]

    @property
    def failed(self) -> bool:
        """True if a request failed, so that the answer is an error and not unscored."""
        without_reply = self.reply is not None and self.reply.text is None
        return self.value is None and (self.score.errors > 0 or without_reply)


@dataclass(frozen=True)
class QuestionAnswer:
    """One of the answers to a question; `number` starts at 1.

    `conversation` are the chats that led to it, one for each turn, and `chats` all chats of the answer.
    """

    number: int
    scores: tuple[MetricScore, ...]
    conversation: tuple[Chat, ...] = ()
    chats: tuple[Chat, ...] = ()

    @property
    def finish_reason(self) -> str:
        """Why its last reply ended, empty where that is unknown."""
        replies = [part.reply.finish_reason for part in self.scores if part.reply is not None]
        return (replies or [chat.finish_reason for chat in self.conversation] or [""])[-1]

    @property
    def tokens(self) -> tuple[int, int]:
        """The tokens of the prompts and of the completions."""
        return chat_tokens(self.chats)

    @property
    def seconds(self) -> float:
        """The seconds that its requests took together."""
        return sum(chat.seconds for chat in self.chats)


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question of a run: that of a test, or one of a test that asks many.

    Of the latter, `in_task` is the test's score and the question's sample in it.
    """

    result: Result
    in_task: tuple[Score, Sample] | None = None

    @property
    def sample(self) -> Sample | None:
        """The sample of one of many questions of a test."""
        return None if self.in_task is None else self.in_task[1]

    @property
    def name(self) -> str:
        """The name of the question, unique in its benchmark and model."""
        if self.sample is None:
            return self.result.question
        return f"{self.result.question}:{self.sample.id}"

    @property
    def text(self) -> str:
        """The text of the question: of a conversation its first turn."""
        if self.sample is not None:
            return self.sample.question
        for entry in self.evidence:
            if entry.question:
                return entry.question
        said = (str(message.get("content", "")) for chat in self.result.chats for message in chat.messages
                if message.get("role") == "user")  # fmt: skip
        return next(said, "")

    @property
    def evidence(self) -> list[Evidence]:
        """The evidence of its scores, as far as there is some."""
        return [score.evidence for score in self.result.scores if score.evidence is not None]

    @property
    def outcome(self) -> Outcome:
        """Whether it is scored, unscored or an error."""
        if self.sample is None:
            return self.result.outcome
        return "error" if self.sample.value is None else "scored"

    @property
    def value(self) -> float | None:
        """Its score, None where it has none."""
        return self.result.value if self.sample is None else self.sample.value

    @property
    def maximum(self) -> float:
        """The highest score that it could have."""
        if self.in_task is not None:
            return self.in_task[0].maximum
        return highest_score(self.result)

    @property
    def error(self) -> str | None:
        """Why it has no score, None where no request failed."""
        if self.sample is not None:
            return self.sample.error
        errors = (self.result.error, *(score.error for score in self.result.scores))
        return next((error for error in errors if error is not None), None)

    @property
    def values(self) -> dict[str, float | None]:
        """Its score on each metric."""
        if self.in_task is not None:
            score, sample = self.in_task
            return {score.metric: sample.value}
        return {name: score.value for name, score in named_scores(self.result)}

    def error_of(self, answer: QuestionAnswer) -> str | None:
        """Return why one of the answers to it is an error; None where no request failed."""
        failed = any(part.failed for part in answer.scores)
        if failed or (self.outcome == "error" and not answer.scores):
            return self.error or "a request failed"
        return None

    @cached_property
    def answers(self) -> tuple[QuestionAnswer, ...]:
        """The answers to the question of a test; empty for a sample, which has only its choice."""
        return () if self.sample is not None else tuple(_answers(self.result))


def highest_score(result: Result) -> float:
    """Return the highest possible score of a test."""
    main = [score.maximum for score in result.scores if score.metric == result.main_metric]
    return (main or [score.maximum for score in result.scores] or [1.0])[0]


def answered_questions(results: Sequence[Result]) -> Iterator[AnsweredQuestion]:
    """Yield the questions of the results, in order.

    A test whose scores have samples is as many questions, and every other test is one.
    """
    for result in results:
        sampled = [score for score in result.scores if score.samples]
        for score in sampled:
            yield from (AnsweredQuestion(result, (score, sample)) for sample in score.samples)
        if not sampled:
            yield AnsweredQuestion(result)


def named_scores(result: Result) -> Iterator[tuple[str, Score]]:
    """Yield the scores of a test by metric; a metric that it recorded again has a number after it."""
    seen: dict[str, int] = {}
    for score in result.scores:
        seen[score.metric] = count = seen.get(score.metric, 0) + 1
        yield (score.metric if count == 1 else f"{score.metric} ({count})"), score


def chat_tokens(chats: Sequence[Chat]) -> tuple[int, int]:
    """Return the tokens of the prompts and of the completions of these chats."""
    return sum(chat.prompt_tokens for chat in chats), sum(chat.completion_tokens for chat in chats)


def conversations(chats: Sequence[Chat]) -> list[tuple[Chat, ...]]:
    """Return the chats as conversations: a chat goes on with an earlier one that its messages begin with."""
    members: list[list[Chat]] = []
    for chat in sorted(chats, key=lambda chat: len(chat.messages)):
        earlier = next((chain for chain in members if _goes_on(chat, chain[-1])), None)
        if earlier is None:
            members.append([chat])
        else:
            earlier.append(chat)
    return [tuple(chain) for chain in members]


def _goes_on(chat: Chat, earlier: Chat) -> bool:
    """Return whether a chat begins with an earlier one and the answer to it."""
    length = len(earlier.messages)
    if len(chat.messages) <= length + 1 or chat.messages[:length] != earlier.messages:
        return False
    reply: Mapping[str, object] = chat.messages[length]
    return reply.get("role") == "assistant" and reply.get("content") == earlier.answer


def _answers(result: Result) -> Iterator[QuestionAnswer]:
    scores = list(named_scores(result))
    count = max([1, *(len(score.answers) for _, score in scores)])
    if count == 1:
        chats = tuple(result.chats)
        shown = [(), *sorted(conversations(chats), key=len)][-1]
        yield QuestionAnswer(1, tuple(_metric_scores(scores, 0, 1)), shown, chats)
        return
    left = conversations(result.chats)
    for index in range(count):
        parts = tuple(_metric_scores(scores, index, count))
        texts = [part.reply.text for part in parts if part.reply is not None]
        # The conversation that ended with the last reply of this answer; else the next one.
        ended = [chain for chain in left if [chain[-1].answer] == texts[-1:]]
        chain = next(iter(ended or left), ())
        if chain in left:
            left.remove(chain)
        yield QuestionAnswer(index + 1, parts, chain, chain)


def _metric_scores(scores: Sequence[tuple[str, Score]], index: int, count: int) -> Iterator[MetricScore]:
    """Yield the scores of one of several answers; the first has that of a metric without ratings of each."""
    for name, score in scores:
        if not score.answers and index > 0:
            continue
        values = score.answers or (score.value,)
        value = values[index] if index < len(values) else None
        evidence = score.evidence or NO_EVIDENCE
        reply = evidence.replies[index] if index < len(evidence.replies) else None
        judgments = evidence.judgments if count == 1 else evidence.judgments_of(index + 1)
        yield MetricScore(name, value, score, reply, judgments)
