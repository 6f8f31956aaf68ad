"""MT-Bench-Branch: one test for each question and answer pair of the taxonomy."""

import pytest

from pytest_instructlab_eval import Judge, Model, Recorder
from pytest_instructlab_eval.suites import mt_bench_branch
from pytest_instructlab_eval.suites.mt_bench_branch import BranchQuestion


@pytest.mark.eval("mt_bench_branch", max_score=10)
async def test_mt_bench_branch(
    mt_bench_branch_question: BranchQuestion, served_model: Model, judge: Judge, record_score: Recorder
) -> None:
    """The judge's rating of the model's answer to one question, against the taxonomy's answer."""
    answer = await mt_bench_branch.answer_mt_bench_branch(mt_bench_branch_question, served_model)
    record_score(await mt_bench_branch.grade_mt_bench_branch(mt_bench_branch_question, answer, judge))
