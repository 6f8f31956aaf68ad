"""Servers that a run starts itself: started, swapped where they take turns, and stopped with the run."""

from pytest_instructlab_eval.serving.owner import Launch, Launcher, Owner
from pytest_instructlab_eval.serving.plan import LOCAL, check_sources, plan
from pytest_instructlab_eval.serving.process import ServerProcess, Started
from pytest_instructlab_eval.serving.rotated_model import ModelInTurn
from pytest_instructlab_eval.serving.rotation import Turns
from pytest_instructlab_eval.serving.vllm import VLLM, divide_gpus, has_vllm, model_source, visible_gpus

__all__ = [
    "LOCAL",
    "VLLM",
    "Launch",
    "Launcher",
    "ModelInTurn",
    "Owner",
    "ServerProcess",
    "Started",
    "Turns",
    "check_sources",
    "divide_gpus",
    "has_vllm",
    "model_source",
    "plan",
    "visible_gpus",
]
