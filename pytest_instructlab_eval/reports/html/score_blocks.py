"""The page's benchmarks: each one's scores by group with intervals, side by side, and their charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.gates.sentences import number_text
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.html.charts import Axis, Bar, Mark, Radar, histogram
from pytest_instructlab_eval.reports.html.overview import change_text, digits
from pytest_instructlab_eval.reports.html.question_table import PageQuestions, PageSide
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import score_doubts
from pytest_instructlab_eval.stats.comparison import mean_interval
from pytest_instructlab_eval.stats.statistics import Interval
from pytest_instructlab_eval.stats.summary import Summary, SummaryRow
from pytest_instructlab_eval.stats.values import group_by, has_one_scale, main_scores, units_of

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

    kind: str
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
    sources = [_results_of(side, report) for side in table.sides]
    shown = {index for index in table.against if index is not None}
    shown |= {index for index, side in enumerate(table.sides) if side.role != "baseline"}
    blocks = []
    for benchmark in dict.fromkeys(result.benchmark for result in report.run.results):
        parts = {
            index: [result for result in results if result.benchmark == benchmark]
            for index, results in enumerate(sources)
            if index in shown
        }
        parts = {index: part for index, part in parts.items() if part}
        blocks.append(_block_of(benchmark, parts, report, table))
    return blocks


def _results_of(side: PageSide, report: RunReport) -> list[Result]:
    earlier = report.baseline.results if report.baseline is not None else ()
    source = earlier if side.role == "baseline" else report.run.results
    return [result for result in source if result.model == side.label]


def _block_of(
    benchmark: str, parts: Mapping[int, Sequence[Result]], report: RunReport, table: PageQuestions
) -> ScoreBlock:
    summaries: dict[int, Summary] = {}
    for index in parts:
        side = table.sides[index]
        source = report.baseline_summaries if side.role == "baseline" else report.summaries
        summaries[index] = next(s for s in source if (s.benchmark, s.model) == (benchmark, side.label))
    maximum = max(summary.overall.maximum for summary in summaries.values())
    rows = list(_rows(parts, summaries, maximum, table))
    groups = [row for row in rows if row.kind == "group"]
    shares = [[_share(row.cells[place], maximum) for row in groups] for place in range(len(parts))]
    return ScoreBlock(
        benchmark=benchmark,
        sides=tuple((index, table.sides[index]) for index in parts),
        maximum=maximum,
        rows=tuple(rows),
        radar=Radar.of(shares) if len(groups) in RADAR else None,
        radar_labels=tuple(row.label for row in groups),
        bars=tuple(_bars(list(parts.values()))),
        lines=tuple(
            line for index, s in summaries.items() for line in _lines(s, table.sides[index], len(parts))
        ),
    )


def _share(cell: ScoreCell | None, maximum: float) -> float | None:
    return None if cell is None else max(0.0, min(1.0, cell.sort / maximum))


def _rows(
    parts: Mapping[int, Sequence[Result]],
    summaries: Mapping[int, Summary],
    maximum: float,
    table: PageQuestions,
) -> list[ScoreRow]:
    """Return the rows of a benchmark: the whole, its metrics, its groups."""
    axis = Axis(0.0, maximum)
    by_group = {
        index: group_by(main_scores(part), lambda result: result.group) for index, part in parts.items()
    }
    kinds: list[tuple[tuple[str, str], dict[int, tuple[SummaryRow, Interval | None]]]] = []
    whole = {
        index: (summary.overall, _mean_interval(main_scores(parts[index])))
        for index, summary in summaries.items()
    }
    kinds.append((("whole", "all questions"), whole))
    for label in dict.fromkeys(row.label for summary in summaries.values() for row in summary.metrics):
        found: dict[int, tuple[SummaryRow, Interval | None]] = {
            index: (row, None) for index, s in summaries.items() for row in s.metrics if row.label == label
        }
        kinds.append((("metric", label.replace("_", " ")), found))
    for label in dict.fromkeys(row.label for summary in summaries.values() for row in summary.groups):
        measured = {
            index: (row, _mean_interval(by_group[index].get(label, [])))
            for index, s in summaries.items()
            for row in s.groups
            if row.label == label
        }
        kinds.append((("group", label), measured))
    return [_score_row(name, found, list(parts), axis, table.against) for name, found in kinds]


def _mean_interval(results: Sequence[Result]) -> Interval | None:
    return mean_interval(results) if results and has_one_scale(results) else None


def _score_row(
    name: tuple[str, str],
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
    number = digits(row.maximum)
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
        alpha = "not measurable" if summary.agreement is None else f"{summary.agreement:.2f}"
        lines.append(
            f"judges' agreement{of}: Krippendorff's alpha {alpha}, over {summary.agreement_n:,} answers"
        )
    if summary.judge_spread is not None:
        lines.append(
            f"judge's spread{of}: {summary.judge_spread:.2f} from one rating of an answer to the next, over "
            f"{summary.judge_spread_n:,} answers"
        )
    return [*lines, *(f"{label}{of}: {count:,}" for label, count in score_doubts(summary))]
