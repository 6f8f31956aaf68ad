"""Evaluate language models as pytest runs: the names that a benchmark's author needs.

`__all__` is the public API, and each name in it is imported from here. Everything else in this package, its
modules and what they hold, is private and changes without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import ConfigurationError, DataError, EvalError, ModelError

if TYPE_CHECKING:
    from pytest_instructlab_eval.judges import (
        ONE_TO_FIVE,
        ONE_TO_TEN,
        PASS_OR_FAIL,
        ZERO_TO_ONE,
        BlockingJudge,
        Judge,
        JudgePrompt,
        Scale,
        Submission,
    )
    from pytest_instructlab_eval.models import BlockingModel, Completion, Message, Model
    from pytest_instructlab_eval.records.recorder import Recorder
    from pytest_instructlab_eval.records.samples import Sample
    from pytest_instructlab_eval.records.scores import Result, Score
    from pytest_instructlab_eval.settings import Settings
    from pytest_instructlab_eval.suites.benchmark import Benchmark, Need, Question
    from pytest_instructlab_eval.suites.option import Option

__all__ = [
    "ONE_TO_FIVE",
    "ONE_TO_TEN",
    "PASS_OR_FAIL",
    "ZERO_TO_ONE",
    "Benchmark",
    "BlockingJudge",
    "BlockingModel",
    "Completion",
    "ConfigurationError",
    "DataError",
    "EvalError",
    "Judge",
    "JudgePrompt",
    "Message",
    "Model",
    "ModelError",
    "Need",
    "Option",
    "Question",
    "Recorder",
    "Result",
    "Sample",
    "Scale",
    "Score",
    "Settings",
    "Submission",
]

# Imported when they are asked for: every pytest run loads this module, and most evaluate nothing.
_LATER = {
    "Benchmark": "suites.benchmark",
    "Need": "suites.benchmark",
    "Option": "suites.option",
    "Result": "records.scores",
    "Sample": "records.samples",
    "Score": "records.scores",
    "Question": "suites.benchmark",
    "Settings": "settings",
    "BlockingModel": "models",
    "Completion": "models",
    **dict.fromkeys(("BlockingJudge", "Judge", "JudgePrompt", "Scale", "Submission"), "judges"),
    **dict.fromkeys(("ONE_TO_FIVE", "ONE_TO_TEN", "PASS_OR_FAIL", "ZERO_TO_ONE"), "judges"),
    "Message": "models",
    "Model": "models",
    "Recorder": "records.recorder",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
