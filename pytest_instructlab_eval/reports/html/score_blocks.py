"""The page's benchmarks: each one's scores by group with intervals, side by side, and their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.sentences import number_text, score_digits
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.html.charts import Axis, Bar, Mark, Radar, histogram
from pytest_instructlab_eval.reports.html.overview import change_text
from pytest_instructlab_eval.reports.html.question_table import PageQuestions, PageSide
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import agreement_text, score_doubts
from pytest_instructlab_eval.stats.comparison import mean_interval
from pytest_instructlab_eval.stats.statistics import Interval
from pytest_instructlab_eval.stats.summary import Summary, SummaryRow
from pytest_instructlab_eval.stats.values import group_by, has_one_scale, main_scores, units_of

RowKind = Literal["whole", "metric", "group"]
KINDS: tuple[RowKind, ...] = ("whole", "metric", "group")  # in the order of a benchmark's table
RADAR = range(3, 13)  # how many groups a radar shows


@dataclass(frozen=True)
class ScoreCell:
    """One side's score of a group, with its interval and its place on the benchmark's scale."""

    side: int
    value: str
    sort: float
    interval: str
    mark: Mark
    n: int
    unscored: int
    errors: int


@dataclass(frozen=True)
class ScoreRow:
    """A row of a benchmark's table: the whole, a metric or a group; a side without it has None."""

    kind: RowKind
    label: str
    cells: tuple[ScoreCell | None, ...]
    difference: str = ""
    sort: float | None = None


@dataclass(frozen=True)
class ScoreBlock:
    """A benchmark: its sides, rows, radar, distribution of scores, and lines on its judges and doubts."""

    benchmark: str
    sides: tuple[tuple[int, PageSide], ...]
    maximum: float
    rows: tuple[ScoreRow, ...]
    radar: Radar | None
    radar_labels: tuple[str, ...]
    bars: tuple[Bar, ...]
    lines: tuple[str, ...]


def score_blocks(report: RunReport, table: PageQuestions) -> list[ScoreBlock]:
    """Return the block of each benchmark of the run."""
    sources = {
        index: group_by(table.results[index], lambda result: result.benchmark)
        for index, side in enumerate(table.sides)
        if side.role != "baseline" or index in table.against
    }
    blocks = []
    for benchmark in dict.fromkeys(result.benchmark for result in report.run.results):
        parts = {index: source[benchmark] for index, source in sources.items() if benchmark in source}
        blocks.append(_block_of(benchmark, parts, report, table))
    return blocks


def _block_of(
    benchmark: str, parts: Mapping[int, Sequence[Result]], report: RunReport, table: PageQuestions
) -> ScoreBlock:
    summaries, lines = {}, []
    for index in parts:
        side = table.sides[index]
        of_side = report.baseline_summaries if side.role == "baseline" else report.summaries
        own = (benchmark, side.label)
        summary = next(entry for entry in of_side if (entry.benchmark, entry.model) == own)
        summaries[index] = summary
        lines += _lines(summary, side, len(parts))
    maximum = max(summary.overall.maximum for summary in summaries.values())
    rows = _rows(parts, summaries, maximum, table)
    groups = [row for row in rows if row.kind == "group"]
    return ScoreBlock(
        benchmark=benchmark,
        sides=tuple((index, table.sides[index]) for index in parts),
        maximum=maximum,
        rows=tuple(rows),
        radar=_radar_of(groups, maximum),
        radar_labels=tuple(short_file_names([row.label for row in groups])),
        bars=tuple(_bars(list(parts.values()))),
        lines=tuple(lines),
    )


def _radar_of(groups: Sequence[ScoreRow], maximum: float) -> Radar | None:
    """Return the radar of the groups' scores, of 0 to `maximum`; None for fewer or more than it shows."""
    if len(groups) not in RADAR:
        return None
    return Radar.of(
        [
            [None if cell is None else max(0.0, min(1.0, cell.sort / maximum)) for cell in cells]
            for cells in zip(*(row.cells for row in groups), strict=True)
        ]
    )


def short_file_names(names: Sequence[str]) -> list[str]:
    """Return names of files without the folders and the file's name that all of them share."""
    paths = [name.split("/") for name in names]
    if len(paths) < 2 or min(map(len, paths)) < 2:
        return list(names)
    if len({path[-1] for path in paths}) == 1:
        paths = [path[:-1] for path in paths]
    lasts = [path[-1] for path in paths]
    if len(set(lasts)) == len(lasts):
        return lasts
    return ["/".join(path) for path in paths]


