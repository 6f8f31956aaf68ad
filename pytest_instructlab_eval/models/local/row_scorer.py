"""The log-likelihoods of choices, by one row a question where the model allows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from pytest_instructlab_eval.models.local.grouping import shared_length
from pytest_instructlab_eval.models.local.jobs import ChoiceJob
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel
from pytest_instructlab_eval.models.local.memory import BatchFit
from pytest_instructlab_eval.models.local.prefix import Prefix
from pytest_instructlab_eval.models.local.rows import choice_mask, rows_of, tokens_of

TOKENS_AT_ONCE = {"cuda": 16384, "mps": 2048}  # of a forward pass; more is no faster
TOKENS_AT_ONCE_ON_CPU = 512


class RowScorer:
    """The log-likelihoods of choices, by one row a question where the model allows it."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._prefix = Prefix(loaded)
        self._fit = BatchFit(loaded)

    def score(self, questions: Sequence[ChoiceJob]) -> Iterator[tuple[list[ChoiceJob], list[list[float]]]]:
        """Yield batches of the questions with the log-likelihoods of their choices; longest first."""
        shared = 0  # tokens that all begin with, computed once; each question keeps one to go on from
        if self._loaded.shares:
            contexts = [question.context for question in questions]
            shared = min(shared_length(min(contexts), max(contexts)), min(map(len, contexts)) - 1)
            self._prefix.become(contexts[0][:shared])
        waiting = sorted(questions, key=lambda question: question.size, reverse=True)
        while waiting := [question for question in waiting if not question.done.done()]:
            longest = waiting[0].size
            at_once = TOKENS_AT_ONCE.get(self._loaded.device.type, TOKENS_AT_ONCE_ON_CPU)
            most = min(at_once // (longest - shared), self._fit.rows(longest, longest - shared))
            batch = waiting[: max(1, most)]
            yield batch, self._fit.run(lambda jobs: self._logprobs(jobs, shared), batch)
            waiting = waiting[len(batch) :]

    def _logprobs(self, questions: Sequence[ChoiceJob], shared: int) -> list[list[float]]:
        rows = [
            row
            for number, question in enumerate(questions)
            for row in rows_of(
                number, question.context[shared:], question.continuations, packed=self._loaded.packs
            )
        ]
        reads = [(row_index, *read) for row_index, row in enumerate(rows) for read in row.reads]
        row_indices, numbers, choices, read_columns, tokens = zip(*reads, strict=True)
        columns = sorted(set(read_columns))
        where = {column: index for index, column in enumerate(columns)}
        logits = self._loaded.logits(
            tokens_of(rows, self._loaded.device),
            columns,
            self._prefix.shared() if shared else None,
            **choice_mask(rows, shared, self._loaded.network),
        )
        picked = logits[list(row_indices), [where[column] for column in read_columns]]
        targets = torch.tensor(tokens, device=picked.device)[:, None]
        values = picked.float().log_softmax(dim=-1).gather(-1, targets)[:, 0].tolist()
        sums = [[0.0] * len(question.choices) for question in questions]
        for number, choice, value in zip(numbers, choices, values, strict=True):
            sums[number][choice] += value
        return sums
