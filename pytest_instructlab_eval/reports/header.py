"""What a run says of itself before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_instructlab_eval.options import REFERENCE_JUDGE, Settings, asks_for_benchmarks

if TYPE_CHECKING:
    import pytest

__all__ = ["header"]


def header(settings: Settings, config: pytest.Config) -> list[str]:
    """The model and judge, and where the benchmarks are run, which are left out and why."""
    candidates = [label for label in settings.labels if label != settings.base_label]
    lines = [f"instructlab-eval: {', '.join(candidates)}{_place(settings.base_url)}"]
    if settings.base_model is not None:
        lines.append(f"compared with: {settings.base_label}{_place(settings.urls(settings.base_model))}")
    if settings.judge_model == REFERENCE_JUDGE:
        lines.append("judge: the likeness to the reference answer (chrF), no language model")
    elif settings.judge_model is not None:
        lines.append(f"judge: {settings.label(settings.judge_model)}{_place(settings.judge_url)}")
    if settings.shard is not None:
        lines.append(
            "shard: {} of {}; join them with python -m pytest_instructlab_eval merge".format(*settings.shard)
        )
    if asks_for_benchmarks(config):
        lines.append(f"benchmarks: {', '.join(settings.selected()) or 'none'}")
        lines += [f"left out: {name} ({reason})" for name, reason in settings.left_out().items()]
    elif config.args_source is not config.ArgsSource.ARGS:
        lines.append("benchmarks: the folder's own (--eval-benchmark NAME runs a built-in one)")
    return lines


def _place(urls: Sequence[str]) -> str:
    return f" at {', '.join(urls)}" if urls else ", served by this run"
