"""A model's answers of an earlier run, read back for the questions of this one."""

from __future__ import annotations

from pytest_instructlab_eval.data.answers import asked_turns, read_answers
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.registry import benchmarks
from pytest_instructlab_eval.suites.selection import asked, selected

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
        own = settings.base_questions == "base" and model == settings.base_label
        of_base = own and benchmark.read_of_base is not None
        ref = settings.base_branch if of_base else settings.branch
        folder = settings.output_dir / benchmark.files.folder(ref)
        recorded, turns_then = read_answers(folder, model), asked_turns(folder)
        for question in asked(benchmark, settings, of_base=of_base):
            chat = benchmark.files.conversation(question)
            if turns_then.get(chat.number, chat.turns) == chat.turns:
                for count, answers in enumerate(recorded.get(chat.number, ()), start=1):
                    found[chat.turns[:count]] = answers
    return found
