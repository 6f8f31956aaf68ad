"""The scores of a run with their uncertainty, as programs take them: one row for each mean of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.gates.target import Target
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.stats.statistics import CONFIDENCE, Interval
from pytest_instructlab_eval.stats.summary import Summary, SummaryRow
from pytest_instructlab_eval.stats.values import main_scores, results_of_metric

Part = Literal["benchmark", "metric", "group"]


@dataclass(frozen=True)
class BenchmarkScore:
    """The mean score of one model on a benchmark, on one of its metrics, or in one of its groups.

    `part` says which, and `name` is that of the metric or group, empty for the benchmark. `value`, `stderr`
    and the ends of `interval` (95 %) are in the unit of the score, which goes up to `maximum`; they are None
    where they cannot be measured. `n` counts scored questions, `unscored` and `errors` the others. `judge` is
    the judge's name, or those of a panel, None without one.
    """

    benchmark: str
    model: str
    part: Part
    name: str
    value: float | None
    maximum: float
    stderr: float | None
    interval: Interval | None
    n: int
    unscored: int
    errors: int
    judge: str | None = None
    is_base: bool = False


def benchmark_scores(report: RunReport) -> list[BenchmarkScore]:
    """Return the scores of all benchmarks and models: of each the whole, then its metrics and groups."""
    return [score for summary in report.summaries for score in summary_scores(report, summary)]


def whole_scores(report: RunReport) -> list[BenchmarkScore]:
    """Return the score of each benchmark and model as a whole."""
    return [next(summary_scores(report, summary)) for summary in report.summaries]


def summary_scores(report: RunReport, summary: Summary) -> Iterator[BenchmarkScore]:
    """Yield the scores of one benchmark and model."""
    results = [
        result
        for result in report.run.results
        if (result.benchmark, result.model) == (summary.benchmark, summary.model)
    ]
    main = main_scores(results)

    def score(part: Part, row: SummaryRow, name: str, of: Sequence[Result]) -> BenchmarkScore:
        interval = Target("", tuple(of)).interval_of_mean(CONFIDENCE) if row.value is not None else None
        return BenchmarkScore(
            summary.benchmark, summary.model, part, name, row.value, row.maximum, row.stderr, interval,
            row.n, row.unscored, row.errors, summary.judge, summary.model == report.run.base,
        )  # fmt: skip

    yield score("benchmark", summary.overall, "", main)
    for row in summary.metrics:
        yield score("metric", row, row.label, results_of_metric(results, row.label))
    for row in summary.groups:
        yield score("group", row, row.label, [result for result in main if result.group == row.label])


def judge_names(label: str | None) -> list[str]:
    """Return the judges' names from the label of a judge or panel."""
    return label.split(", ") if label else []


def fingerprint_of(run: Run, kind: str, benchmark: str) -> object:
    """Return what a run's fingerprint says of a benchmark's "data" or "prompts"; None where it is silent."""
    entries = run.fingerprint.get(kind)
    return entries.get(benchmark) if isinstance(entries, dict) else None
