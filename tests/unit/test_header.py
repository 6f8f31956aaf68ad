"""What a run says of itself before it starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_instructlab_eval.session import header as module
from pytest_instructlab_eval.settings import Settings


def left_out(monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[str]:
    monkeypatch.setattr(module, "asks_for_benchmarks", lambda config: True)
    lines = module.header_lines(
        Settings(model=("tiny",), **options), cast("pytest.Config", SimpleNamespace()), {}
    )
    return [line.removeprefix("left out: ") for line in lines if line.startswith("left out: ")]


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a model alone": ({}, ["mt_bench (it needs --eval-judge-model)"]),
    "a judge too": ({"judge_model": ("judge",)}, []),
    "one benchmark": ({"benchmark": ("mmlu",)}, []),
    "a taxonomy without a judge": (
        {"taxonomy": Path("taxonomy"), "benchmark": ("mmlu",)},
        ["mt_bench_branch (not named by --eval-benchmark)"],
    ),
    "a branch without a taxonomy": (
        {"branch": "pr", "judge_model": ("judge",)},
        ["mt_bench_branch (it needs --eval-taxonomy)"],
    ),
    "tasks beside another benchmark": (
        {"tasks_dir": Path("tasks"), "benchmark": ("mmlu",)},
        ["mmlu_branch (not named by --eval-benchmark)"],
    ),
    "the judging alone": ({"stage": "judge", "judge_model": ("judge",)}, []),
}


@pytest.mark.parametrize(("options", "told"), CASES.values(), ids=list(CASES))
def test_a_benchmark_is_told_as_left_out_only_where_it_may_be_meant(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], told: list[str]
) -> None:
    assert left_out(monkeypatch, **options) == told
