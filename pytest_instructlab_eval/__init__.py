"""Evaluate language models as pytest runs: the names a benchmark's author needs."""

from importlib import import_module
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import ConfigurationError, DataError, EvalError, ModelError
from pytest_instructlab_eval.records.scores import Result, Sample, Score

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges import Judge
    from pytest_instructlab_eval.models import Completion, Message, Model
    from pytest_instructlab_eval.records.recording import Recorder

__all__ = [
    "Completion",
    "ConfigurationError",
    "DataError",
    "EvalError",
    "Judge",
    "Message",
    "Model",
    "ModelError",
    "Recorder",
    "Result",
    "Sample",
    "Score",
]

# Imported when they are asked for: every pytest run loads this module, and most evaluate nothing.
_LATER = {
    "Completion": "models",
    "Judge": "judges",
    "Message": "models",
    "Model": "models",
    "Recorder": "records.recording",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
