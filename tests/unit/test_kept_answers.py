"""The ratings of repeated answers: kept by answer in results.json and baselines, and read back."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.judges import LLMJudge, Panel
from pytest_instructlab_eval.judges.pooling import pool_scores
from pytest_instructlab_eval.records.baseline import read_baseline
from pytest_instructlab_eval.records.baseline_writer import write_baseline
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport
from tests.schemas import schema_problems

from .fakes import FakeModel
from .test_changed_files import ODD, change, places
from .test_repeats import NumberedModel, asked, repeat, saying, scored

REPEATED = Score(7.5, "rating", 10.0, answers=(8.0, None, 7.0))
EQUAL = Score(7.0, "rating", 10.0, answers=(7.0, 7.0), same_answers=True)
RESULTS = [
    Result("mt_bench_branch", "a/qna.yaml:1", "a/qna.yaml", "lab", "prometheus", (REPEATED,)),
    Result("mt_bench_branch", "a/qna.yaml:2", "a/qna.yaml", "lab", "prometheus", (EQUAL,)),
    Result(
        "mt_bench_branch", "b/qna.yaml:1", "b/qna.yaml", "lab", "prometheus", (Score(5.0, "rating", 10.0),)
    ),
]
CONFIGURATION = {"model": ("lab",), "judge_model": "prometheus"}


# --- from the judgments ---


def test_the_ratings_of_several_answers_are_kept_beside_their_mean(mt_bench_folder: Path) -> None:
    first, second = scored(
        asked(mt_bench_folder, "writing", 2), NumberedModel(), LLMJudge(saying(2, 6, 8, 9))
    )
    assert (first.answers, second.answers) == ((2.0, 6.0), (8.0, 9.0))
    assert not first.same_answers


def test_a_single_answer_has_no_list(mt_bench_folder: Path) -> None:
    first, _ = scored(asked(mt_bench_folder, "writing", 1), NumberedModel(), LLMJudge(saying(2)))
    assert (first.value, first.answers) == (2.0, ())


def test_an_answer_without_a_rating_is_none_and_no_zero(mt_bench_folder: Path) -> None:
    rated = iter(["[[2]]", "none", "none", "[[8]]", "[[1]]", "[[1]]", "[[1]]"])
    judge = LLMJudge(FakeModel(lambda messages: next(rated)))
    first, _ = scored(asked(mt_bench_folder, "writing", 3), NumberedModel(), judge)
    assert first.value == 5.0
    assert sorted(first.answers, key=str) == [2.0, 8.0, None]


def test_the_judgments_of_one_answer_are_not_taken_for_answers(mt_bench_folder: Path) -> None:
    panel = Panel({"a": LLMJudge(saying(2, 4), repeats=2), "b": LLMJudge(saying(6), repeats=2)})
    once, _ = scored(asked(mt_bench_folder, "writing", 1), NumberedModel(), panel)
    assert (once.value, once.answers) == (4.5, ())
    twice, _ = scored(asked(mt_bench_folder, "writing", 2), NumberedModel(), panel)
    assert (twice.value, twice.answers) == (4.5, (4.5, 4.5))


@pytest.mark.parametrize(
    ("temperature", "texts", "same"),
    [(0.0, ("x", "x"), True), (0.0, ("x", "y"), False), (0.7, ("x", "x"), False)],
)
def test_only_equal_texts_at_temperature_0_are_the_same(
    mt_bench_folder: Path, temperature: float, texts: tuple[str, str], same: bool
) -> None:
    question = dataclasses.replace(asked(mt_bench_folder, "writing", 2), temperature=temperature)
    model = FakeModel(lambda messages: texts[repeat(model.chats[-1])])
    scores = scored(question, model, LLMJudge(saying(5)))
    assert [score.same_answers for score in scores] == [same, same]


def test_an_answer_that_could_not_be_had_leaves_no_score_and_its_place_empty() -> None:
    parts = {"1": Score(8.0, maximum=10.0), "2": Score(None, maximum=10.0, error="refused")}
    pooled = pool_scores(parts, "answer", all_needed=False)
    assert (pooled.value, pooled.outcome, pooled.answers) == (None, "error", (8.0, None))


@pytest.mark.parametrize(
    ("value", "answers", "message"),
    [
        (7.0, (8.0, 8.0), r"mean of their ratings \(got \[8.0, 8.0\]\)"),
        (7.0, (None, None), "mean of their ratings"),
        (7.0, (float("nan"), 7.0), "finite"),
        (7.0, (float("inf"), 7.0), "finite"),
    ],
)
def test_answers_that_contradict_their_score_are_refused(
    value: float, answers: tuple[float | None, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Score(value, maximum=10.0, answers=answers)


# --- results.json ---


@given(st.lists(st.none() | st.floats(0, 10), max_size=6), st.booleans())
def test_a_score_comes_back_as_it_was(ratings: list[float | None], same: bool) -> None:
    rated = [rating for rating in ratings if rating is not None]
    mean = Score(sum(rated) / len(rated) if rated else None, maximum=10.0)
    score = dataclasses.replace(mean, answers=tuple(ratings), same_answers=same)
    assert Score.from_plain(json.loads(json.dumps(score.to_plain()))) == score


def test_a_file_has_the_answers_only_of_repeated_questions(tmp_path: Path) -> None:
    document = results_file(tmp_path)
    first, _, last = (result["scores"][0] for result in document["results"])
    assert first["answers"] == [8.0, None, 7.0]
    assert {"answers", "same_answers"}.isdisjoint(last)
    assert schema_problems(document) == []
    assert list(read_baseline(tmp_path / "results.json", check_gate=parse_gate).results) == RESULTS


def results_file(folder: Path) -> Any:
    run = Run(tuple(RESULTS), fingerprint=CONFIGURATION, models={"lab": "lab"})
    write_results(folder / "results.json", RunReport.of(run))
    return json.loads((folder / "results.json").read_text("utf-8"))


# --- baselines ---


def test_a_baseline_has_the_ratings_beside_the_score(tmp_path: Path) -> None:
    document = baseline_file(tmp_path)
    assert schema_problems(document) == []
    lines = (tmp_path / "baseline.json").read_text("utf-8").splitlines()
    assert (
        '    "a/qna.yaml:1": {"answers": {"rating": [8.0, null, 7.0]}, "group": "a/qna.yaml", ' in lines[10]
    )
    questions = document["benchmarks"]["mt_bench_branch"]["questions"]
    assert questions["a/qna.yaml:2"]["same_answers"] == ["rating"]
    assert {"answers", "same_answers"}.isdisjoint(questions["b/qna.yaml:1"])
    there = read_baseline(tmp_path / "baseline.json").results
    assert [result.scores for result in there] == [result.scores for result in RESULTS]


def test_a_metric_that_a_test_records_twice_has_no_answers_in_a_baseline(tmp_path: Path) -> None:
    twice = Result("own", "q", "", "lab", scores=(REPEATED, EQUAL))
    write_baseline(tmp_path / "baseline.json", [twice], CONFIGURATION)
    (result,) = read_baseline(tmp_path / "baseline.json").results
    assert [(score.value, score.answers) for score in result.scores] == [(7.5, ()), (7.0, ())]


def baseline_file(folder: Path) -> Any:
    write_baseline(folder / "baseline.json", RESULTS, CONFIGURATION)
    return json.loads((folder / "baseline.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("answers", {"rating": [8.0, 8.0]}, "must have the score, 7.5, as the mean of their ratings"),
        ("answers", {"rating": [8.0, 11.0]}, "must be a number from 0 to 10"),
        ("answers", {"other": [7.5, 7.5]}, "has answers of other, which must have one score"),
        ("same_answers", ["other"], "has answers of other, which must have one score"),
    ],
)
def test_a_baseline_that_contradicts_itself_is_damaged(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    document = baseline_file(tmp_path)
    document["benchmarks"]["mt_bench_branch"]["questions"]["a/qna.yaml:1"][key] = value
    (tmp_path / "baseline.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match="is damaged") as caught:
        read_baseline(tmp_path / "baseline.json")
    assert problem in str(caught.value)


@pytest.mark.parametrize("write", [results_file, baseline_file])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_changed_answers_are_refused_in_one_sentence_or_read(
    write: Any, tmp_path: Path, data: st.DataObject
) -> None:
    document = copy.deepcopy(write(tmp_path))
    own = [place for place in places(document) if {"answers", "same_answers"} & {*place}]
    change(document, data.draw(st.sampled_from(own)), data.draw(st.sampled_from(ODD)))
    (tmp_path / "changed.json").write_text(json.dumps(document), "utf-8")
    try:
        read = read_baseline(tmp_path / "changed.json", check_gate=parse_gate)
    except DataError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert schema_problems(document) == []
        scores = [score for result in read.results for score in result.scores]
        assert all(0 <= (rating or 0) <= 10 for score in scores for rating in score.answers)
    assert "\n" not in refusal


def test_a_recorded_answer_that_is_judged_later_is_kept_too(mt_bench_folder: Path) -> None:
    """The judging stage pools as the whole run does."""
    from pytest_instructlab_eval.suites import mt_bench

    question = asked(mt_bench_folder, "writing", 3)
    answer = asyncio.run(mt_bench.answer_mt_bench(question, NumberedModel()))
    first, _ = asyncio.run(mt_bench.grade_mt_bench(question, answer, LLMJudge(saying(1, 2, 3))))
    assert first.answers == (1.0, 2.0, 3.0)
