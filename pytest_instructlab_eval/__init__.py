"""Evaluate language models as pytest runs: the names a benchmark's author needs."""

from pytest_instructlab_eval.errors import ConfigurationError, DataError, EvalError, ModelError
from pytest_instructlab_eval.scores import Result, Sample, Score

__all__ = ["ConfigurationError", "DataError", "EvalError", "ModelError", "Result", "Sample", "Score"]
