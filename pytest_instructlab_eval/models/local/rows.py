"""Questions as rows of a forward pass: tokens, and the mask and positions that keep choices apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch
import transformers


@dataclasses.dataclass(frozen=True)
class PassRow:
    """A context and some of its choices as one row of a forward pass.

    `spans` are the columns of each choice that has several tokens, all of it but the last token;
    `reads` are (question, choice, column, token): where the log-probability of a token is read.
    """

    tokens: list[int]
    context: int
    spans: list[tuple[int, int]]
    reads: list[tuple[int, int, int, int]]


def rows_of(
    number: int, context: list[int], continuations: Sequence[list[int]], *, packed: bool
) -> list[PassRow]:
    """Return a question as one row; one for each choice of several tokens where they can't be packed."""
    numbered = list(enumerate(continuations))
    if packed:
        return [_pass_row(number, context, numbered)]
    short = [entry for entry in numbered if len(entry[1]) == 1]
    groups = [short] * bool(short) + [[entry] for entry in numbered if len(entry[1]) > 1]
    return [_pass_row(number, context, group) for group in groups]


def _pass_row(number: int, context: list[int], continuations: Iterable[tuple[int, list[int]]]) -> PassRow:
    """Return the row of a question by its number, and some of its choices by theirs."""
    tokens, spans, reads = list(context), [], []
    for choice, continuation in continuations:
        start = len(tokens)
        tokens += continuation[:-1]
        if len(tokens) > start:
            spans.append((start, len(tokens)))
        columns = (len(context) - 1, *range(start, len(tokens)))
        reads += [(number, choice, *read) for read in zip(columns, continuation, strict=True)]
    return PassRow(tokens, len(context), spans, reads)


def tokens_of(rows: Sequence[PassRow], device: torch.device) -> torch.Tensor:
    """Return the tokens, padded on the right, where nothing that comes before sees them."""
    width = max(len(row.tokens) for row in rows)
    padded = [row.tokens + [0] * (width - len(row.tokens)) for row in rows]
    return torch.tensor(padded, device=device)


def choice_mask(
    rows: Sequence[PassRow], shared: int, network: transformers.PreTrainedModel
) -> dict[str, torch.Tensor]:
    """Return the mask, 0 or the least number, and positions by which a choice follows its context alone.

    The mask has the shape (rows, 1, columns, columns with those of the prefix). Empty where no row has two
    choices to keep apart.
    """
    if all(len(row.spans) < 2 for row in rows):
        return {}
    width = max(len(row.tokens) for row in rows)
    seen = torch.ones(width, shared + width, dtype=torch.bool).tril(shared).repeat(len(rows), 1, 1)
    positions = torch.arange(shared, shared + width).repeat(len(rows), 1)
    for index, row in enumerate(rows):
        for start, end in row.spans:
            seen[index, start:end, shared + row.context : shared + start] = False
            positions[index, start:end] -= start - row.context
    mask = torch.zeros(seen.shape, dtype=network.dtype).masked_fill_(~seen, torch.finfo(network.dtype).min)
    return {
        "attention_mask": mask[:, None].to(network.device),
        "position_ids": positions.to(network.device),
    }
