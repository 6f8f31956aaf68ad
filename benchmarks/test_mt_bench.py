"""MT-Bench: one test for each question."""

import pytest

from pytest_instructlab_eval import Judge, Model, Recorder
from pytest_instructlab_eval.suites import mt_bench
from pytest_instructlab_eval.suites.mt_bench import MTBenchQuestion


@pytest.mark.eval("mt_bench", max_score=10)
async def test_mt_bench(
    mt_bench_question: MTBenchQuestion, served_model: Model, judge: Judge, record_score: Recorder
) -> None:
    """The judge's rating of each of the model's two answers to one question."""
    answer = await mt_bench.answer_mt_bench(mt_bench_question, served_model)
    for rating in await mt_bench.grade_mt_bench(mt_bench_question, answer, judge):
        record_score(rating)
