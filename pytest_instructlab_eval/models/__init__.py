"""Models and how they are reached: a Protocol, and one implementation per file."""

from pytest_instructlab_eval.models.blocking_model import Blocking, BlockingModel
from pytest_instructlab_eval.models.endpoint import Endpoint
from pytest_instructlab_eval.models.protocol import Completion, Message, Model
from pytest_instructlab_eval.models.served_model import ServedModel

__all__ = ["Blocking", "BlockingModel", "Completion", "Endpoint", "Message", "Model", "ServedModel"]
