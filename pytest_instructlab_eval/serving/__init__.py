"""Servers that a run starts itself: started, swapped where they share GPUs, and stopped with the run."""

from pytest_instructlab_eval.serving.owner import Launch, Launcher, Owner
from pytest_instructlab_eval.serving.plan import LOCAL, check_sources, plan_launches
from pytest_instructlab_eval.serving.process import ServerProcess, StartedServer
from pytest_instructlab_eval.serving.rotated_model import RotatedModel
from pytest_instructlab_eval.serving.rotation import Rotation
from pytest_instructlab_eval.serving.vllm import VLLM, divide_gpus, has_vllm, model_source, visible_gpus

__all__ = [
    "LOCAL",
    "VLLM",
    "Launch",
    "Launcher",
    "Owner",
    "RotatedModel",
    "Rotation",
    "ServerProcess",
    "StartedServer",
    "check_sources",
    "divide_gpus",
    "has_vllm",
    "model_source",
    "plan_launches",
    "visible_gpus",
]
