"""The benchmarks of a run, and those that it leaves out."""

from __future__ import annotations

from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import Benchmark, Question
from pytest_instructlab_eval.suites.registry import all_benchmarks, find_benchmark
from pytest_instructlab_eval.suites.sampling import sample_questions


def left_out_benchmarks(settings: Settings) -> dict[str, str]:
    """Return the benchmarks that the run leaves out, each with the reason."""
    reasons = {}
    for benchmark in all_benchmarks():
        if settings.benchmark and benchmark.name not in settings.benchmark:
            reasons[benchmark.name] = "not named by --eval-benchmark"
        elif missing := missing_options(benchmark, settings):
            reasons[benchmark.name] = f"it needs {missing}"
        elif settings.stage == "judge" and not benchmark.judged:
            reasons[benchmark.name] = "it has no judging step"
    return reasons


def missing_options(benchmark: Benchmark, settings: Settings) -> str | None:
    """Return the options without which the benchmark can't be run, None where nothing is missing."""
    needs = [need.setting for need in benchmark.needs if not need.unless(settings)]
    if benchmark.judged and settings.stage != "answer":
        needs.append("judge_model")
    missing = [name for name in dict.fromkeys(needs) if not settings.value(name)]
    return " and ".join("--eval-" + name.replace("_", "-") for name in missing) or None


def selected_benchmarks(settings: Settings) -> tuple[str, ...]:
    """Return the benchmarks that the run collects where no file is named."""
    reasons = left_out_benchmarks(settings)
    return tuple(benchmark.name for benchmark in all_benchmarks() if benchmark.name not in reasons)


def asked_questions(benchmark: Benchmark, settings: Settings, *, of_base: bool = False) -> list[Question]:
    """Return the questions that the run asks: all, the first so many, or a sample; raises EvalError.

    Those of the base model, where it has questions `of_base` of its own.
    """
    read = benchmark.read_of_base if of_base and benchmark.read_of_base is not None else benchmark.read
    questions = list(read(settings))
    if not benchmark.of_tasks:
        questions = sample_questions(questions[: settings.first_n], settings)
    if settings.repeat == "auto" and benchmark.with_repeats is not None:
        questions = list(benchmark.with_repeats(questions, settings))
    return questions


def unasked_notes(name: str, settings: Settings) -> list[str]:
    """Return a sentence for each thing of a benchmark's data that is not asked; raises EvalError."""
    benchmark = find_benchmark(name)
    return [] if benchmark is None or missing_options(benchmark, settings) else benchmark.unasked(settings)
