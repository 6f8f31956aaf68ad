"""The judge, which grades an answer on a scale."""

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
    """A prompt that puts an answer to a judge.

    - `system` is the system message.
    - `template` is the user's message, with names in braces: {question}, {answer}, {reference}, and those of
      `fields`. The texts that replace them are data: nothing in them can end a part of the prompt or count
      as a rating.
    - `name` is what reports call the prompt.
    - `fields` has more texts for the template, by name.
    - `merges_system` returns, for a judge's name, whether the system message is put at the beginning of the
      user's message, as chat templates without a system role need it.
    """

    system: str
    template: str
    name: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    merges_system: Callable[[str], bool] = lambda judge: False


@dataclass(frozen=True)
class Submission:
    """An answer to grade, as a judge gets it.

    question: what the model was asked.
    answer: what it answered.
    reference: the right answer, None where there is none.
    scale: what the rating is on.
    prompt: what the answer is put into for a judge that is a model; None for the judge's own prompt.
    metric: the name of the score.
    answer_id: what tells this answer from others of the run; seeds are made from it.
    """

    question: str
    answer: str
    reference: str | None = None
    scale: Scale = ONE_TO_TEN
    prompt: JudgePrompt | None = None
    metric: str = "rating"
    answer_id: str = ""

    @property
    def evidence(self) -> Evidence:
        """Return the evidence for its score, before it is judged."""
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
                f"the judge prompt {prompt.name!r} cannot be filled in ({type(error).__name__}: {error}); "
                f"its braces may name {', '.join(sorted(texts))}"
            ) from None


class Judge(ABC):
    """The judge in an `async def` test, as the fixture `judge` gives it.

    A grade is *scored*, *unscored* where the judge gives no usable rating, or an *error*.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the name that the user gave."""

    @property
    def needs_reference(self) -> bool:
        """Return whether the judge can grade only answers that have a reference answer."""
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
        """Return the judge's rating of an answer, as a score called `metric`.

        - `reference` is a reference answer to compare with.
        - `scale` has the ratings that the judge may give; the score's maximum is the highest of them.
        - `prompt` replaces this package's own instructions to the judge.
        - `answer_id` tells apart answers that are put to the judge in the same words, so that the seeds of
          repeated judgments differ.

        Raises TypeError where the question, the answer or the reference is not a text.
        """
        for name, text in (("question", question), ("answer", answer), ("reference", reference or "")):
            if not isinstance(text, str):
                raise TypeError(
                    f"grade: expected a text as the {name} (got {text!r:.100}); of a completion pass its "
                    ".text"
                )
        return await self.rate(Submission(question, answer, reference, scale, prompt, metric, answer_id))

    @abstractmethod
    async def rate(self, submission: Submission) -> Score:
        """Return the rating of a submission; the one method that a judge must implement."""

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int = JUDGMENT_TOKENS,
        seed: int | None = None,
    ) -> Completion:
        """Return the judge's answer to a chat; raises ModelError where the judge is not a model."""
        raise ModelError(self.no_chat)

    @property
    def no_chat(self) -> str:
        """Return a sentence that says why the judge cannot answer a chat."""
        return f"the judge {self.name!r} cannot answer a chat"
