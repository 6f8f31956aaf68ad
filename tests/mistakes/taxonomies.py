"""Mistakes about a taxonomy: where it is, its branches, and its qna.yaml files."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

from tests.plugin.conftest import Project

from .mistake import Mistake

KNOTS = "compositional_skills/knots/qna.yaml"
BOATS = "compositional_skills/boats/qna.yaml"
LAMPS = "knowledge/lamps/qna.yaml"
READ = "pytest $BRANCH --eval-taxonomy=taxonomy"
CHANGED = f"{READ} --eval-branch=pr --eval-base-branch=main --eval-changed-only"

SKILL = """\
version: 2
created_by: tester
task_description: knots
seed_examples:
  - question: What is a bowline?
    answer: A knot.
"""
KNOWLEDGE = """\
version: 3
created_by: tester
domain: lamps
document_outline: lamps
seed_examples:
  - context: A lamp is a light.
    questions_and_answers:
      - question: What is a lamp?
        answer: A light.
"""


def git(project: Project, *arguments: str) -> None:
    who = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
    folder = project.folder / "taxonomy"
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def a_repository(project: Project) -> None:
    """A taxonomy with one skill, on the branch main."""
    project.write(f"taxonomy/{KNOTS}", SKILL)
    git(project, "init", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-m", "main")


def a_pull_request(files: Mapping[str, str]) -> Callable[[Project], None]:
    """A taxonomy whose branch pr adds or changes these files."""

    def make(project: Project) -> None:
        a_repository(project)
        git(project, "checkout", "-b", "pr")
        for path, text in files.items():
            project.write(f"taxonomy/{path}", text)
        git(project, "add", ".")
        git(project, "commit", "--allow-empty", "-m", "pr")
        git(project, "checkout", "main")

    return make


def broken(name: str, meant: str, text: str, gets: str) -> Mistake:
    """A mistake in a skill's file."""
    return Mistake(name, meant, READ, gets, files={f"taxonomy/{KNOTS}": text})


MISTAKES = [
    Mistake("missing", "the taxonomy's path is misspelt", "pytest $BRANCH --eval-taxonomy=taxonmy",
            r"\./taxonmy is not a folder.* give the taxonomy's folder"),
    Mistake("no repository", "a branch of a taxonomy without Git is asked for", f"{READ} --eval-branch=main",
            r"\./taxonomy is not in a Git repository", files={f"taxonomy/{KNOTS}": SKILL}),
    Mistake("no qna.yaml", "another folder than the taxonomy is named", READ,
            r"taxonomy\b.* no .*qna\.yaml", files={"taxonomy/README.md": "hello\n"}),
    Mistake("an unknown branch", "the branch is misspelt", f"{READ} --eval-branch=rp",
            r"\./taxonomy has no branch, tag or commit 'rp'", given=a_repository),
    Mistake("an unknown base branch", "the base branch was not fetched",
            f"{READ} --eval-base-branch=origin/main --eval-changed-only",
            r"\./taxonomy has no branch, tag or commit 'origin/main'", given=a_repository),
    Mistake("changed-only without a base branch", "the base branch is forgotten", f"{READ} --eval-changed-only",
            r"--eval-changed-only needs --eval-base-branch", given=a_repository),
    Mistake("a branch without a taxonomy", "the taxonomy is forgotten", "pytest $MMLU --eval-branch=pr",
            r"--eval-branch needs --eval-taxonomy"),
    Mistake("the base questions without a base model", "the base model is forgotten",
            f"{READ} --eval-base-branch=main --eval-base-questions=base",
            r"--eval-base-questions base needs --eval-base-model", given=a_repository),
    broken("broken YAML", "a quote in a qna.yaml is not closed", SKILL + '  - question: "What?\n    answer: A.\n',
           rf"{KNOTS}, line \d+: "),
    broken("tabs", "a qna.yaml is indented with tabs", SKILL.replace("    answer", "\tanswer"),
           rf"{KNOTS}, line 6: not YAML: found character .*that cannot start"),
    broken("a colon in a text", "an answer has a colon and no quotes",
           SKILL.replace("A knot.", "A knot: see below: there."), rf"{KNOTS}, line 6: "),
    broken("a missing key", "a pair has no answer", SKILL.replace("    answer: A knot.\n", ""),
           rf"{KNOTS}\S* .*answer"),
    broken("a misspelt key", "seed_examples is misspelt", SKILL.replace("seed_examples", "seed_example"),
           rf"{KNOTS}\S* .*seed_examples"),
    broken("an empty answer", "an answer is empty", SKILL.replace("A knot.", ""), rf"{KNOTS}\S* .*answer"),
    broken("an answer that is a number", "an answer is a list", SKILL.replace("A knot.", "[a, b]"),
           rf"{KNOTS}\S* .*answer"),
    broken("no pairs", "seed_examples is empty",
           "version: 2\ncreated_by: tester\ntask_description: knots\nseed_examples: []\n",
           rf"{KNOTS}\S* .*(seed_examples|no pair|question)"),
    broken("an empty file", "a qna.yaml is empty", "", rf"{KNOTS}\S* .*(empty|mapping|seed_examples)"),
    broken("an unknown version", "a qna.yaml has a version of the future", SKILL.replace("version: 2", "version: 9"),
           rf"{KNOTS}, line 1: version must be 1, 2 or 3 \(got 9\)"),
    Mistake("a wrong ending", "a new file is called qna.yml", CHANGED,
            r"compositional_skills/boats/qna\.yml.*qna\.yaml",
            given=a_pull_request({"compositional_skills/boats/qna.yml": SKILL})),
    Mistake("a wrong name", "a new file is called Qna.yaml", CHANGED,
            r"compositional_skills/boats/Qna\.yaml.*qna\.yaml",
            given=a_pull_request({"compositional_skills/boats/Qna.yaml": SKILL})),
    Mistake("knowledge only", "a pull request has nothing but knowledge", CHANGED,
            r"knowledge.*--eval-include-knowledge", status=0, given=a_pull_request({LAMPS: KNOWLEDGE})),
    Mistake("nothing changed", "a pull request has no change", CHANGED,
            r"note: the branch changes no qna\.yaml", status=0, given=a_pull_request({})),
    Mistake("nothing changed, gated", "a pull request has no change, and a gate is on the command line",
            f"{CHANGED} --eval-gate='mt_bench_branch >= 5'",
            r"skipped: mt_bench_branch >= 5: mt_bench_branch has no questions in", 0, given=a_pull_request({})),
    Mistake("a broken file of a stranger", "a pull request has a broken file", CHANGED,
            rf"{BOATS}\S*, line \d+: ", given=a_pull_request({BOATS: SKILL + "  - question: [\n"})),
]  # fmt: skip
