"""Each mistake ends in one sentence and the right exit status, without a traceback and without a key."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from string import Template

import pytest

from tests.plugin.conftest import Project
from tests.scripted_server import GENERATION

from . import (
    baselines,
    benchmark_data,
    environment,
    gates,
    judges,
    models,
    numbers,
    own_benchmarks,
    pytest_itself,
    scripts,
    servers,
    serving,
    taxonomies,
)
from .mistake import SECRET, Mistake, errors, shortened, told

KINDS = (models, servers, judges, numbers, benchmark_data, taxonomies, gates, baselines, serving, own_benchmarks,
         pytest_itself, scripts, environment)  # fmt: skip
LONGEST = 400  # characters of a sentence that people still read
WIDTH = 80


def parameters() -> list[object]:
    return [
        pytest.param(mistake, id=f"{kind.__name__.rpartition('.')[2]}: {mistake.name}")
        for kind in KINDS
        for mistake in kind.MISTAKES
    ]


def names(project: Project, url: str) -> dict[str, str]:
    """Return what the commands of the table abbreviate."""
    model = f"--eval-model=tiny --eval-base-url={url}"
    mmlu = f"--eval-benchmark=mmlu --eval-mmlu-data={project.mmlu}"
    mt_bench = f"--eval-mt-bench-data={project.mt_bench}"
    return {
        "URL": url,
        "TINY": project.server.url,
        "MT_BENCH_DATA": str(project.mt_bench),
        "HOST": url.removesuffix("/v1").partition("//")[2],
        "MODEL": model,
        "MMLU_DATA": str(project.mmlu),
        "ON_MMLU": mmlu,
        "MMLU": f"{model} {mmlu}",
        "ANSWERS": f"{model} --eval-benchmark=mt_bench {mt_bench}",
        "MT_BENCH": f"{model} --eval-benchmark=mt_bench {mt_bench} --eval-judge-model=tiny --eval-first-n=1",
        "BRANCH": f"{model} --eval-benchmark=mt_bench_branch {mt_bench} --eval-judge-model=tiny",
        "TASKS": f"{model} --eval-benchmark=mmlu_branch",
        "SCRIPT": "python -m pytest_instructlab_eval",
        "SECRET": SECRET,
    }


def run(project: Project, command: str, env: dict[str, str]) -> tuple[int, str]:
    """Return the exit status of a command and all that it shows."""
    program, *arguments = shlex.split(command)
    if program == "pytest":
        ended = project.start(*arguments, env=env).finish()
        return ended.ret, ended.out + ended.err
    assert [program, *arguments[:2]] == ["python", "-m", "pytest_instructlab_eval"]
    finished = project.script(*arguments[2:], env=env)
    return finished.returncode, finished.stdout + finished.stderr


@pytest.mark.parametrize("mistake", parameters())
def test_mistake(mistake: Mistake, project: Project, record_property: Callable[[str, object], None]) -> None:
    record_property("mistake", mistake.meant)
    for name, text in mistake.files.items():
        project.write(name, text)
    if mistake.given is not None:
        mistake.given(project)
    asked = len(project.server.requests)
    with mistake.server() if mistake.server is not None else nullcontext(project.server.url) as url:
        known = names(project, url)
        env = {"COLUMNS": str(WIDTH), "THE_KEY": SECRET, **mistake.env}
        status, shown = run(project, Template(mistake.command).substitute(known), env)
    places = {str(project.folder): ".", str(project.mmlu): "mmlu", str(project.mt_bench): "mt_bench"}
    shown = shortened(shown, places)
    print(shown)
    found = told(mistake.gets, mistake.status, shown)
    record_property("status", status)
    record_property("gets", (found or errors(shown) or shown.splitlines() or ["nothing"])[-1].strip())

    assert "Traceback (most recent call last)" not in shown
    assert "INTERNALERROR" not in shown
    assert SECRET not in shown
    assert status == mistake.status
    assert found, f"nothing that is shown fits {mistake.gets!r}"
    assert len(errors(shown)) <= 1
    assert not (mistake.never and re.search(mistake.never, shown))
    assert len(found[0]) <= LONGEST
    start = re.search(mistake.gets, found[0])
    assert start is not None
    assert start.start() < WIDTH
    if not mistake.asks:
        assert not [request.path for request in project.server.requests[asked:] if request.path in GENERATION]
