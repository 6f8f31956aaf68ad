"""How results become means, standard errors and a table."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import Any

import pytest

from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.scores_table import scores_table
from pytest_instructlab_eval.stats.statistics import clustered_standard_error
from pytest_instructlab_eval.stats.summary import Summary, summarise


def task(subject: str, *values: float | None, model: str = "tiny") -> Result:
    """A result of MMLU: one score that is a mean over questions."""
    samples = [Sample(str(number), value) for number, value in enumerate(values)]
    return Result("mmlu", subject, subject, model, scores=(Score.mean_of(samples, metric="acc"),))


def question(
    name: str, *turns: float | None, group: str = "writing", judge: str | None = "prometheus"
) -> Result:
    """A result of MT-Bench: a score a turn."""
    scores = [Score(value, f"turn_{number}", 10.0) for number, value in enumerate(turns, start=1)]
    return Result("mt_bench", name, group, "tiny", judge, tuple(scores))


def summary_of(*results: Result) -> Summary:
    (summary,) = summarise(results)
    return summary


# --- means of means ---

UNEVEN = (task("anatomy", 1.0, 1.0, 1.0, 0.0), task("law", 0.0, 1.0))


def test_the_overall_score_of_tasks_is_the_unweighted_mean_and_named_so() -> None:
    overall = summary_of(*UNEVEN).overall
    assert (overall.label, overall.value) == ("mean over tasks", (0.75 + 0.5) / 2)


def test_the_question_weighted_mean_stands_beside_it_and_is_named_so() -> None:
    weighted = summary_of(*UNEVEN).question_weighted
    assert weighted is not None
    assert weighted.label == "mean over questions"
    assert weighted.value == pytest.approx(4 / 6)


def test_the_standard_error_of_an_unweighted_mean_is_that_of_independent_means() -> None:
    first, second = statistics.stdev([1, 1, 1, 0]) / 2, statistics.stdev([0, 1]) / math.sqrt(2)
    assert summary_of(*UNEVEN).overall.stderr == pytest.approx(math.hypot(first, second) / 2)


def test_the_standard_error_of_a_weighted_mean_weights_the_errors_too() -> None:
    first, second = statistics.stdev([1, 1, 1, 0]) / 2, statistics.stdev([0, 1]) / math.sqrt(2)
    weighted = summary_of(*UNEVEN).question_weighted
    assert weighted is not None
    assert weighted.stderr == pytest.approx(math.hypot(4 * first, 2 * second) / 6)


def test_without_the_standard_error_of_a_part_there_is_none_of_the_whole() -> None:
    summary = summary_of(task("anatomy", 1.0, 0.0), task("law", 1.0))
    assert summary.question_weighted is not None
    assert (summary.overall.stderr, summary.question_weighted.stderr) == (None, None)
    assert summary.overall.value == 0.75


def test_tasks_of_a_single_question_each_are_taken_for_one_stratum() -> None:
    """Two of them here, 1 and 0: m times their sample variance is 2 * 0.5."""
    summary = summary_of(task("anatomy", 1.0, 0.0, 1.0), task("law", 1.0), task("virology", 0.0))
    own = statistics.variance([1.0, 0.0, 1.0]) / 3
    assert summary.overall.stderr == pytest.approx(math.sqrt(own + 2 * 0.5) / 3)
    assert summary.question_weighted is not None
    assert summary.question_weighted.stderr == pytest.approx(math.sqrt(3**2 * own + 2 * 0.5) / 5)


def sampled(subject: str, size: int, *values: float) -> Result:
    """A result of a sample of a task of this size."""
    result = task(subject, *values)
    return dataclasses.replace(result, scores=(dataclasses.replace(result.scores[0], sample_of=size),))


def test_the_mean_over_questions_of_a_sample_counts_each_task_with_its_size() -> None:
    summary = summary_of(sampled("anatomy", 300, 1.0, 0.0, 1.0, 1.0), sampled("law", 100, 0.0, 1.0, 0.0, 0.0))
    weighted = summary.question_weighted
    assert weighted is not None
    assert weighted.value == pytest.approx((300 * 0.75 + 100 * 0.25) / 400)
    assert weighted.stderr == pytest.approx(math.hypot(300 * 0.25, 100 * 0.25) / 400)
    assert (weighted.n, summary.overall.value) == (8, 0.5)


def test_a_sample_of_a_single_passage_of_some_tasks_is_taken_for_one_stratum() -> None:
    def about_one_passage(subject: str, *values: float) -> Result:
        samples = [Sample(str(number), value, passage="a") for number, value in enumerate(values)]
        return Result("mmlu", subject, subject, "tiny", scores=(Score.mean_of(samples, metric="acc"),))

    summary = summary_of(about_one_passage("anatomy", 1.0, 1.0), about_one_passage("law", 0.0, 0.0))
    assert summary.overall.stderr == pytest.approx(math.sqrt(2 * 0.5) / 2)
    alone = summary_of(about_one_passage("anatomy", 1.0, 1.0), task("law", 0.0, 1.0))
    assert alone.overall.stderr is None


def test_questions_scored_one_by_one_have_no_question_weighted_mean() -> None:
    summary = summary_of(question("81", 4.0, 6.0))
    assert (summary.overall.label, summary.question_weighted) == ("mean", None)


def test_errors_of_questions_are_counted_and_left_out() -> None:
    overall = summary_of(task("anatomy", 1.0, None, 0.0), task("law", 1.0, 1.0)).overall
    assert (overall.value, overall.n, overall.errors) == (0.75, 4, 1)


# --- one by one ---


def test_turns_of_equal_weight_make_the_mean() -> None:
    overall = summary_of(question("81", 4.0, 6.0), question("82", 8.0, None)).overall
    assert (overall.value, overall.maximum, overall.n, overall.unscored) == (6.0, 10.0, 2, 1)


def test_each_metric_has_a_row_where_there_are_several() -> None:
    metrics = summary_of(question("81", 4.0, 6.0), question("82", 8.0, 9.0)).metrics
    assert [(row.label, row.value) for row in metrics] == [("turn_1", 6.0), ("turn_2", 7.5)]


def test_a_single_metric_has_no_row_of_its_own() -> None:
    assert summary_of(task("anatomy", 1.0), task("law", 1.0)).metrics == ()


def test_each_group_has_a_row_where_there_are_several() -> None:
    groups = summary_of(question("81", 4.0, 6.0), question("82", 8.0, 9.0, group="math")).groups
    assert [(row.label, row.value) for row in groups] == [("writing", 5.0), ("math", 8.5)]


def test_a_single_group_has_no_row_of_its_own() -> None:
    assert summary_of(question("81", 4.0), question("82", 8.0)).groups == ()


def test_where_nothing_was_scored_the_value_is_none_and_never_zero() -> None:
    overall = summary_of(question("81", None, None)).overall
    assert (overall.value, overall.stderr, overall.n, overall.unscored) == (None, None, 0, 2)


def test_a_test_that_ended_early_is_an_error_of_the_benchmark() -> None:
    ended = Result("mt_bench", "82", "math", "tiny", error="away")
    overall = summary_of(question("81", 4.0), ended).overall
    assert (overall.value, overall.errors) == (4.0, 1)


def test_scores_of_different_maxima_have_no_mean() -> None:
    mixed = Result("own", "a", "", "tiny", scores=(Score(0.5), Score(5.0, maximum=10.0)))
    overall = summary_of(mixed, mixed).overall
    assert (overall.value, overall.stderr) == (None, None)


def test_what_has_no_mean_has_no_standard_error() -> None:
    first = Result("own", "a", "", "tiny", scores=(Score(0.5, n=4, stderr=0.1),))
    second = Result("own", "b", "", "tiny", scores=(Score(5.0, n=4, stderr=0.1, maximum=10.0),))
    weighted = summary_of(first, second).question_weighted
    assert weighted is not None
    assert (weighted.value, weighted.stderr) == (None, None)


def test_benchmarks_and_models_are_summarised_apart_in_the_order_they_came() -> None:
    found = summarise(
        [task("law", 1.0), question("81", 5.0), task("law", 0.0, model="other"), task("art", 1.0)]
    )
    assert [(summary.benchmark, summary.model) for summary in found] == [
        ("mmlu", "tiny"),
        ("mt_bench", "tiny"),
        ("mmlu", "other"),
    ]
    assert [summary.overall.value for summary in found] == [1.0, 5.0, 0.0]


def test_the_judge_is_named_where_there_was_one() -> None:
    assert summary_of(question("81", 5.0)).judge == "prometheus"
    assert summary_of(task("law", 1.0)).judge is None


def test_nothing_is_summarised_as_nothing() -> None:
    assert summarise([]) == []


def test_the_turns_of_a_question_are_one_cluster() -> None:
    results = [question("81", 1.0, 3.0), question("82", 5.0, 7.0)]
    assert summary_of(*results).overall.stderr == clustered_standard_error([[1.0, 3.0], [5.0, 7.0]])


def test_the_standard_error_of_a_single_question_is_not_known() -> None:
    assert summary_of(question("81", 4.0, 6.0)).overall.stderr is None


# --- the table ---


def lines_of(*results: Result, **options: Any) -> list[str]:
    return scores_table(summarise(results), **options)


def row_of(lines: list[str], label: str) -> list[str]:
    """The cells of the one row that starts with the label."""
    (line,) = [line for line in lines if line.strip().startswith(label)]
    return line.strip().removeprefix(label).split()


def many(count: int) -> list[Result]:
    """Tasks named task00, task01, …, whose scores rise from 0."""
    return [task(f"task{n:02}", *([1.0] * n + [0.0] * (count - n))) for n in range(count)]


def groups_shown(lines: list[str]) -> list[str]:
    return [word for line in lines for word in line.split() if word.startswith("task") and word != "tasks"]


def test_nothing_has_no_table() -> None:
    assert scores_table([]) == []


def test_the_table_names_both_means() -> None:
    lines = lines_of(*UNEVEN)
    assert row_of(lines, "mmlu, mean over tasks")[0] == "0.6250"
    assert row_of(lines, "mean over questions")[0] == "0.6667"


def test_the_table_counts_questions_unscored_and_errors() -> None:
    lines = lines_of(question("81", 4.0, None), question("82", 6.0, 8.0))
    score, of, maximum, _, questions, unscored, errors = row_of(lines, "mt_bench ")
    assert (score, of, maximum) == ("6.00", "of", "10")
    assert (questions, unscored, errors) == ("2", "1", "0")


def test_metrics_are_named_in_words() -> None:
    assert row_of(lines_of(question("81", 4.0, 6.0)), "turn 2")[:3] == ["6.00", "of", "10"]


def test_what_has_no_score_says_so() -> None:
    lines = lines_of(question("81", None))
    assert row_of(lines, "mt_bench ") == ["no", "score", "0", "1", "0"]


def test_of_ten_groups_all_are_shown() -> None:
    assert sorted(groups_shown(lines_of(*many(10)))) == [f"task{n:02}" for n in range(10)]


def test_of_many_groups_the_five_best_and_worst_are_shown_in_order() -> None:
    shown = groups_shown(lines_of(*many(14)))
    assert shown == [f"task{n:02}" for n in (13, 12, 11, 10, 9, 4, 3, 2, 1, 0)]


def test_of_many_groups_it_is_said_how_many_are_hidden_and_how_to_see_them() -> None:
    assert any("… 4 more with -v" in line for line in lines_of(*many(14)))


def test_a_group_of_one_question_is_neither_best_nor_worst() -> None:
    alone = [task(f"task{n:02}", n % 2) for n in range(12)]
    lines = lines_of(*alone, task("task-some", 1.0, 0.0))
    assert groups_shown(lines) == ["task-some"]
    assert any("… 12 more with -v" in line for line in lines)


def test_verbose_shows_every_group() -> None:
    lines = lines_of(*many(14), verbose=True)
    assert groups_shown(lines) == [f"task{n:02}" for n in range(14)]
    assert not any("more with -v" in line for line in lines)


def test_a_group_without_a_score_is_always_shown() -> None:
    lines = lines_of(*many(14), task("task-away", None))
    assert "task-away" in groups_shown(lines)


def test_groups_without_a_score_are_not_among_the_worst() -> None:
    lines = lines_of(*many(14), task("task-away", None))
    assert not any("worst" in line and "task-away" in line for line in lines)


def test_a_run_of_the_first_questions_is_labelled_so() -> None:
    lines = lines_of(question("81", 4.0), first_n=3, sampled=["mt_bench"])
    assert any("mt_bench (first 3, not a sample)" in line for line in lines)


def test_a_sample_is_labelled_so_but_not_a_benchmark_of_ones_own() -> None:
    own = Result("capitals", "France", "", "tiny", scores=(Score(1.0),))
    lines = lines_of(question("81", 4.0), own, sample=1000, sampled=["mt_bench"])
    assert row_of(lines, "mt_bench (sample of 1,000)")[0] == "4.00"
    assert row_of(lines, "capitals")[0] == "1.0000"


def test_a_run_of_all_questions_has_no_such_label() -> None:
    assert not any("first" in line for line in lines_of(question("81", 4.0)))


def test_a_group_of_a_strangers_name_is_one_row_that_a_terminal_can_show() -> None:
    lines = scores_table(
        summarise([question("1", 5.0, group="a\nb\x1b[2J"), question("2", 5.0, group="\ud83d")])
    )
    assert [line.split("  ")[1] for line in lines[-2:]] == [r"a\nb\x1b[2J", r"\ud83d"]


def test_models_are_named_where_there_are_several() -> None:
    lines = lines_of(task("law", 1.0), task("law", 0.0, model="other"))
    assert row_of(lines, "mmlu tiny")[0] == "1.0000"
    assert row_of(lines, "mmlu other")[0] == "0.0000"


def test_a_single_model_is_not_named() -> None:
    assert not any("tiny" in line for line in lines_of(task("law", 1.0)))
