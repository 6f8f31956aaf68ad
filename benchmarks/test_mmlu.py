"""MMLU: one test for each task."""

import pytest

from pytest_instructlab_eval import Model, Recorder
from pytest_instructlab_eval.suites import mmlu
from pytest_instructlab_eval.suites.mmlu import MMLUTask


@pytest.mark.eval("mmlu")
async def test_mmlu(mmlu_task: MMLUTask, served_model: Model, record_score: Recorder) -> None:
    """The accuracy of the model on one task."""
    record_score(await mmlu.score_mmlu(mmlu_task, served_model))
