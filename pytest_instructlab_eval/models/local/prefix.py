"""The few-shot part of a task's questions, computed once."""

from __future__ import annotations

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from pytest_instructlab_eval.models.local.grouping import shared_length
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel


class Prefix:
    """The keys and values of the tokens that a group's questions begin with, kept for the next group."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._tokens: list[int] = []
        self._cache = DynamicCache()

    def become(self, tokens: list[int]) -> None:
        """Hold exactly these tokens; compute those that are not there yet."""
        shared = shared_length(self._tokens, tokens)
        for layer in self._cache.layers:  # one that an error has left behind may have more
            layer.keys, layer.values = layer.keys[..., :shared, :], layer.values[..., :shared, :]
        self._tokens = tokens[:shared]
        if tokens[shared:]:
            ids = torch.tensor([tokens[shared:]], device=self._loaded.device)
            self._loaded.logits(ids, [0], self._cache)
            self._tokens = tokens

    def shared(self) -> Cache:
        """Return a cache for one forward pass in which every row begins with the prefix."""
        return Cache(layers=[SharedLayer(layer) for layer in self._cache.layers])


class SharedLayer(DynamicLayer):  # type: ignore[misc]
    """The prefix of every row; the additions of the rows are read once and not kept."""

    def __init__(self, prefix: DynamicLayer) -> None:
        super().__init__()
        self.lazy_initialization(prefix.keys, prefix.values)
        self.keys, self.values = prefix.keys, prefix.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values of the prefix and of the rows; they are not kept."""
        rows = key_states.shape[0]
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )
