"""A model on its device, and its properties."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Sequence

import torch
import transformers
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A causal language model on its device, and its properties.

    `context` is the most tokens of a prompt and its answer, `ends` the tokens that end an answer,
    `token_bytes` what the keys and values of one token take.
    """

    name: str
    network: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase
    device: torch.device
    context: int
    ends: frozenset[int]
    token_bytes: int
    batch_size: int | None

    @functools.cached_property
    def vocabulary(self) -> int:
        """Return the number of logits of each token."""
        return int(self.network.config.get_text_config().vocab_size)

    @functools.cached_property
    def shares(self) -> bool:
        """Return whether the keys and values of a prefix can be shared; a recurrent state cannot."""
        return self._cache_layers() <= {DynamicLayer, DynamicSlidingWindowLayer}

    @functools.cached_property
    def packs(self) -> bool:
        """Return whether several choices can share a row, by our own mask and positions."""
        return (
            self._cache_layers() == {DynamicLayer}
            and "position_ids" in self._parameters
            and self.network.config._attn_implementation in ("sdpa", "eager")
        )

    def logits(
        self,
        ids: torch.Tensor,
        columns: Sequence[int],
        cache: transformers.Cache | None = None,
        **surroundings: object,
    ) -> torch.Tensor:
        """Return the logits that follow these columns of the tokens, of shape (rows, columns, vocabulary).

        `cache` has the keys and values of what precedes every row, and takes in those of the rows.
        """
        surroundings["use_cache"] = cache is not None
        if cache is not None:  # newer releases of transformers rename it, model by model, and warn
            surroundings["cache" if "cache" in self._parameters else "past_key_values"] = cache
        if "logits_to_keep" in self._parameters:
            surroundings["logits_to_keep"] = torch.tensor(columns, device=self.device)
            return self.network(input_ids=ids, **surroundings).logits
        return self.network(input_ids=ids, **surroundings).logits[:, columns]

    @functools.cached_property
    def _parameters(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.network.forward).parameters)

    def _cache_layers(self) -> set[type]:
        """Return the kinds of layers that a cache of the model has."""
        return {type(layer) for layer in DynamicCache(config=self.network.config).layers}
