"""A model's answers of an earlier run, read back for the questions of this one."""

from __future__ import annotations

from pytest_instructlab_eval.data.answers import asked_turns, read_answers
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmarks
from pytest_instructlab_eval.suites.selection import selected

__all__ = ["recorded_answers"]


def recorded_answers(settings: Settings, model: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return a model's answers in the output folder, each time it was asked, by the user's turns so far.

    What was asked in other words then has no answer here. Raises ConfigurationError where there are none.
    """
    found = {}
    names = selected(settings)
    for benchmark in benchmarks():
        if benchmark.name not in names or benchmark.files is None:
            continue
        ref, read = settings.branch, benchmark.read
        of_base = settings.base_questions == "base" and model == settings.base_label
        if of_base and benchmark.read_of_base is not None:
            ref, read = settings.base_branch, benchmark.read_of_base
        folder = settings.output_dir / benchmark.files.folder(ref)
        recorded, asked_then = read_answers(folder, model), asked_turns(folder)
        for question in read(settings):
            asked = benchmark.files.conversation(question)
            if asked_then.get(asked.number, asked.turns) == asked.turns:
                for count, answers in enumerate(recorded.get(asked.number, ()), start=1):
                    found[asked.turns[:count]] = answers
    return found
