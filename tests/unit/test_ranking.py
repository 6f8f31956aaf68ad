"""The ranking of several models, and who can't be told from the best."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.ranking_table import ranking_table
from pytest_instructlab_eval.stats.ranking import rank_models


def graded(model: str, ratings: list[float], first: int = 0) -> list[Result]:
    """A rating a question, of 10."""
    return [
        Result("mt_bench", str(number), "", model, scores=(Score(rating, "rating", 10.0),))
        for number, rating in enumerate(ratings, first)
    ]


def branch(model: str, files: dict[str, list[float]]) -> list[Result]:
    """A rating a pair, of 10, in qna files."""
    return [
        Result(
            "mt_bench_branch",
            f"{file}-{number}",
            file,
            model,
            scores=(Score(rating, "rating", 10.0),),
            cluster=file,
        )
        for file, ratings in files.items()
        for number, rating in enumerate(ratings)
    ]


def task(model: str, right: str, name: str = "anatomy") -> Result:
    """A task whose questions were answered right ("1") or wrong."""
    samples = [Sample(str(number), float(mark == "1")) for number, mark in enumerate(right)]
    return Result("mmlu", name, name, model, scores=(Score.mean_of(samples, metric="acc"),))


def test_one_model_has_no_ranking() -> None:
    assert rank_models(graded("one", [5, 6])) == []


def test_the_best_comes_first_with_its_share_of_the_maximum() -> None:
    ranks = rank_models([*graded("weak", [2, 3] * 3), *graded("strong", [8, 9] * 3)])
    assert [row.model for row in ranks] == ["strong", "weak"]
    assert ranks[0].score == pytest.approx(0.85)
    assert ranks[1].behind == pytest.approx(0.6)
    assert not ranks[1].tied


def test_a_steady_difference_tells_models_apart_where_the_means_alone_would_not() -> None:
    easy_to_hard = [1.0, 3.0, 5.0, 7.0, 9.0, 2.0, 4.0, 6.0, 8.0, 1.5]
    ranks = rank_models([*graded("a", easy_to_hard), *graded("b", [value + 0.5 for value in easy_to_hard])])
    assert (ranks[0].model, ranks[1].tied) == ("b", False)
    assert ranks[1].behind is not None
    assert ranks[1].stderr is not None
    assert ranks[1].behind < ranks[1].stderr  # the unpaired error is larger than the difference


def test_a_difference_within_its_error_is_a_tie() -> None:
    ranks = rank_models([*graded("a", [5, 6, 7, 8]), *graded("b", [8, 5, 6, 8])])
    assert ranks[1].tied


def test_the_interval_of_a_difference_is_that_of_the_paired_differences() -> None:
    ratings = [6.0, 7.0, 8.0, 5.0, 4.0, 6.0, 7.0, 3.0, 5.0, 6.0]
    differences = [3.0, 2.0, 1.0, 2.5, 3.5, 0.5, 1.0, 2.0, 3.0, 1.5]
    better = [rating + more for rating, more in zip(ratings, differences, strict=True)]
    row = rank_models([*graded("a", better), *graded("b", ratings)])[1]
    assert row.behind == pytest.approx(0.2)
    assert row.interval is not None
    stderr = statistics.stdev(differences) / math.sqrt(10)
    assert row.interval.high - row.interval.low == pytest.approx(2 * 2.262157 * stderr / 10)


def test_few_questions_tell_models_apart_by_a_difference_that_is_large_beside_its_spread() -> None:
    apart, close = ([9.0, 8.0, 9.0], [1.0, 1.0, 2.0]), ([9.0, 8.0, 9.0], [8.0, 5.0, 9.0])
    for (better, worse), tied in ((apart, False), (close, True)):
        row = rank_models([*graded("a", better), *graded("b", worse)])[1]
        assert (row.model, row.tied) == ("b", tied)


def test_a_difference_that_can_not_be_measured_is_none_and_tells_nothing_apart() -> None:
    one_question = rank_models([*graded("a", [9]), *graded("b", [1])])[1]
    nothing_shared = rank_models([*graded("a", [9, 9]), *graded("b", [1, 1], first=2)])[1]
    assert one_question.behind == pytest.approx(0.8)
    assert (one_question.interval, one_question.tied) == (None, True)
    assert (nothing_shared.behind, nothing_shared.interval, nothing_shared.tied) == (None, None, True)


def test_pairs_of_one_qna_file_count_as_one() -> None:
    """Six pairs of two files say no more of their difference than two figures do."""
    better = branch("a", {"one": [9, 9, 9], "two": [4, 4, 4]})
    worse = branch("b", {"one": [3, 3, 3], "two": [3, 3, 3]})
    assert rank_models([*better, *worse])[1].tied


def test_the_interval_over_benchmarks_takes_in_that_of_each() -> None:
    answers = [task("a", "1" * 40), task("b", "1" * 20 + "0" * 20)]
    ratings = [*graded("a", [9, 8, 9]), *graded("b", [1, 1, 2])]
    alone = [rank_models(part)[1].interval for part in (answers, ratings)]
    both = rank_models([*answers, *ratings])[1].interval
    assert both is not None
    halves = [(part.high - part.low) / 2 for part in alone if part is not None]
    assert max(halves) / 2 < (both.high - both.low) / 2 < sum(halves) / 2


def test_tasks_are_paired_question_by_question() -> None:
    ranks = rank_models(
        [task("a", "1110"), task("a", "1111", "virology"), task("b", "0110"), task("b", "1011", "virology")]
    )
    assert ranks[0].model == "a"
    assert ranks[1].behind == pytest.approx(0.25)


def test_questions_that_one_model_has_no_score_for_are_left_out_of_the_difference() -> None:
    ranks = rank_models([*graded("a", [9, 9, 9, 1]), *graded("b", [8, 8, 8])])
    assert ranks[1].behind == pytest.approx(-0.1 if ranks[0].model == "b" else 0.1)


def test_a_model_without_a_score_on_every_benchmark_is_not_ranked() -> None:
    results = [*graded("a", [9, 8]), *graded("b", [7, 8]), task("a", "11"), task("b", "10"), task("c", "11")]
    assert {row.model for row in rank_models(results)} == {"a", "b"}


def test_benchmarks_weigh_the_same() -> None:
    ranks = rank_models([*graded("a", [10, 10]), task("a", "00"), *graded("b", [10, 10]), task("b", "11")])
    assert [(row.model, row.score) for row in ranks] == [("b", 1.0), ("a", 0.5)]


def test_the_table_marks_the_best_and_its_ties() -> None:
    lines = ranking_table(
        rank_models([*graded("a", [5, 6, 7, 8]), *graded("b", [8, 5, 6, 8]), *graded("c", [1, 1, 2, 1])])
    )
    assert lines[2].startswith("b") or lines[2].startswith("a")
    assert lines[2].endswith("best")
    assert lines[3].endswith("may equal the best")
    assert lines[4].startswith("c")


def test_the_more_models_there_are_the_wider_are_the_intervals_behind_the_best() -> None:
    close = [5.0, 6.0, 7.0, 8.0, 9.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    shown = [0.9, 0.2, 0.6, 0.1, 0.4, 0.8, 0.7, 0.1, 0.5, -0.6]
    models = {"best": close} | {
        f"next{number}": [rating - less for rating, less in zip(close, shown, strict=True)]
        for number in range(20)
    }
    widths, tied = [], []
    for count in (2, 3, 4, 11, 21):
        ranks = rank_models(
            [result for name in list(models)[:count] for result in graded(name, models[name])]
        )
        assert ranks[1].interval is not None
        assert ranks[1].confidence == pytest.approx(min(1, 1 - 2 * min(0.025, 0.05 / (count - 1))))
        widths.append(ranks[1].interval.high - ranks[1].interval.low)
        tied.append(ranks[1].tied)
    assert widths[0] == widths[1] < widths[2] < widths[3] < widths[4]
    assert tied == [False, False, False, True, True]


def test_the_table_says_the_confidence_of_its_intervals() -> None:
    models = [graded(f"m{number}", [5 + number / 10, 6, 7, 8 - number / 7]) for number in range(11)]
    lines = ranking_table(rank_models(itertools.chain.from_iterable(models)))
    assert "99 %" in lines[0] + lines[1]
    assert "95 %" not in "".join(lines)


def test_the_luck_of_the_best_is_said_below_the_table_and_of_a_clear_winner_nothing_is() -> None:
    draw = random.Random(0)
    alike = [graded(f"m{number}", [draw.gauss(5, 1) for _ in range(40)]) for number in range(20)]
    ranks = rank_models(itertools.chain.from_iterable(alike))
    bias = ranks[0].selection_bias
    assert bias is not None
    assert bias == pytest.approx(1.87 * 0.1 / math.sqrt(40), rel=0.3)  # the mean of the highest of 20
    assert [rank.selection_bias for rank in ranks[1:]] == [None] * 19
    luck = f"the score of {ranks[0].model} is about {bias:.4f} too high, since the highest of 20 scores is"
    assert luck in " ".join(" ".join(ranking_table(ranks)).split())
    clear = rank_models([*alike[0], *graded("clear", [9.0] * 40)])
    assert clear[0].selection_bias == 0
    assert not any("luck" in line for line in ranking_table(clear))


def test_luck_that_all_models_share_is_none_for_the_choice_among_them() -> None:
    """Questions that are hard for all say nothing about which is best."""
    hard = [1.0, 9.0, 2.0, 8.0, 5.0, 3.0, 7.0, 4.0]
    ranks = rank_models([*graded("a", hard), *graded("b", [rating - 0.1 for rating in hard])])
    assert ranks[0].selection_bias == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "results",
    [
        [*graded("a", [9]), *graded("b", [1])],
        [*branch("a", {"one": [9, 8]}), *branch("b", {"one": [1]})],
        [task("a", "1"), task("b", "0")],
    ],
)
def test_where_the_spread_is_unknown_so_is_the_luck(results: list[Result]) -> None:
    assert rank_models(results)[0].selection_bias is None


def test_the_luck_is_in_the_unit_of_the_score_whatever_the_scale_and_over_benchmarks() -> None:
    draw = random.Random(1)
    marks = ["".join(draw.choice("01") for _ in range(60)) for _ in range(6)]
    answers = [task(f"m{number}", marks[number]) for number in range(6)]
    ratings = [graded(f"m{number}", [10.0 * int(mark) for mark in marks[number]]) for number in range(6)]
    biases = [
        rank_models(part)[0].selection_bias
        for part in (answers, list(itertools.chain.from_iterable(ratings)))
    ]
    assert biases[0] == pytest.approx(biases[1])
    both = rank_models([*answers, *itertools.chain.from_iterable(ratings)])[0].selection_bias
    assert both == pytest.approx((biases[0] or 0) / math.sqrt(2), rel=0.25)


def about_passages(model: str, right: str, questions: int, *, named: bool = True) -> list[Result]:
    """Two tasks, with so many questions about each passage, all right ("1") or all wrong."""
    results = []
    for name, marks in (("law", right[::2]), ("art", right[1::2])):
        samples = [
            Sample(f"{number}.{question}", float(mark == "1"), passage=f"p{number}" if named else "")
            for number, mark in enumerate(marks)
            for question in range(questions)
        ]
        results.append(Result("mmlu", name, name, model, scores=(Score.mean_of(samples, metric="acc"),)))
    return results


def test_questions_about_one_passage_are_one_piece_of_luck() -> None:
    draw = random.Random(2)
    marks = ["".join(draw.choice("01") for _ in range(40)) for _ in range(6)]

    def luck(questions: int, *, named: bool = True) -> float | None:
        results = [about_passages(f"m{row}", mark, questions, named=named) for row, mark in enumerate(marks)]
        return rank_models(itertools.chain.from_iterable(results))[0].selection_bias

    alone, apart = luck(1), luck(5, named=False)
    assert alone is not None
    assert apart is not None
    assert luck(5) == pytest.approx(alone)
    assert apart < alone / math.sqrt(5)  # the leads of the models are larger than so small errors, too


def test_tasks_of_one_passage_each_are_compared_with_each_other() -> None:
    draw = random.Random(3)
    marks = ["".join(draw.choice("01") for _ in range(12)) for _ in range(6)]
    lucks = []
    for questions, passage in ((1, ""), (3, "p")):
        results = [
            Result(
                "mmlu", f"t{number}", f"t{number}", f"m{row}", scores=(Score.mean_of(samples, metric="acc"),)
            )
            for row, mark in enumerate(marks)
            for number, right in enumerate(mark)
            if (samples := [Sample(str(n), float(right), passage=passage) for n in range(questions)])
        ]
        lucks.append(rank_models(results)[0].selection_bias)
    assert lucks[0] is not None
    assert lucks[1] == pytest.approx(lucks[0])


def test_a_sample_of_one_question_a_task_can_tell_models_apart() -> None:
    names = [f"task{number}" for number in range(12)]
    strong = [task("strong", "1", name) for name in names]
    weak = [task("weak", "0" if number else "1", name) for number, name in enumerate(names)]
    ranks = rank_models([*strong, *weak, task("strong", "111", "law"), task("weak", "000", "law")])
    assert ranks[1].interval is not None
    assert not ranks[1].tied
