"""MMLU: one test a task."""

import pytest

from pytest_instructlab_eval import mmlu
from pytest_instructlab_eval.mmlu import MMLUTask
from pytest_instructlab_eval.models import Model
from pytest_instructlab_eval.recording import Recorder


@pytest.mark.eval("mmlu")
async def test_mmlu(mmlu_task: MMLUTask, served_model: Model, record_score: Recorder) -> None:
    """The accuracy of the model on one task."""
    record_score(await mmlu.score(mmlu_task, served_model))
