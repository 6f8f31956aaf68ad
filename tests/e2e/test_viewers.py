"""inspect-ai and every-eval-ever read a run of every built-in benchmark from our exports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.branch_tasks import write_task
from tests.examples_data import write_mmlu, write_mt_bench
from tests.scripted_server import ScriptedServer

from .viewers import EVERY_EVAL_EVER, INSPECT
from .vllm_environment import environment

READ = """
import json, sys
from inspect_ai.analysis import samples_df
from inspect_ai.log import list_eval_logs, read_eval_log

folder = sys.argv[1]
logs = [read_eval_log(entry) for entry in list_eval_logs(folder)]
frame = samples_df(folder)
print(json.dumps({
    "logs": {log.eval.task: [log.status, len(log.samples), log.eval.tags] for log in logs},
    "rows": len(frame),
    "scores": {name: int(frame[name].notna().sum()) for name in frame if name.startswith("score_")},
    "tokens": int(frame["total_tokens"].sum()),
}))
"""
QNA = """version: 2
created_by: tester
task_description: knots
seed_examples:
  - question: How is a bowline tied?
    answer: With a loop, and the end around the standing part.
"""
BENCHMARKS = ("mmlu", "mmlu_branch", "mt_bench", "mt_bench_branch")


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exports of a run of the built-in benchmarks, with a panel and repeated answers."""
    folder = tmp_path_factory.mktemp("viewers")
    write_mmlu(folder / "mmlu", rows=1)
    (folder / "mt_bench").mkdir()
    write_mt_bench(folder / "mt_bench")
    (folder / "tasks").mkdir()
    write_task(folder / "tasks", "lamps")
    qna = folder / "taxonomy/compositional_skills/knots/qna.yaml"
    qna.parent.mkdir(parents=True)
    qna.write_text(QNA, "utf-8")
    with ScriptedServer(models=("tiny", "org/judge", "org/other")) as server:
        command = [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--eval-model=tiny",
            f"--eval-base-url={server.url}", "--eval-judge-model=org/judge", "--eval-judge-model=org/other",
            "--eval-no-judge-trial", "--eval-repeat=2", "--eval-mmlu-data=mmlu", "--eval-tasks-dir=tasks",
            "--eval-mt-bench-data=mt_bench", "--eval-taxonomy=taxonomy",
            *(f"--eval-benchmark={name}" for name in BENCHMARKS),
            "--eval-export=inspect", "--eval-export=eee", "--eval-gate=mmlu >= 0.01",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "eval_output/export"


def test_inspect_reads_every_log(exports: Path) -> None:
    program = [str(INSPECT.python()), "-c", READ, str(exports / "inspect")]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name.replace("-", "_") for name in found["logs"]} == set(BENCHMARKS)
    assert {status for status, _, _ in found["logs"].values()} == {"success"}
    assert found["rows"] == sum(count for _, count, _ in found["logs"].values())
    assert found["scores"]["score_acc"] == 57 + 8
    assert found["scores"]["score_turn_1"] == found["scores"]["score_turn_2"] > 8
    assert found["tokens"] > 0
    assert "passed: mmlu >= 0.01" in found["logs"]["mmlu"][2]


def test_inspect_dumps_a_log_and_bundles_its_viewer(exports: Path, tmp_path: Path) -> None:
    program = str(INSPECT.python().with_name("inspect"))
    for log in sorted((exports / "inspect").iterdir()):
        dumped = subprocess.run(
            [program, "log", "dump", str(log)], capture_output=True, text=True, check=False, env=environment()
        )
        assert dumped.returncode == 0, dumped.stderr
        assert json.loads(dumped.stdout)["samples"]
    bundle = [program, "view", "bundle", "--log-dir", str(exports / "inspect"), "--output-dir", "page"]
    done = subprocess.run(
        bundle, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page/index.html").exists()


def test_every_eval_ever_finds_no_error_and_no_warning(exports: Path) -> None:
    program = str(EVERY_EVAL_EVER.python().with_name("every_eval_ever"))
    files = [os.fspath(path.relative_to(exports / "eee")) for path in (exports / "eee").rglob("*.json*")]
    assert len(files) == 2 * len(BENCHMARKS)
    done = subprocess.run(
        [program, "validate", "--format", "json", *files],
        cwd=exports / "eee", capture_output=True, text=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)
    assert len(reports) == len(files)
    assert all(report["valid"] and not report["errors"] and not report["warnings"] for report in reports)
