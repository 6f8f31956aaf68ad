"""Loads a model onto its device by transformers, running no code that comes with it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence, Set

import torch
import transformers
from transformers.utils import find_adapter_config_file, logging

from pytest_instructlab_eval.errors import ConfigurationError, EvalError
from pytest_instructlab_eval.models.local.jobs import short
from pytest_instructlab_eval.models.local.loaded import Loaded
from pytest_instructlab_eval.models.local.wish import Wish

__all__ = ["load", "quiet"]


CONTEXT_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")
USUAL_CONTEXT = 2048  # where neither the model nor its tokenizer says, as lm-eval has it
NO_LIMIT = 10**18  # a tokenizer whose limit is above says that it has none
CAUSES: tuple[tuple[Set[str], Sequence[str], str], ...] = (
    (
        {"GatedRepoError", "RepositoryNotFoundError"},
        (),
        "the hub has no model {source}, or not for you; check the name, or log in with `hf auth login`",
    ),
    (
        {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"},
        (),
        "{source} is neither a folder here nor in the hub's cache, and the hub can't be reached; give a "
        "model's folder",
    ),
    (
        {"UnpicklingError"},
        ("torch.load",),
        "the weights of {source} are a pickle that could run code, so they are not loaded; convert them to "
        "safetensors",
    ),
    (
        set(),
        ("trust_remote_code",),
        "{source} brings code of its own, which is not run; evaluate it at a server of yours, and give the "
        "URL with --eval-base-url",
    ),
)
"""The names of an error's types, or words that it has, and what it means; the first that fits is told."""


def load(wish: Wish, source: str) -> Loaded:
    """The model of that folder or hub name on its device; raises ConfigurationError."""
    try:
        with quiet():
            device = _device(wish.device, wish.worker)
            if device.type == "cpu":
                torch.set_num_threads(max(1, _cores() // wish.workers))
            return _from_pretrained(source, device, wish)
    except EvalError:
        raise
    except Exception as error:
        raise ConfigurationError(_explained(wish.name, source, error)) from None


def _from_pretrained(source: str, device: torch.device, wish: Wish) -> Loaded:
    if find_adapter_config_file(source) is not None:  # one can name another model, and a module to import
        raise ConfigurationError(
            f"{source} has an adapter (adapter_config.json), which is not loaded; merge it into the model's "
            "weights, or remove the file to evaluate the model without it"
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    configuration = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    _forget_kernels(configuration)
    network, found = transformers.AutoModelForCausalLM.from_pretrained(
        source,
        config=configuration,
        dtype=wish.dtype or ("float32" if device.type == "cpu" else "auto"),
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(found["missing_keys"])
    if missing:  # transformers would go on with random ones
        raise ConfigurationError(
            f"the weights of {source} are incomplete: {len(missing)} are missing, such as {missing[0]}; get "
            "the checkpoint anew"
        )
    ends = _ends(network, tokenizer)
    # How the checkpoint would like to be sampled is left out: the request says.
    network.generation_config = transformers.GenerationConfig(
        do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=min(ends, default=0)
    )
    config = network.config.get_text_config()
    return Loaded(
        name=wish.name,
        network=network.to(device).eval(),
        tokenizer=tokenizer,
        device=device,
        context=_context(config, tokenizer),
        ends=ends,
        token_bytes=_token_bytes(config, network.dtype.itemsize),
        batch_size=wish.batch_size,
    )


def _forget_kernels(value: object) -> None:
    """Have transformers choose how a model attends: its configuration could name code on the hub for it."""
    if isinstance(value, transformers.PretrainedConfig):
        value._attn_implementation = None
        value._experts_implementation = None
        value = vars(value)
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _forget_kernels(part)


def _device(asked: str | None, worker: int) -> torch.device:
    if asked is None:
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(f"cuda:{worker % torch.cuda.device_count()}" if kind == "cuda" else kind)
    try:
        device = torch.device(asked)
        torch.empty(1, device=device)
    except Exception as error:
        raise ConfigurationError(
            f"the device {asked!r} can't be used ({short(error)}); name cpu, cuda, cuda:N or mps"
        ) from None
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", worker % torch.cuda.device_count())
    return device


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and advice on the terminal that the tests report to."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)  # an error shows what a stranger wrote; exceptions say it too
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _explained(name: str, source: str, error: Exception) -> str:
    """Return why a model couldn't be loaded, in one sentence."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    found, said = {type(cause).__name__ for cause in causes}, "\n".join(map(str, causes))
    for kinds, words, sentence in CAUSES:
        if kinds & found or any(word in said for word in words):
            return sentence.format(source=source)
    return f"{name} can't be loaded by transformers ({short(error)})"


def _cores() -> int:
    """Return how many cores this process may use; where only Linux says so, how many there are."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _context(config: transformers.PretrainedConfig, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    """The most tokens that the model takes, as lm-eval finds it."""
    for key in CONTEXT_KEYS:
        if getattr(config, key, None) is not None:
            return int(getattr(config, key))
    limit = tokenizer.model_max_length
    return int(limit) if limit < NO_LIMIT else USUAL_CONTEXT


def _token_bytes(config: transformers.PretrainedConfig, value_bytes: int) -> int:
    attending = getattr(config, "num_attention_heads", None)
    if not attending:  # a recurrent model keeps none
        return 0
    heads = getattr(config, "num_key_value_heads", None) or attending
    width = getattr(config, "head_dim", None) or config.hidden_size // attending
    return int(2 * config.num_hidden_layers * heads * width * value_bytes)


def _ends(
    network: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase
) -> frozenset[int]:
    """The tokens that end an answer, by the model and by its tokenizer."""
    ends = network.generation_config.eos_token_id
    several = [*ends] if isinstance(ends, (list, tuple)) else [ends]
    return frozenset(int(end) for end in (*several, tokenizer.eos_token_id) if end is not None)
