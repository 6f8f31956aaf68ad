"""The tokens of questions and chats, as lm-eval's `hf` model has them."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.errors import ConfigurationError, ContextLengthError, ModelError
from pytest_instructlab_eval.models.choices import last_line
from pytest_instructlab_eval.models.local.jobs import ChatJob, ChoiceJob, LocalJob, short_error
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel
from pytest_instructlab_eval.models.protocol import Message


class Encoder:
    """The tokens of questions and chats; raises ModelError where they don't fit the model."""

    def __init__(self, loaded: LoadedModel, *, add_bos: bool = False) -> None:
        self._name = loaded.name
        self._context = loaded.context
        self._tokenizer = loaded.tokenizer
        bos, eos = loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id
        if add_bos and bos is None:
            raise ConfigurationError(
                f"--eval-add-bos: the tokenizer of {loaded.name} has no beginning-of-text token; "
                "leave the option out"
            )
        self._added_first = bos if add_bos else None
        self._first = eos if bos is None else bos
        self._first_text = None if self._first is None else loaded.tokenizer.decode([self._first])
        self._ends: dict[tuple[str, tuple[str, ...], bool], list[list[int]] | None] = {}

    def render(self, job: LocalJob[object]) -> None:
        """Render messages by the chat template; raises ModelError for a text that has no tokens."""
        if isinstance(job, ChatJob):
            job.rendered = self._rendered(job.messages)
        elif isinstance(job, ChoiceJob):
            job.rendered = job.prompt if isinstance(job.prompt, str) else self._rendered(job.prompt)
        try:
            job.head.encode()
        except UnicodeEncodeError:
            raise ModelError("the prompt has half a character (a lone surrogate)", prompt=job.head) from None

    def heads(self, jobs: Sequence[LocalJob[object]]) -> list[list[int]]:
        """Return the tokens of what precedes an answer or a choice, of all jobs at once: on all cores."""
        texts = [job.head for job in jobs]
        plain = [
            isinstance(job, ChatJob) or self._has_first(text) for job, text in zip(jobs, texts, strict=True)
        ]
        heads: list[list[int]] = [[] for _ in jobs]
        for flag in set(plain):
            indices = [index for index, other in enumerate(plain) if other == flag]
            encoded = self._encode([texts[index] for index in indices], flag)
            for index, tokens in zip(indices, encoded, strict=True):
                heads[index] = tokens
        return heads

    def encode(self, job: LocalJob[object], head: list[int]) -> None:
        """Store the tokens in the job; raises ModelError where the model cannot take it."""
        if isinstance(job, ChatJob):
            job.prompt = head
            self._check_length(len(head) + job.max_tokens, job.max_tokens)
        if not isinstance(job, ChoiceJob):
            return
        # As lm-eval's `hf` model does it: a choice is what it adds to the tokens of the context.
        context = job.head
        choices = tuple(job.rendered[len(context) :] + choice for choice in job.choices)
        if context:
            job.context = head
            job.continuations = self._continuations(context, head, choices)
        elif self._first is None:
            raise ModelError(f"{self._name} has no token to begin an empty prompt with")
        else:
            job.context = [self._first]
            token_lists = self._encode(choices, plain=True)
            job.continuations = [tokens[tokens[:1] == [self._first] :] for tokens in token_lists]
        for choice, continuation in zip(job.choices, job.continuations, strict=True):
            if not continuation or not job.context:
                raise ModelError(
                    f"the choice {choice!r} adds no token to the prompt, so it has no likelihood"
                )
            self._check_length(len(job.context) + len(continuation) - 1)  # the last is not read

    def _continuations(self, context: str, head: list[int], choices: tuple[str, ...]) -> list[list[int]]:
        """Return what each choice adds, by the last line alone where that tells: questions end alike."""
        plain, line = self._has_first(context), last_line(context)
        key = (line, choices, plain)
        if key not in self._ends:
            start, *wholes = self._encode([line, *(line + choice for choice in choices)], plain)
            changed = any(whole[: len(start)] != start for whole in wholes)  # by a choice that follows
            self._ends[key] = None if changed else [whole[len(start) :] for whole in wholes]
        continuations = self._ends[key]
        if continuations is None:
            wholes = self._encode([context + choice for choice in choices], plain)
            continuations = [whole[len(head) :] for whole in wholes]
        return continuations

    def _has_first(self, text: str) -> bool:
        return self._first_text is not None and text.startswith(self._first_text)

    def _encode(self, texts: Sequence[str], plain: bool) -> list[list[int]]:
        options = {"add_special_tokens": False} if plain else {}
        token_lists: list[list[int]] = self._tokenizer(list(texts), verbose=False, **options)["input_ids"]
        if self._added_first is None or plain:
            return token_lists
        return [
            tokens if tokens[:1] == [self._added_first] else [self._added_first, *tokens]
            for tokens in token_lists
        ]

    def _rendered(self, messages: Sequence[Message]) -> str:
        if not self._tokenizer.chat_template:
            raise ModelError(f"{self._name} has no chat template, so it cannot answer a chat")
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages], tokenize=False, add_generation_prompt=True
                )
            )
        except Exception as error:  # the template's own
            raise ModelError(
                f"{self._name}'s chat template refuses the chat ({short_error(error)})"
            ) from None

    def _check_length(self, count: int, answer_tokens: int = 0) -> None:
        if count > self._context:
            answer = f", {answer_tokens:,} of which are for the answer" if answer_tokens else ""
            raise ContextLengthError(
                f"the prompt needs {count:,} tokens{answer}, and the model's context has {self._context:,}"
            )
