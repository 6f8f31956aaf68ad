"""The plan of the models that a run serves itself."""

from __future__ import annotations

import importlib.util
import secrets
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pytest_instructlab_eval.data.file_names import safe_name
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.serving.hub import check_source
from pytest_instructlab_eval.serving.owner import Launch
from pytest_instructlab_eval.serving.process import StartedServer
from pytest_instructlab_eval.serving.vllm import VLLM, divide_gpus, model_source, visible_gpus
from pytest_instructlab_eval.settings import Settings

LOCAL = "local:"  # what the URL of a model begins with that every process runs for itself


@dataclass(frozen=True)
class InProcess:
    """A model that the processes of the run load themselves when they ask it."""

    label: str

    def start(self, say: Callable[[str], None], stopped: Callable[[], bool]) -> StartedServer:
        """Return at once: there is no server to start."""
        say(f"{self.label} runs in this process")
        # An address of this start's own: the next model in the rotation closes it.
        return StartedServer(LOCAL + secrets.token_hex(4))


def plan_launches(settings: Settings) -> dict[str, Launch]:
    """Return the models that the run serves, in the order of the rotation: the candidates, then the judges.

    Raises ConfigurationError where there is no way to serve them, or one is no model.
    """
    names = settings.hosted
    if not names:
        return {}
    for name in names:
        model_source(name, _options(settings, name)[0])
    if serving_way(settings) == "local":
        return {name: Launch(InProcess(settings.label(name))) for name in names}
    shares = divide_gpus(visible_gpus(), settings.gpus, settings.judge_gpus)
    places = ("", "" if settings.judge_gpus is None else "judge")
    launches: dict[str, Launch] = {}
    for name in names:
        is_judge = name not in settings.evaluated
        label = settings.label(name)
        vllm = VLLM(
            name=name,
            label=label,
            python=settings.vllm_python or sys.executable,
            log=settings.output_dir / "serving" / f"{safe_name(label)}.log",
            gpus=shares[is_judge],
            arguments=tuple(shlex.split(settings.vllm_args or "")),
            timeout=settings.serve_timeout,
        )
        launches[name] = Launch(vllm, location=places[is_judge], label=label or name)
    return launches


def check_sources(settings: Settings, names: Iterable[str]) -> None:
    """Raise ConfigurationError where this process is to load one of these models and can't have it.

    vLLM says so itself as it starts.
    """
    for name in names if serving_way(settings) == "local" else ():
        check_source(name, *_options(settings, name))


def _options(settings: Settings, name: str) -> tuple[str, str]:
    """Return the option that named a model, and the one for its server."""
    if name in settings.model:
        return "--eval-model", "--eval-base-url"
    if name == settings.base_model:
        return "--eval-base-model", "--eval-base-model-url"
    return "--eval-judge-model", "--eval-judge-base-url"


def serving_way(settings: Settings) -> str:
    """Return how the models are served: "vllm" or "local"."""
    if settings.serve in ("vllm", "local"):
        return settings.serve
    if settings.serve == "auto":
        if settings.vllm_python is not None or importlib.util.find_spec("vllm") is not None:
            return "vllm"
        if all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers")):
            return "local"
    raise ConfigurationError(
        "no server has the model: give the URL of a server with --eval-base-url, such as "
        "http://127.0.0.1:8000/v1; or let this run start vLLM (pip install vllm, or name a Python that has "
        "it with --eval-vllm-python); or run the model in this process (pip install "
        "'pytest-instructlab-eval[local]')"
    )
