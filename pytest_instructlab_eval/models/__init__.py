"""How a model is reached: a Protocol, and an implementation a file."""

from pytest_instructlab_eval.models.blocking import Blocking
from pytest_instructlab_eval.models.endpoint import Endpoint
from pytest_instructlab_eval.models.judge import Grader, Judge
from pytest_instructlab_eval.models.panel import Panel
from pytest_instructlab_eval.models.protocol import Completion, Message, Model
from pytest_instructlab_eval.models.reference_judge import ReferenceJudge
from pytest_instructlab_eval.models.served import ServedModel

__all__ = [
    "Blocking",
    "Completion",
    "Endpoint",
    "Grader",
    "Judge",
    "Message",
    "Model",
    "Panel",
    "ReferenceJudge",
    "ServedModel",
]
