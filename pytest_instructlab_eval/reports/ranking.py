"""Several models compared on the same questions: the best, and which can't be told from it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.gates.statistics import clustered_standard_error
from pytest_instructlab_eval.reports.summary import summarise, variance_of_sum
from pytest_instructlab_eval.scores import Result

__all__ = ["Rank", "rank", "ranking_table"]

CONFIDENCE_95 = 1.959963984540054  # the 97.5th percentile of the standard normal distribution


@dataclass(frozen=True)
class Rank:
    """A model's place: `score` and `stderr` are shares of the best possible, 0 to 1.

    `behind` is the mean difference to the best model over the questions that both have a score for,
    `behind_stderr` its standard error (None where it can't be measured); `tied` says that the
    difference could be nothing, at 95 %.
    """

    model: str
    score: float
    stderr: float | None
    behind: float
    behind_stderr: float | None
    tied: bool


def rank(results: Iterable[Result]) -> list[Rank]:
    """The models that were run on every benchmark, the best first; empty where there are fewer than two.

    The score is the unweighted mean over the benchmarks of the score over its maximum.
    """
    found = list(results)
    summaries = summarise(found)
    benchmarks = {summary.benchmark for summary in summaries}
    scores: dict[str, dict[str, tuple[float, float | None]]] = {}
    for summary in summaries:
        if summary.overall.value is not None:
            stderr = summary.overall.stderr
            share = None if stderr is None else stderr / summary.overall.maximum
            scores.setdefault(summary.model, {})[summary.benchmark] = (
                summary.overall.value / summary.overall.maximum,
                share,
            )
    whole = {model: rows for model, rows in scores.items() if set(rows) == benchmarks}
    if len(whole) < 2:
        return []
    ordered = sorted(whole, key=lambda model: -_mean(whole[model]))
    best = _by_question(found, ordered[0])
    return [_rank(model, whole[model], best, _by_question(found, model)) for model in ordered]


def _rank(
    model: str,
    rows: Mapping[str, tuple[float, float | None]],
    best: Mapping[str, Mapping[tuple[str, str], float]],
    own: Mapping[str, Mapping[tuple[str, str], float]],
) -> Rank:
    behind, stderr = _difference(best, own)
    tied = stderr is None or abs(behind) <= CONFIDENCE_95 * stderr
    return Rank(
        model, _mean(rows), _stderr_of_mean([error for _, error in rows.values()]), behind, stderr, tied
    )


def _mean(rows: Mapping[str, tuple[float, float | None]]) -> float:
    return statistics.fmean(value for value, _ in rows.values())


def _stderr_of_mean(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*known) / len(known) if known and len(known) == len(errors) else None


def _by_question(results: Sequence[Result], model: str) -> dict[str, dict[tuple[str, str], float]]:
    """By benchmark, the share of the best possible that each question got; (test, question) is the key."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for result in results:
        if result.model == model:
            found.setdefault(result.benchmark, {}).update(_shares(result))
    return found


def _shares(result: Result) -> dict[tuple[str, str], float]:
    samples = {
        (result.question, sample.id): sample.value
        for score in result.scores
        for sample in score.samples
        if sample.value is not None
    }
    if samples:
        return samples
    values = [score.value / score.maximum for score in result.scores if score.value is not None]
    return {(result.question, ""): statistics.fmean(values)} if values else {}


def _difference(
    best: Mapping[str, Mapping[tuple[str, str], float]], own: Mapping[str, Mapping[tuple[str, str], float]]
) -> tuple[float, float | None]:
    """The mean over benchmarks of the paired difference, and its standard error.

    Inside a benchmark each test (a task, a question) weighs the same, as in its score. The variance of a
    mean of k independent means is the sum of theirs over k squared.
    """
    means, errors = [], []
    for benchmark in best:
        tests: dict[str, list[float]] = {}
        for key, value in best[benchmark].items():
            if key in own.get(benchmark, {}):
                tests.setdefault(key[0], []).append(value - own[benchmark][key])
        if not tests:
            return 0.0, None
        means.append(statistics.fmean(statistics.fmean(values) for values in tests.values()))
        errors.append(_stderr_of_tests(list(tests.values())))
    return statistics.fmean(means), _stderr_of_mean(errors)


def _stderr_of_tests(tests: Sequence[Sequence[float]]) -> float | None:
    if all(len(values) == 1 for values in tests):
        return clustered_standard_error(tests)
    means = [
        (statistics.fmean(values), clustered_standard_error([[value] for value in values]), len(values))
        for values in tests
    ]
    variance = variance_of_sum(means)
    return math.sqrt(variance) / len(tests) if variance is not None else None


def ranking_table(ranks: Sequence[Rank]) -> list[str]:
    """The lines of the ranking."""
    from tabulate import tabulate

    if not ranks:
        return []
    rows = [[row.model, f"{row.score:.4f}", _number(row.stderr), *_verdict(row, ranks[0])] for row in ranks]
    head = ["ranking", "score (0 to 1)", "std. error", "behind the best", ""]
    align = ("left", "right", "right", "right", "left")
    return tabulate(rows, head, tablefmt="simple", disable_numparse=True, colalign=align).splitlines()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _verdict(row: Rank, best: Rank) -> tuple[str, str]:
    if row is best:
        return "", "best"
    margin = "" if row.behind_stderr is None else f" ± {CONFIDENCE_95 * row.behind_stderr:.4f}"
    return f"{row.behind:.4f}{margin}", "can't be told from the best (95 %)" if row.tied else ""
