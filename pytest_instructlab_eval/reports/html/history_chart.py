"""The page's history of scores: a drawing and a table for each benchmark and model."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.gates.gate_report import Verdict
from pytest_instructlab_eval.gates.sentences import number_text, score_digits
from pytest_instructlab_eval.reports.history import HistoryPoint, RunHistory
from pytest_instructlab_eval.reports.history_table import point_interval, run_label, short_reason
from pytest_instructlab_eval.reports.html.charts import Axis

LEAST_RUNS = 2  # of a benchmark and model: one score is no history
HEIGHT = 160  # pixels of a drawing
LEFT, RIGHT = 4.0, 96.0  # per cent of its width, between which the runs stand
COLOURS = 8  # of the page's lines


@dataclass(frozen=True)
class HistoryDot:
    """A score in the drawing: `x` in per cent of the width, `y` and the ends of the interval in pixels."""

    x: float
    y: float
    low: float | None
    high: float | None
    colour: int
    failed: bool
    title: str


@dataclass(frozen=True)
class HistoryStroke:
    """A piece of the line between two scores that may be compared."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: int


@dataclass(frozen=True)
class HistoryRow:
    """A row of the table: a run, its score, and what became of the gates on it."""

    run: str
    line: int
    score: str
    interval: str
    verdict: Verdict | None
    failed: tuple[str, ...]


@dataclass(frozen=True)
class HistoryBlock:
    """A benchmark and model over the runs; `low` and `high` are the ends of the drawing's scale."""

    title: str
    maximum: float
    lines: int
    low: str
    high: str
    dots: tuple[HistoryDot, ...]
    strokes: tuple[HistoryStroke, ...]
    rows: tuple[HistoryRow, ...]
    notes: tuple[str, ...]


def history_blocks(history: RunHistory, shown: Collection[tuple[str, str]]) -> list[HistoryBlock]:
    """Return the block of each of these benchmarks and models that has several scores."""
    blocks = []
    for scores in history.scores:
        if (scores.benchmark, scores.model) not in shown or len(scores.points) < LEAST_RUNS:
            continue
        axis, decimals = Axis.around(scores.span), score_digits(scores.maximum)
        step = (RIGHT - LEFT) / (len(scores.points) - 1)
        dots = tuple(
            _dot(point, round(LEFT + step * number, 2), axis) for number, point in enumerate(scores.points)
        )
        strokes = []
        for line in range(scores.lines):
            of_line = [dot for dot, point in zip(dots, scores.points, strict=True) if point.line == line + 1]
            for before, after in itertools.pairwise(of_line):
                strokes.append(HistoryStroke(before.x, before.y, after.x, after.y, line % COLOURS))
        base = " (base model)" if scores.is_base else ""
        block = HistoryBlock(
            title=f"{scores.benchmark} of {scores.model}{base}",
            maximum=scores.maximum,
            lines=scores.lines,
            low=number_text(max(0.0, axis.low), decimals),
            high=number_text(min(scores.maximum, axis.high), decimals),
            dots=dots,
            strokes=tuple(strokes),
            rows=tuple(map(_history_row, scores.points)),
            notes=scores.notes,
        )
        blocks.append(block)
    return blocks


def _dot(point: HistoryPoint, x: float, axis: Axis) -> HistoryDot:
    def height(value: float) -> float:
        return round(HEIGHT * (1 - axis.at(value) / 100), 1)

    row, interval = _history_row(point), point.score.interval
    said = "; ".join([f"{row.run}: {row.score}", *([row.interval] if row.interval else []), *row.failed])
    return HistoryDot(
        x=x,
        y=height(point.score.value or 0.0),
        low=None if interval is None else height(interval.low),
        high=None if interval is None else height(interval.high),
        colour=(point.line - 1) % COLOURS,
        failed=bool(point.failed),
        title=said,
    )


def _history_row(point: HistoryPoint) -> HistoryRow:
    decimals = score_digits(point.score.maximum)
    return HistoryRow(
        run=run_label(point),
        line=point.line,
        score=number_text(point.score.value or 0.0, decimals),
        interval=point_interval(point, decimals),
        verdict=point.verdict,
        failed=tuple(
            f"{escape_line(gate.gate)}: {escape_line(short_reason(gate.message))}" for gate in point.failed
        ),
    )
