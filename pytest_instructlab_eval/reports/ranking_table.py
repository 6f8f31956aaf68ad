"""The table of ranked models, the best first, and what it leaves in doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pytest_instructlab_eval.gates.sentences import confidence_text, name_list
from pytest_instructlab_eval.reports.tables import fit_table, paragraphs
from pytest_instructlab_eval.stats.ranking import Rank, simultaneous_confidence


class RankCells(NamedTuple):
    """The cells of a model's line; `word` says whether it is the best, or may equal it."""

    model: str
    score: str
    stderr: str
    behind: str
    interval: str
    word: str


def rank_cells(ranks: Sequence[Rank]) -> list[RankCells]:
    """Return the cells of each model, the best first."""
    best = [RankCells(rank.model, _share_text(rank.score), _share_text(rank.stderr), "", "", "best")
            for rank in ranks[:1]]  # fmt: skip
    return best + [
        RankCells(
            rank.model,
            _share_text(rank.score),
            _share_text(rank.stderr),
            _share_text(rank.behind),
            "" if rank.interval is None else f"{rank.interval.low:.4f} to {rank.interval.high:.4f}",
            "may equal the best" if rank.tied else "",
        )
        for rank in ranks[1:]
    ]


def interval_head(ranks: Sequence[Rank]) -> str:
    """Return the head of the column of intervals; empty without ranks."""
    return f"{confidence_text(simultaneous_confidence(len(ranks) - 1))} interval" if ranks else ""


def ranking_table(ranks: Sequence[Rank]) -> list[str]:
    """Return the lines of the ranking; none without ranks."""
    if not ranks:
        return []
    head = ["ranking", "score (0 to 1)", "std. error", "behind the best", interval_head(ranks), ""]
    lines = fit_table(head, list(map(list, rank_cells(ranks))), text=(5,))
    return [*lines, *paragraphs(_luck_of_best(ranks))]


def doubts_about_best(ranks: Sequence[Rank]) -> list[str]:
    """Return the sentences on the models that may equal the best, and on the luck in its score."""
    equals = [rank.model for rank in ranks if rank.tied]
    tied = (
        [f"{ranks[0].model} may not be the best: {name_list(equals)} may equal it; ask more questions"]
        if equals
        else []
    )
    return [*tied, *_luck_of_best(ranks)]


def _luck_of_best(ranks: Sequence[Rank]) -> list[str]:
    """Return the sentence on how much too high the best score is; none where it is nothing, or unknown."""
    bias = _share_text(ranks[0].selection_bias) if ranks else ""
    if not bias.strip("0."):
        return []
    too_high = f"the score of {ranks[0].model} is about {bias} too high"
    return [f"{too_high}, since the highest of {len(ranks)} scores is partly luck"]


def _share_text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
