"""The limits that a checkpoint's configuration states."""

from __future__ import annotations

import transformers

CONTEXT_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")
USUAL_CONTEXT = 2048  # where neither the model nor its tokenizer says, as lm-eval has it
NO_LIMIT = 10**18  # a tokenizer whose limit is above says that it has none


def context_of(config: transformers.PretrainedConfig, tokenizer: transformers.PreTrainedTokenizerBase) -> int:
    """Return the most tokens that the model takes, as lm-eval finds it."""
    for key in CONTEXT_KEYS:
        if getattr(config, key, None) is not None:
            return int(getattr(config, key))
    limit = tokenizer.model_max_length
    return int(limit) if limit < NO_LIMIT else USUAL_CONTEXT


def token_bytes_of(config: transformers.PretrainedConfig, value_bytes: int) -> int:
    """Return what the keys and values of one token take, of which each number takes `value_bytes`."""
    attending = getattr(config, "num_attention_heads", None)
    if not attending:  # a recurrent model keeps none
        return 0
    heads = getattr(config, "num_key_value_heads", None) or attending
    width = getattr(config, "head_dim", None) or config.hidden_size // attending
    return int(2 * config.num_hidden_layers * heads * width * value_bytes)


def ends_of(
    network: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase
) -> frozenset[int]:
    """Return the tokens that end an answer, by the model and by its tokenizer."""
    ends = network.generation_config.eos_token_id
    several = [*ends] if isinstance(ends, (list, tuple)) else [ends]
    return frozenset(int(end) for end in (*several, tokenizer.eos_token_id) if end is not None)
