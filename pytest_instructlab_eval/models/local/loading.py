"""Loads a model onto its device by transformers, running no code that comes with it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import torch
import transformers
from transformers.utils import find_adapter_config_file, logging

from pytest_instructlab_eval.errors import ConfigurationError, EvalError
from pytest_instructlab_eval.models.local.jobs import short_error
from pytest_instructlab_eval.models.local.limits import context_of, ends_of, token_bytes_of
from pytest_instructlab_eval.models.local.load_errors import load_error_text
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel
from pytest_instructlab_eval.models.local.model_spec import ModelSpec


def load_model(spec: ModelSpec, source: str) -> LoadedModel:
    """Return the model of that folder or hub name on its device; raises ConfigurationError."""
    try:
        with quiet_transformers():
            device = _device(spec.device, spec.worker)
            if device.type == "cpu":  # only Linux says which cores this process may use
                cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
                torch.set_num_threads(max(1, cores // spec.workers))
            return _from_pretrained(source, device, spec)
    except EvalError:
        raise
    except Exception as error:
        raise ConfigurationError(load_error_text(spec.name, source, error)) from None


def _from_pretrained(source: str, device: torch.device, spec: ModelSpec) -> LoadedModel:
    if find_adapter_config_file(source) is not None:  # one can name another model, and a module to import
        raise ConfigurationError(
            f"{source} has an adapter (adapter_config.json), which is not loaded; merge it into the model's "
            "weights, or remove the file to evaluate the model without it"
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    configuration = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    _forget_kernels(configuration)
    network, info = transformers.AutoModelForCausalLM.from_pretrained(
        source,
        config=configuration,
        dtype=spec.dtype or ("float32" if device.type == "cpu" else "auto"),
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(info["missing_keys"])
    if missing:  # transformers would go on with random ones
        raise ConfigurationError(
            f"the weights of {source} are incomplete: {len(missing)} are missing, such as {missing[0]}; "
            "copy the checkpoint again"
        )
    ends = ends_of(network, tokenizer)
    # How the checkpoint would like to be sampled is left out: the request says.
    network.generation_config = transformers.GenerationConfig(
        do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=min(ends, default=0)
    )
    config = network.config.get_text_config()
    return LoadedModel(
        name=spec.name,
        network=network.to(device).eval(),
        tokenizer=tokenizer,
        device=device,
        context=context_of(config, tokenizer),
        ends=ends,
        token_bytes=token_bytes_of(config, network.dtype.itemsize),
        batch_size=spec.batch_size,
    )


def _forget_kernels(value: object) -> None:
    """Remove a model's own choice of attention code, which could be code on the hub."""
    if isinstance(value, transformers.PretrainedConfig):
        value._attn_implementation = None
        value._experts_implementation = None
        value = vars(value)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _forget_kernels(part)


def _device(name: str | None, worker: int) -> torch.device:
    if name is None:
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(f"cuda:{worker % torch.cuda.device_count()}" if kind == "cuda" else kind)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:
        raise ConfigurationError(
            f"the device {name!r} cannot be used ({short_error(error)}); name cpu, cuda, cuda:N or mps"
        ) from None
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", worker % torch.cuda.device_count())
    return device


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and advice on the terminal that the tests report to."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # an error shows what a stranger wrote; exceptions say it too
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
