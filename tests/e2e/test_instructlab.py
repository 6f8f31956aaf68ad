"""One folder for two tools: what instructlab-eval wrote is judged here, and what is written here there.

A scripted server stands in for the models: its ratings follow from what it is asked, so that equal scores
mean equal questions, answers, references and judge prompts.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.stats.summary import summarise
from tests.scripted_server import ScriptedServer

from .instructlab_environment import FIRST_N, evaluate

MODEL, JUDGE = "instructlab/granite-7b-lab", "prometheus-eval/prometheus-8x7b-v2.0"
BRANCHES = (None, "main", "somebody/new-skill")  # None: MT-Bench itself
FIRST = (None, 3)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ScriptedServer(models=(MODEL, JUDGE)) as server:
        yield server.url


@pytest.fixture(scope="module")
def taxonomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a branch of one more skill; its first folder is not the first that is found."""
    folder = tmp_path_factory.mktemp("taxonomy")

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "-b", "main")
    for name in ("zither", "anvil", "moss"):
        write_skill(folder, name)
    git("add", ".")
    git("commit", "-m", "main")
    git("checkout", "-b", "somebody/new-skill")
    write_skill(folder, "bell", '    context: "A bell\\Lhung in the\\Ntower."\n')
    git("add", ".")
    git("commit", "-m", "new")
    git("checkout", "main")
    return folder


def write_skill(folder: Path, name: str, context: str = "") -> None:
    pairs = "".join(
        f"  - question: What is {name} {number}?\n    answer: It is {name} {number}.\n{context}"
        for number in (1, 2)
    )
    path = folder / "compositional_skills" / name / "qna.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"version: 2\ncreated_by: tester\ntask_description: {name}\nseed_examples:\n{pairs}", "utf-8"
    )


def ours(
    stage: str, url: str, folder: Path, branch: str | None, first_n: int | None, *more: str
) -> float | None:
    """Run a stage here, the judging without a taxonomy; the overall score where it has one."""
    env = {name: value for name, value in os.environ.items() if name != FIRST_N}
    env |= {FIRST_N: str(first_n)} if first_n is not None else {}
    benchmark = "mt_bench" if branch is None else "mt_bench_branch"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", f"--eval-model={MODEL}",
               f"--eval-base-url={url}", f"--eval-judge-model={JUDGE}", f"--eval-benchmark={benchmark}",
               f"--eval-output-dir={folder}", f"--eval-stage={stage}", "--eval-no-judge-trial"]  # fmt: skip
    command += [*more, *([f"--eval-branch={branch}"] if branch is not None else [])]
    folder.mkdir(exist_ok=True)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (summary,) = summarise(read_run(folder / "results.json").results)
    return summary.overall.value


def lines(folder: Path) -> dict[str, int]:
    """How many records each file of InstructLab's tree has; the journal beside it is ours alone."""
    return {
        str(path.relative_to(folder)): path.read_bytes().count(b"\n")
        for path in folder.rglob("*.jsonl")
        if path.parent.name != "journal"
    }


@pytest.mark.parametrize("first_n", FIRST)
@pytest.mark.parametrize("branch", BRANCHES)
def test_its_answers_get_the_same_score_here(
    url: str, taxonomy: Path, tmp_path: Path, branch: str | None, first_n: int | None
) -> None:
    theirs = evaluate(
        ("answer", "judge"), model=MODEL, judge=JUDGE, url=url, folder=tmp_path, taxonomy=taxonomy,
        branch=branch, first_n=first_n,
    )  # fmt: skip
    before = lines(tmp_path)
    assert f"model_answer/{MODEL}.jsonl" in " ".join(before)
    assert ours("judge", url, tmp_path, branch, first_n) == theirs is not None
    assert lines(tmp_path) == before


@pytest.mark.parametrize("first_n", FIRST)
@pytest.mark.parametrize("branch", BRANCHES)
def test_our_answers_get_the_same_score_there(
    url: str, taxonomy: Path, tmp_path: Path, branch: str | None, first_n: int | None
) -> None:
    ours("answer", url, tmp_path, branch, first_n, *([f"--eval-taxonomy={taxonomy}"] if branch else []))
    score = ours("judge", url, tmp_path, branch, first_n)
    theirs = evaluate(
        ("judge",), model=MODEL, judge=JUDGE, url=url, folder=tmp_path, taxonomy=taxonomy, branch=branch,
        first_n=first_n,
    )  # fmt: skip
    assert score == theirs is not None
