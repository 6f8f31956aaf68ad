"""MMLU: one test for each task."""

import pytest

from pytest_instructlab_eval.models import Model
from pytest_instructlab_eval.records.recording import Recorder
from pytest_instructlab_eval.suites import mmlu
from pytest_instructlab_eval.suites.mmlu import MMLUTask


@pytest.mark.eval("mmlu")
async def test_mmlu(mmlu_task: MMLUTask, served_model: Model, record_score: Recorder) -> None:
    """The accuracy of the model on one task."""
    record_score(await mmlu.score(mmlu_task, served_model))