def _rows(
    parts: Mapping[int, Sequence[Result]],
    summaries: Mapping[int, Summary],
    maximum: float,
    table: PageQuestions,
) -> list[ScoreRow]:
    """Return the rows of a benchmark: the whole, its metrics, its groups."""
    axis = Axis(0.0, maximum)
    measured = {index: _measured(summary, parts[index]) for index, summary in summaries.items()}
    names = dict.fromkeys(name for side in measured.values() for name in side)
    rows = []
    for kind, label in sorted(names, key=lambda name: KINDS.index(name[0])):
        found = {index: side[kind, label] for index, side in measured.items() if (kind, label) in side}
        shown = label.replace("_", " ") if kind == "metric" else label
        rows.append(_score_row((kind, shown), found, list(parts), axis, table.against))
    return rows


def _measured(
    summary: Summary, results: Sequence[Result]
) -> dict[tuple[RowKind, str], tuple[SummaryRow, Interval | None]]:
    """Return a side's rows with their intervals, by kind and label; a metric has no interval."""
    scores = main_scores(results)
    by_group = group_by(scores, lambda result: result.group)
    return {
        ("whole", "all questions"): (summary.overall, _mean_interval(scores)),
        **{("metric", row.label): (row, None) for row in summary.metrics},
        **{
            ("group", row.label): (row, _mean_interval(by_group.get(row.label, []))) for row in summary.groups
        },
    }


def _mean_interval(results: Sequence[Result]) -> Interval | None:
    return mean_interval(results) if results and has_one_scale(results) else None


def _score_row(
    name: tuple[RowKind, str],
    found: Mapping[int, tuple[SummaryRow, Interval | None]],
    sides: Sequence[int],
    axis: Axis,
    against: Sequence[int | None],
) -> ScoreRow:
    """Return a row of this kind and label; its difference is that of the first side with a counterpart."""
    cells = tuple(_cell(index, *found[index], axis) if index in found else None for index in sides)
    by_side = dict(zip(sides, cells, strict=True))
    pairs = ((ours, theirs) for ours, theirs in enumerate(against) if theirs is not None)
    for ours, theirs in pairs:
        cell, other = by_side.get(ours), by_side.get(theirs)
        if cell is not None and other is not None:
            change = cell.sort - other.sort
            return ScoreRow(*name, cells, change_text(change, axis.high), change)
    return ScoreRow(*name, cells)


def _cell(side: int, row: SummaryRow, interval: Interval | None, axis: Axis) -> ScoreCell | None:
    if row.value is None:
        return None
    number = score_digits(row.maximum)
    ends = "" if interval is None else " to ".join(number_text(end, number) for end in interval)
    return ScoreCell(
        side,
        number_text(row.value, number),
        row.value,
        ends,
        Mark.on(axis, row.value, interval),
        row.n,
        row.unscored,
        row.errors,
    )


def _bars(parts: Sequence[Sequence[Result]]) -> list[Bar]:
    """Return the distribution of the scores; none where every score is right or wrong."""
    sides, maximum = [], 1.0
    for part in parts:
        units = [unit for unit in units_of(main_scores(part)) if unit.value is not None]
        maximum = max([maximum, *(unit.maximum for unit in units)])
        sides.append([unit.value for unit in units if unit.value is not None])
    if all(value in (0.0, maximum) for side in sides for value in side):
        return []
    return histogram(sides, maximum)


def _lines(summary: Summary, side: PageSide, sides: int) -> list[str]:
    """Return what is said of a side's judges and doubtful answers."""
    of = f" ({side.label})" if sides > 1 else ""
    lines = []
    if summary.agreement_n:
        alpha = f"Krippendorff's alpha {agreement_text(summary)}"
        lines.append(f"judges' agreement{of}: {alpha}, over {summary.agreement_n:,} answers")
    if summary.judge_spread is not None:
        lines.append(
            f"judge's spread{of}: {summary.judge_spread:.2f} from one rating of an answer to the next, over "
            f"{summary.judge_spread_n:,} answers"
        )
    return [*lines, *(f"{label}{of}: {count:,}" for label, count in score_doubts(summary))]
