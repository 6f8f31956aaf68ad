"""What a run says of itself before it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_instructlab_eval.reports.notes import note_line
from pytest_instructlab_eval.session.configuration import asks_for_benchmarks
from pytest_instructlab_eval.settings import REFERENCE_JUDGE, Settings
from pytest_instructlab_eval.suites.registry import all_benchmarks
from pytest_instructlab_eval.suites.selection import left_out_benchmarks, selected_benchmarks

if TYPE_CHECKING:
    import pytest


def header_lines(
    settings: Settings, config: pytest.Config, unasked: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the model, what it is compared with, the judges, the benchmarks, and what is left out and why.

    `unasked` says, by benchmark, what the run does not ask of its data.
    """
    lines = [f"instructlab-eval: {', '.join(settings.candidates)}{_server_text(settings.base_url)}"]
    if settings.base_model is not None:
        lines.append(
            f"compared with: {settings.base_label}{_server_text(settings.urls(settings.base_model))}"
        )
    for label, name in settings.judges.items():
        if name == REFERENCE_JUDGE:
            lines.append("judge: the likeness to the reference answer (chrF), no language model")
        else:
            lines.append(f"judge: {label}{_server_text(settings.judge_urls(name))}")
    lines += [
        f"warning: {label} judges its own answers, and models favour their own; name another "
        "with --eval-judge-model"
        for label in settings.self_judged
    ]
    if settings.shard is not None:
        lines.append(
            "shard: {} of {}; join them with python -m pytest_instructlab_eval merge".format(*settings.shard)
        )
    if asks_for_benchmarks(config):
        lines += _benchmarks(settings)
        lines += [note_line(note) for notes in unasked.values() for note in notes]
    elif config.args_source is not config.ArgsSource.ARGS:
        lines.append("benchmarks: the folder's own (--eval-benchmark NAME runs a built-in one)")
    return lines


def _benchmarks(settings: Settings) -> Iterator[str]:
    """Yield what is run, and what is left out that the user may expect: by its own options, or by default."""
    reasons = left_out_benchmarks(settings)
    yield f"benchmarks: {', '.join(selected_benchmarks(settings)) or 'none'}"
    by_default = not settings.benchmark and settings.stage != "judge"
    for found in all_benchmarks():
        meant = (found.by_default and by_default) or any(map(settings.value, found.own_settings))
        if found.name in reasons and meant:
            yield f"left out: {found.name} ({reasons[found.name]})"


def _server_text(urls: Sequence[str]) -> str:
    return f" at {', '.join(urls)}" if urls else ", served by this run"
