"""What a judge is: it grades an answer on a scale."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_instructlab_eval.errors import ConfigurationError, ModelError
from pytest_instructlab_eval.judges.quoting import quote_as_data
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN, Scale
from pytest_instructlab_eval.models.protocol import Completion, Message
from pytest_instructlab_eval.records.evidence import Evidence, ModelReply
from pytest_instructlab_eval.records.scores import Score

JUDGMENT_TOKENS = 2048


@dataclass(frozen=True)
class JudgePrompt:
    """How an answer is put to a judge that reads prompts.

    `template` is the user's message, with names in braces: {question}, {answer}, {reference}, and those of
    `fields`. What stands for them is put in as data: it ends no part of the prompt and is no rating. `name`
    is what reports call it. `merges_system` says of a judge's name whether its chat template has no system
    role, so that the system message is put at the head of the user's.
    """

    system: str
    template: str
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    merges_system: Callable[[str], bool] = lambda judge: False


@dataclass(frozen=True)
class Submission:
    """An answer that is to be graded, and how; see `Judge.grade`."""

    question: str
    answer: str
    reference: str | None = None
    scale: Scale = ONE_TO_TEN
    prompt: JudgePrompt | None = None
    metric: str = "rating"
    answer_id: str = ""

    @property
    def evidence(self) -> Evidence:
        """What a score of it rests on before it is judged."""
        return Evidence(
            self.question,
            self.reference,
            (ModelReply(self.answer),),
            judge_prompt=self.prompt.name or None if self.prompt else None,
            maximum=self.scale.highest,
        )

    def filled_in(self, prompt: JudgePrompt) -> str:
        """Return the user's message of a prompt."""
        fields = {"question": self.question, "answer": self.answer, "reference": self.reference or ""}
        texts = {
            name: quote_as_data(text, prompt.template, self.scale)
            for name, text in {**fields, **prompt.fields}.items()
        }
        try:
            return prompt.template.format(**texts)
        except (LookupError, ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"the judge prompt {prompt.name!r} can't be filled in ({type(error).__name__}: {error}); its "
                f"braces may name {', '.join(sorted(texts))}"
            ) from None


class Judge(ABC):
    """Grades answers: *scored*, *unscored* where it gives no rating that can be used, or an *error*."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As the user names it."""

    @property
    def needs_reference(self) -> bool:
        """Whether an answer without a reference answer beside it can't be graded."""
        return False

    async def grade(
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
        """Return the rating of an answer on a scale, as a score called `metric`.

        A judge that reads prompts is asked by the `prompt`, else by this package's own instructions.
        `answer_id` tells apart answers that are put to it in the same words, for the seeds of its repeats.
        Raises TypeError where the question, the answer or the reference is no text.
        """
        for name, text in (("question", question), ("answer", answer), ("reference", reference or "")):
            if not isinstance(text, str):
                raise TypeError(
                    f"grade takes texts: the {name} is {text!r:.100}; of a completion give its .text"
                )
        return await self.rate(Submission(question, answer, reference, scale, prompt, metric, answer_id))

    @abstractmethod
    async def rate(self, submission: Submission) -> Score:
        """Return the rating of what was submitted; what a judge must have."""

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = JUDGMENT_TOKENS,
        seed: int | None = None,
    ) -> Completion:
        """Return the judge's answer to a chat; raises ModelError where it is no model that can be asked."""
        raise ModelError(self.no_chat)

    @property
    def no_chat(self) -> str:
        """Why the judge can't be asked, as a sentence."""
        return f"the judge {self.name!r} can't be asked"
