"""What a run used: its requests, its tokens and its time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelUsage:
    """The requests to a model or judge, given by its label, and the tokens that it read and wrote.

    The tokens are those that its server tells. A multiple-choice question takes one request for each choice,
    or one for all.
    """

    role: Literal["model", "judge"]
    model: str
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class RunUsage:
    """The usage of each model and judge, and the seconds from the run's start to its end."""

    seconds: float
    models: tuple[ModelUsage, ...] = ()


def total_usage(parts: Iterable[ModelUsage]) -> tuple[ModelUsage, ...]:
    """Return the sums of each model and judge that was asked, over several processes or parts of a run."""
    sums: dict[tuple[str, str], ModelUsage] = {}
    for part in parts:
        before = sums.get((part.role, part.model), ModelUsage(part.role, part.model))
        sums[part.role, part.model] = dataclasses.replace(
            part,
            requests=before.requests + part.requests,
            prompt_tokens=before.prompt_tokens + part.prompt_tokens,
            completion_tokens=before.completion_tokens + part.completion_tokens,
        )
    return tuple(usage for usage in sums.values() if usage.requests)


def merged_usage(parts: Iterable[RunUsage | None]) -> RunUsage | None:
    """Return the usage of a run of these parts, which ran beside each other; None where one is unknown."""
    known = list(parts)
    if not known or None in known:
        return None
    usages = [usage for usage in known if usage is not None]
    models = total_usage(model for usage in usages for model in usage.models)
    return RunUsage(max(usage.seconds for usage in usages), models)
