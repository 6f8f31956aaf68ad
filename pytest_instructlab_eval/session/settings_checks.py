"""The checks of settings that cannot be used together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.reports.exports.libraries import missing_library
from pytest_instructlab_eval.settings import FIRST_N_VARIABLE, Settings
from pytest_instructlab_eval.suites.registry import find_benchmark
from pytest_instructlab_eval.suites.selection import missing_options


def check_settings(settings: Settings) -> None:
    """Raise ConfigurationError for settings that cannot be used together."""
    for problems in CHECKS:
        for problem in problems(settings):
            raise ConfigurationError(problem)


def model_problems(settings: Settings) -> Iterator[str]:
    """Yield the problems of the models and their servers."""
    if settings.serve == "never" and settings.hosted:
        yield (
            "--eval-serve never needs a running server; give its URL with --eval-base-url, such as "
            "http://127.0.0.1:8000/v1"
        )
    if _has_twins(settings.evaluated):
        options = "--eval-model" if settings.base_model is None else "--eval-model and --eval-base-model"
        yield (
            f"{options} must name each model once (got {', '.join(settings.evaluated)}); a server can serve "
            "one model under two names"
        )
    for name in (*settings.evaluated, *settings.judge_model):
        if name.startswith(("http://", "https://")):
            option = "--eval-judge-model" if name in settings.judge_model else "--eval-model"
            yield (
                f"{option}: {name} is a URL; name the model, and give the URL with "
                f"{option.replace('-model', '-base-url')}"
            )


def comparison_problems(settings: Settings) -> Iterator[str]:
    """Yield the problems of the base model and the baseline."""
    if settings.base_model is not None and settings.baseline is not None:
        yield "--eval-base-model and --eval-baseline cannot be used together; give one of them"
    needs_base_model = {
        "--eval-base-model-url": settings.base_model_url,
        "--eval-base-model-api-key-env": settings.base_model_api_key_env,
        "--eval-base-questions base": settings.base_questions == "base",
    }
    for option, given in needs_base_model.items() if settings.base_model is None else ():
        if given:
            yield f"{option} needs --eval-base-model, the model to compare with"
    if settings.base_questions == "base" and settings.base_branch is None:
        yield (
            "--eval-base-questions base needs --eval-base-branch, the ref whose questions the base model gets"
        )


def judge_problems(settings: Settings) -> Iterator[str]:
    """Yield the problems of the judges and their servers."""
    if _has_twins(settings.judge_model):
        yield f"--eval-judge-model must name each judge once (got {', '.join(settings.judge_model)})"
    judges, urls = settings.judging_models, settings.judge_base_url
    if 1 < len(judges) != len(urls) > 1:
        yield (
            f"--eval-judge-base-url must be given once, or once for each of the {len(judges)} judges "
            f"{', '.join(judges)} in their order (got {len(urls)})"
        )


def baseline_problems(settings: Settings) -> Iterator[str]:
    """Yield why the run cannot be saved as a baseline."""
    if settings.save_baseline is None:
        return
    if len(settings.model) > 1:
        yield (
            "--eval-save-baseline saves the results of one model (got "
            f"{len(settings.model)} models); evaluate one"
        )
    if settings.shard is not None:
        yield (
            "--eval-save-baseline needs a whole run, and --eval-shard runs a part; save the baseline of the "
            "joined parts: python -m pytest_instructlab_eval merge --save-baseline FILE"
        )
    if settings.stage == "answer":
        yield (
            "--eval-save-baseline needs scores, and --eval-stage answer has none yet; give it to the run "
            "with --eval-stage judge"
        )


def export_problems(settings: Settings) -> Iterator[str]:
    """Yield why an export cannot be written."""
    if missing := missing_library(settings.export):
        yield f"--eval-export {missing}"


def benchmark_problems(settings: Settings) -> Iterator[str]:
    """Yield the missing settings of the named benchmarks."""
    for name in settings.benchmark:
        definition = find_benchmark(name)
        if definition is not None and (missing := missing_options(definition, settings)):
            yield f"--eval-benchmark {name} needs {missing}"


def change_problems(settings: Settings) -> Iterator[str]:
    """Yield the missing settings of --eval-changed-only."""
    if settings.changed_only and settings.base_branch is None:
        yield "--eval-changed-only needs --eval-base-branch, the ref to compare with"
    if settings.changed_only and settings.taxonomy is None:
        yield "--eval-changed-only needs --eval-taxonomy, the repository to compare"


def sample_problems(settings: Settings) -> Iterator[str]:
    """Yield the problems of the options that choose questions."""
    if settings.sample is not None and settings.first_n is not None:
        yield (
            f"--eval-sample and --eval-first-n (or ${FIRST_N_VARIABLE}) cannot be used together; "
            "give one of them"
        )
    if settings.sample_seed is not None and settings.sample is None:
        yield "--eval-sample-seed needs --eval-sample, the size of the sample"


def ref_problems(settings: Settings) -> Iterator[str]:
    """Yield the refs without a taxonomy."""
    if settings.taxonomy is not None or settings.stage == "judge":
        return  # the ref then names the folder of an earlier run's answers
    for option, ref in (("--eval-branch", settings.branch), ("--eval-base-branch", settings.base_branch)):
        if ref is not None:
            yield f"{option} needs --eval-taxonomy, the repository of that ref"


def _has_twins(names: tuple[str, ...]) -> bool:
    return any(count > 1 for count in Counter(names).values())


CHECKS: tuple[Callable[[Settings], Iterator[str]], ...] = (  # the first problem is reported
    model_problems,
    comparison_problems,
    judge_problems,
    baseline_problems,
    export_problems,
    benchmark_problems,
    change_problems,
    sample_problems,
    ref_problems,
)
