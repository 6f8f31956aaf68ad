"""Mistakes in pytest's own options and arguments."""

from __future__ import annotations

from .mistake import Mistake


def typo(typed: str, meant: str) -> Mistake:
    """A misspelt option of ours."""
    return Mistake(typed, f"{meant} is misspelt", f"pytest $MODEL {typed}=1",
                   rf"unknown option {typed}; did you mean .*{meant}\b")  # fmt: skip


MISTAKES = [
    typo("--eval-modle", "--eval-model"),
    typo("--eval-fewshots", "--eval-few-shots"),
    typo("--eval-judge", "--eval-judge-model"),
    typo("--eval-output", "--eval-output-dir"),
    typo("--eval_model", "--eval-model"),
    Mistake("-n without a number", "the number of processes is forgotten", "pytest $MMLU -n",
            r"argument -n/--numprocesses: expected one argument"),
    Mistake("-n with a word", "the number of processes is a word", "pytest $MMLU -n many",
            r"argument -n/--numprocesses: .*many"),
    Mistake("-k that selects nothing", "no task has the name", "pytest $MMLU -k anatmoy",
            r"57 deselected|no test was collected", status=5),
    Mistake("-k that is broken", "the expression of -k is broken", "pytest $MMLU -k 'anatomy and'",
            r"Wrong expression passed to '-k': anatomy and"),
    Mistake("a missing file", "the test file is misspelt", "pytest $MODEL test_capital.py",
            r"file or directory not found: test_capital\.py"),
    Mistake("a built-in benchmark by its file", "a built-in benchmark is named by its file",
            "pytest $MODEL test_mmlu.py --eval-mmlu-data=$MMLU_DATA -k anatomy", r"3 passed", status=0, asks=True),
    Mistake("a built-in benchmark by a wrong file", "the file of a built-in benchmark is misspelt",
            "pytest $MODEL test_mmul.py", r"file or directory not found: test_mmul\.py"),
    Mistake("a task by a wrong name", "a task's node id is misspelt",
            "pytest $MODEL 'test_mmlu.py::test_mmlu[anatmoy]' --eval-mmlu-data=$MMLU_DATA",
            r"test_mmlu\.py::test_mmlu\[anatmoy\]: there is no such test; did you mean test_mmlu\[anatomy\]"),
    Mistake("a name for a file", "a benchmark's name is typed without its option",
            "pytest $MODEL mmlu", r"file or directory not found: mmlu"),
    Mistake("a flag with a value", "a flag is given a value", "pytest $BRANCH --eval-changed-only=yes",
            r"argument --eval-changed-only: ignored explicit argument 'yes'"),
    Mistake("an abbreviated option", "an option is abbreviated", "pytest $MODEL --eval-bench=mmlu",
            r"unknown option --eval-bench; did you mean --eval-benchmark\?"),
]  # fmt: skip
