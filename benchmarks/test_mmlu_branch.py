"""MMLU-Branch: one test for each task."""

import pytest

from pytest_instructlab_eval import Model, Recorder
from pytest_instructlab_eval.suites import mmlu_branch
from pytest_instructlab_eval.suites.mmlu_branch import MMLUBranchTask


@pytest.mark.eval("mmlu_branch")
async def test_mmlu_branch(
    mmlu_branch_task: MMLUBranchTask, served_model: Model, record_score: Recorder
) -> None:
    """The accuracy of the model on one task."""
    record_score(await mmlu_branch.score_mmlu_branch(mmlu_branch_task, served_model))
