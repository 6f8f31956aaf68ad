"""What a run says of itself before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_instructlab_eval.options import REFERENCE_JUDGE, Settings

if TYPE_CHECKING:
    import pytest

__all__ = ["header"]


def header(settings: Settings, config: pytest.Config) -> list[str]:
    """The model, the judges, a warning where one is the model, the benchmarks, and what is left out."""
    lines = [f"instructlab-eval: {', '.join(settings.labels)}{_place(settings.base_url)}"]
    for label, name in settings.judges.items():
        if name == REFERENCE_JUDGE:
            lines.append("judge: the likeness to the reference answer (chrF), no language model")
        else:
            lines.append(f"judge: {label}{_place(settings.judge_urls(name))}")
    lines += [
        f"warning: {label} judges its own answers, and models favour their own; name another "
        "with --eval-judge-model"
        for label in settings.self_judged
    ]
    if config.args_source is not config.ArgsSource.ARGS:
        lines.append(f"benchmarks: {', '.join(settings.selected()) or 'none'}")
        lines += [f"left out: {name} ({reason})" for name, reason in settings.left_out().items()]
    return lines


def _place(urls: Sequence[str]) -> str:
    return f" at {', '.join(urls)}" if urls else ", served by this run"
