"""The amount of work that fits the device at once, by its free memory and by earlier failures."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.local.jobs import LocalJob
from pytest_instructlab_eval.models.local.loaded_model import LoadedModel

PART_OF_MEMORY = 0.7  # of what is free on a GPU; the rest is for what isn't counted
NO_LIMIT = 10**6

J = TypeVar("J", bound="LocalJob[object]")
T = TypeVar("T")


class BatchFit:
    """Runs batches, in halves where the device has no memory for the whole, and learns from it."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._most = loaded.batch_size or NO_LIMIT

    def rows(self, tokens: int, computed: int) -> int:
        """Return how many rows of so many tokens, of which so many are computed, are to be run at once."""
        device = self._loaded.device
        if device.type != "cuda":
            return max(1, self._most)
        free, _ = torch.cuda.mem_get_info(device)
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        logits = computed * self._loaded.vocabulary * 8  # and once more as float32
        fitting = int((free + reusable) * PART_OF_MEMORY) // (tokens * self._loaded.token_bytes + logits)
        return max(1, min(self._most, fitting))

    def run(self, work: Callable[[Sequence[J]], list[T]], jobs: Sequence[J]) -> list[T]:
        """Return what `work` gives for the jobs; raises ModelError where one alone doesn't fit."""
        with contextlib.suppress(torch.OutOfMemoryError):
            return work(jobs)
        free_memory()
        if len(jobs) == 1:
            raise ModelError(
                f"{self._loaded.device} has too little memory for a prompt of this length; run on another "
                "device, or serve the model"
            )
        half = len(jobs) // 2
        self._most = min(self._most, half)
        return [*self.run(work, jobs[:half]), *self.run(work, jobs[half:])]


def free_memory() -> None:
    """Free the device's memory that nothing uses any more."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
