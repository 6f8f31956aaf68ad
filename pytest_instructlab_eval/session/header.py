"""The header of a run: its models, judges and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from pytest_instructlab_eval.reports.notes import note_line
from pytest_instructlab_eval.session.configuration import asks_for_benchmarks
from pytest_instructlab_eval.settings import REFERENCE_JUDGE, Settings
from pytest_instructlab_eval.suites.registry import all_benchmarks
from pytest_instructlab_eval.suites.repeat_notes import repeat_plan
from pytest_instructlab_eval.suites.selection import left_out_benchmarks, selected_benchmarks

if TYPE_CHECKING:
    import pytest


def header_lines(
    settings: Settings, config: pytest.Config, unasked: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the lines about models, judges and benchmarks, and about what is left out and why.

    `unasked` has, by benchmark, the notes on data that the run does not use.
    """
    lines = [f"instructlab-eval: {', '.join(settings.candidates)}{_server_text(settings.base_url)}"]
    if settings.base_model is not None:
        lines.append(
            f"compared with: {settings.base_label}{_server_text(settings.urls(settings.base_model))}"
        )
    for label, name in settings.judges.items():
        if name == REFERENCE_JUDGE:
            lines.append("judge: similarity to the reference answer (chrF); no language model")
        else:
            lines.append(f"judge: {label}{_server_text(settings.judge_urls(name))}")
    lines += [
        f"warning: {label} judges its own answers, and models favour their own answers; name another judge "
        "with --eval-judge-model"
        for label in settings.self_judged
    ]
    if (plan := repeat_plan(settings)) is not None:
        lines.append(plan)
    if settings.shard is not None:
        part, parts = settings.shard
        join = "join all shards with python -m pytest_instructlab_eval merge"
        lines.append(f"shard: {part} of {parts}; {join}")
    if asks_for_benchmarks(config):
        lines += _benchmarks(settings)
        lines += map(note_line, chain.from_iterable(unasked.values()))
    elif config.args_source is not config.ArgsSource.ARGS:
        lines.append("benchmarks: those of this folder (--eval-benchmark NAME runs a built-in one)")
    return lines


def _benchmarks(settings: Settings) -> Iterator[str]:
    """Yield the benchmarks that are run, and those that the user may expect but that are left out."""
    reasons = left_out_benchmarks(settings)
    yield f"benchmarks: {', '.join(selected_benchmarks(settings)) or 'none'}"
    by_default = not settings.benchmark and settings.stage != "judge"
    for benchmark in all_benchmarks():
        expected = (benchmark.by_default and by_default) or any(map(settings.value, benchmark.own_settings))
        if benchmark.name in reasons and expected:
            yield f"left out: {benchmark.name} ({reasons[benchmark.name]})"


def _server_text(urls: Sequence[str]) -> str:
    return f" at {', '.join(urls)}" if urls else ", served by this run"
