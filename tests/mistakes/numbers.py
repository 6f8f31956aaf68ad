"""Numbers that an option doesn't take, and names of benchmarks."""

from __future__ import annotations

from .mistake import Mistake


def number(name: str, meant: str, option: str, gets: str, **more: str) -> Mistake:
    return Mistake(name, meant, f"pytest $MMLU {option}", gets, **more)  # type: ignore[arg-type]


MISTAKES = [
    number("few-shots 6", "six solved examples are asked for", "--eval-few-shots=6",
           r"--eval-few-shots: expected a whole number from 0 to 5 \(got '6'\)"),
    number("few-shots -1", "a negative number of examples", "--eval-few-shots -1",
           r"--eval-few-shots: expected a whole number from 0 to 5 \(got '-1'\)"),
    number("few-shots five", "a number is given as a word", "--eval-few-shots=five",
           r"--eval-few-shots: expected a whole number from 0 to 5 \(got 'five'\)"),
    number("sample 0", "a sample of no questions", "--eval-sample=0",
           r"--eval-sample: expected a whole number 1 or more \(got '0'\)"),
    number("sample 10%", "a sample as a share", "--eval-sample=10%",
           r"--eval-sample: expected a whole number 1 or more \(got '10%'\)"),
    number("sample with first-n", "a sample and the first questions", "--eval-sample=5 --eval-first-n=5",
           r"--eval-sample and --eval-first-n .*give one of them"),
    number("a seed without a sample", "the seed of a sample that is not asked for", "--eval-sample-seed=1",
           r"--eval-sample-seed needs --eval-sample"),
    number("first-n 1.5", "a number of questions with a decimal point", "--eval-first-n=1.5",
           r"--eval-first-n: expected a whole number 1 or more \(got '1\.5'\)"),
    number("timeout 10m", "a time in minutes", "--eval-request-timeout=10m",
           r"--eval-request-timeout: expected a number of seconds.*\(got '10m'\)"),
    number("timeout 0", "no time at all", "--eval-request-timeout=0",
           r"--eval-request-timeout: expected a number of seconds, more than 0 \(got '0'\)"),
    number("wait -1", "a negative wait", "--eval-wait -1",
           r"--eval-wait: expected a number of seconds, 0 or more \(got '-1'\)"),
    number("concurrency 0", "no requests at the same time", "--eval-max-concurrency=0",
           r"--eval-max-concurrency: expected a whole number 1 or more \(got '0'\)"),
    number("repeat 0", "no repeats", "--eval-repeat=0",
           r"--eval-repeat: expected a whole number 1 or more, or auto \(got '0'\)"),
    number("judge-repeat two", "a number is given as a word", "--eval-judge-repeat=two",
           r"--eval-judge-repeat: expected a whole number 1 or more \(got 'two'\)"),
    number("inconclusive yes", "a verdict that there isn't", "--eval-inconclusive=yes",
           r"--eval-inconclusive: expected one of warn, fail, pass \(got 'yes'\)"),
    number("stage answers", "a step that there isn't", "--eval-stage=answers",
           r"--eval-stage: expected one of answer, judge \(got 'answers'\)"),
    number("a system prompt's file", "the file of the system prompt is misspelt", "--eval-system-prompt=@sys.txt",
           r"--eval-system-prompt: .*sys\.txt.*(No such file|doesn't exist)"),
    Mistake("an ini value", "a value of the ini file is no number", "pytest $MMLU",
            r"eval_few_shots in pytest\.ini: expected a whole number from 0 to 5 \(got 'many'\)",
            files={"pytest.ini": "[pytest]\neval_few_shots = many\n"}),
    Mistake("an ini name", "an ini name is misspelt", "pytest $MMLU -k anatomy",
            r"eval_few_shot\b.*did you mean eval_few_shots",
            files={"pytest.ini": "[pytest]\neval_few_shot = 0\n"}),
    Mistake("a benchmark's typo", "a benchmark is misspelt", "pytest $MODEL --eval-benchmark=mt-bench",
            r"--eval-benchmark: expected one of mmlu, mmlu_branch, mt_bench, mt_bench_branch \(got 'mt-bench'\)"),
    Mistake("benchmarks by a comma", "two benchmarks are given in one option, with a comma",
            "pytest $MODEL --eval-benchmark=mmlu,mt_bench",
            r"--eval-benchmark: expected one of mmlu, .*\(got 'mmlu,mt_bench'\)"),
    Mistake("a benchmark in capitals", "a benchmark is given as its authors write it",
            "pytest $MODEL --eval-benchmark=MMLU",
            r"--eval-benchmark: expected one of mmlu, .*\(got 'MMLU'\)"),
    Mistake("a benchmark of lm-eval", "another tool's benchmark is asked for",
            "pytest $MODEL --eval-benchmark=hellaswag",
            r"--eval-benchmark: expected one of mmlu, .*\(got 'hellaswag'\)"),
    Mistake("MMLU-Branch without tasks", "the folder of the tasks is forgotten", "pytest $TASKS",
            r"--eval-benchmark mmlu_branch needs --eval-tasks-dir"),
    Mistake("MT-Bench-Branch without a taxonomy", "the taxonomy is forgotten", "pytest $BRANCH",
            r"--eval-benchmark mt_bench_branch needs --eval-taxonomy"),
]  # fmt: skip
