"""The answers to chats; each ends and is sampled by itself, whatever it shares a batch with."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Sequence

import torch

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.local.jobs import ChatJob
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel
from pytest_instructlab_eval.models.local.loading import quiet_transformers
from pytest_instructlab_eval.models.local.memory import BatchFit
from pytest_instructlab_eval.models.protocol import Completion

MOST_CHATS = {"cuda": 64, "mps": 8}
MOST_CHATS_ON_CPU = 8
NOT_FINITE = (
    "expected finite log-probabilities of {model} (got {value}); check its weights, or use a higher precision"
)


class ChatWriter:
    """The answers to chats; each row ends and is sampled by itself, whatever it shares a batch with."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._fit = BatchFit(loaded)

    def most(self, chats: Sequence[ChatJob]) -> int:
        """Return how many of the chats, from the first, to answer together."""
        some = chats[: MOST_CHATS.get(self._loaded.device.type, MOST_CHATS_ON_CPU)]
        longest = max(len(chat.prompt) + chat.max_tokens for chat in some)
        return min(len(some), self._fit.rows(longest, 1))

    def write(self, chats: Sequence[ChatJob]) -> list[Completion]:
        """Return the answers, in the order of the chats."""
        return self._fit.run(self._completions, chats)

    def _completions(self, chats: Sequence[ChatJob]) -> list[Completion]:
        width = max(len(chat.prompt) for chat in chats)
        device = self._loaded.device
        gaps = [width - len(chat.prompt) for chat in chats]
        ids = [[0] * gap + chat.prompt for gap, chat in zip(gaps, chats, strict=True)]
        mask = [[0] * gap + [1] * (width - gap) for gap in gaps]
        started = time.perf_counter()
        with quiet_transformers():
            output = self._loaded.network.generate(
                torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=max(chat.max_tokens for chat in chats),
                logits_processor=[TokenSampler(chats, self._loaded.name)],
                stopping_criteria=[AnswerLimits(chats, width)],
            )
        rows: list[list[int]] = output[:, width:].tolist()  # of each answer, and what follows it
        latency = time.perf_counter() - started
        completions = []
        for chat, row in zip(chats, rows, strict=True):
            ends = (index for index, token in enumerate(row) if token in self._loaded.ends)
            end = next(ends, len(row))
            stopped = end < min(len(row), chat.max_tokens)
            tokens = row[: min(end, chat.max_tokens)]
            completions.append(
                Completion(
                    text=self._loaded.tokenizer.decode(tokens, skip_special_tokens=True),
                    finish_reason="stop" if stopped else "length",
                    prompt_tokens=len(chat.prompt),
                    completion_tokens=len(tokens) + stopped,
                    latency=latency,
                )
            )
        return completions


class TokenSampler:
    """Makes the likeliest token of a row a draw at the row's temperature, by its own seed.

    Noise of Gumbel's distribution on the logits: its greatest is a draw from their softmax
    (https://arxiv.org/abs/1611.01144, section 2).
    """

    def __init__(self, chats: Sequence[ChatJob], name: str) -> None:
        self._name = name
        self._rows: list[tuple[int, float, torch.Generator]] = []
        for row, chat in enumerate(chats):
            if chat.temperature > 0:
                seed = secrets.randbits(63) if chat.seed is None else chat.seed
                self._rows.append((row, chat.temperature, torch.Generator().manual_seed(seed)))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the next token's scores, of shape (rows, vocabulary); raises ModelError where one is NaN."""
        if scores.isnan().any():
            raise ModelError(NOT_FINITE.format(model=self._name, value=math.nan))
        for row, temperature, generator in self._rows:
            noise = -torch.empty(scores.shape[1]).exponential_(generator=generator).log()
            scores[row] = scores[row].float() / temperature + noise.to(scores.device)
        return scores


class AnswerLimits:
    """Ends a row at its own limit, or when nobody waits for it any more."""

    def __init__(self, chats: Sequence[ChatJob], width: int) -> None:
        self._chats = chats
        self._width = width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        """Return whether each row is at its end."""
        written = input_ids.shape[1] - self._width
        ended = [written >= chat.max_tokens or chat.done.done() for chat in self._chats]
        return torch.tensor(ended, device=input_ids.device)
