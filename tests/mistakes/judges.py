"""Mistakes about the judge."""

from __future__ import annotations

from functools import partial

from tests.plugin.conftest import Project

from .mistake import Mistake
from .servers import nothing, web

JUDGES_ITSELF = r"tiny judges its own answers.*--eval-judge-model"


def broken(project: Project) -> None:
    project.server.reply = lambda body: "I like it."


def always_five(project: Project) -> None:
    project.server.reply = lambda body: "Rating: [[5]]"


MISTAKES = [
    Mistake(
        "none",
        "MT-Bench is asked for without a judge",
        "pytest $ANSWERS",
        r"--eval-benchmark mt_bench needs --eval-judge-model",
    ),
    Mistake(
        "misspelt",
        "the judge's name is misspelt",
        "pytest $ANSWERS --eval-judge-model=prometeus",
        r"has no model 'prometeus'; it has: tiny",
    ),
    Mistake(
        "down",
        "the judge's server was not started",
        "pytest $ANSWERS --eval-judge-model=tiny --eval-judge-base-url=http://127.0.0.1:9/v1",
        r"the server at http://127\.0\.0\.1:9/v1 cannot be reached.*--eval-wait",
    ),
    Mistake(
        "a judge's URL without a judge",
        "the judge's URL and not its name is given",
        "pytest $MMLU -k anatomy --eval-judge-base-url=$URL",
        r"--eval-judge-base-url needs --eval-judge-model",
    ),
    Mistake(
        "the judge is the model",
        "the model judges itself",
        "pytest $MT_BENCH",
        JUDGES_ITSELF,
        status=0,
        asks=True,
    ),
    Mistake(
        "no ratings",
        "a gated run has a judge that writes no ratings",
        "pytest $MT_BENCH --eval-gate='mt_bench >= 5'",
        r"the judge 'tiny' .*no rating.*--eval-judge-model",
        given=broken,
        asks=True,
    ),
    Mistake(
        "always the same rating",
        "a gated run has a judge that rates everything 5",
        "pytest $MT_BENCH --eval-gate='mt_bench >= 5'",
        r"the judge 'tiny' does not rate every good answer of its trial above every bad one.*--eval-judge-model",
        given=always_five,
        asks=True,
    ),
    Mistake(
        "no ratings, ungated",
        "a run without gates has a judge that writes no ratings",
        "pytest $MT_BENCH",
        r"got 1\.0000 \(2 of 2 without a usable rating",
        status=7,
        given=broken,
        asks=True,
    ),
    Mistake(
        "twice",
        "a panel has the same judge twice",
        "pytest $MT_BENCH --eval-judge-model=tiny",
        r"--eval-judge-model must name each judge once \(got tiny, tiny\)",
    ),
    Mistake(
        "two judges at one URL",
        "a panel has two judges, and their one server has the first alone",
        "pytest $MT_BENCH --eval-judge-model=prometheus --eval-judge-base-url=$URL",
        r"has no model 'prometheus'; it has: tiny",
    ),
    Mistake(
        "three judges at two URLs",
        "a panel of three judges has two URLs",
        "pytest $MT_BENCH --eval-judge-model=a --eval-judge-model=b --eval-judge-base-url=$URL "
        "--eval-judge-base-url=$URL",
        r"--eval-judge-base-url must be given once, or once for each of the 3 judges",
    ),
    Mistake(
        "a wrong key",
        "the judge's key is wrong",
        "pytest --eval-model=tiny --eval-base-url=$TINY --eval-benchmark=mt_bench "
        "--eval-mt-bench-data=$MT_BENCH_DATA --eval-first-n=1 --eval-judge-model=prometheus "
        "--eval-judge-base-url=$URL --eval-judge-api-key-env=THE_KEY",
        r"the server at \S+ refused the key \(401\).*\(--eval-judge-api-key-env THE_KEY\)",
        server=partial(web, 401, b"{}"),
    ),
    Mistake(
        "the key itself",
        "the judge's key is given, and not the name of its variable",
        "pytest $MT_BENCH --eval-judge-api-key-env=$SECRET",
        r"--eval-judge-api-key-env: expected the name of an environment variable",
    ),
    Mistake(
        "the reference judge without references",
        "the reference judge is to grade questions without a reference answer",
        "pytest $ANSWERS --eval-judge-model=reference --eval-first-n=1",
        r"reference.*reference answer",
    ),
    Mistake(
        "a judging step without a judge",
        "the judging step has no judge",
        "pytest $ANSWERS --eval-stage=judge",
        r"--eval-benchmark mt_bench needs --eval-judge-model",
    ),
    Mistake(
        "a judging step without answers",
        "the judging step comes before the answering one",
        "pytest $MT_BENCH --eval-stage=judge",
        r"(answers? of tiny|eval_output).*--eval-stage.answer",
        server=nothing,
    ),
    Mistake(
        "MMLU has no judging step",
        "the judging step is asked for of MMLU",
        "pytest $MMLU --eval-stage=judge",
        r"no benchmark can run \(mmlu: it has no judging step\)",
    ),
]
