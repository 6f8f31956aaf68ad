"""A model's answers of an earlier run, read back for the questions of this one."""

from __future__ import annotations

from pathlib import Path

from pytest_instructlab_eval.data.answers import asked_turns, read_answers
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import Benchmark
from pytest_instructlab_eval.suites.chats import write_chats
from pytest_instructlab_eval.suites.instructlab_files import write_instructlab_files
from pytest_instructlab_eval.suites.selection import asked_questions


def write_answers(folder: Path, run: Run) -> None:
    """Write what a run answered and judged, for InstructLab's tools and for a judging run; raises OSError."""
    write_instructlab_files(folder, run.results, judging=run.configuration.get("stage") == "judge")
    if run.configuration.get("stage") == "answer":
        write_chats(folder, run)


def recorded_answers(
    settings: Settings, benchmark: Benchmark, model: str
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return a model's answers in a benchmark's files, each time it was asked, by the user's turns so far.

    What was asked in other words then has no answer here. Raises ConfigurationError where there are none.
    """
    if benchmark.files is None:
        return {}
    own = settings.base_questions == "base" and model == settings.base_label
    of_base = own and benchmark.read_of_base is not None
    folder = settings.output_dir / benchmark.files.folder(
        settings.base_branch if of_base else settings.branch
    )
    recorded, turns_then, answers_by_turns = read_answers(folder, model), asked_turns(folder), {}
    for question in asked_questions(benchmark, settings, of_base=of_base):
        chat = benchmark.files.conversation(question)
        if turns_then.get(chat.number, chat.turns) == chat.turns:
            for count, answers in enumerate(recorded.get(chat.number, ()), start=1):
                answers_by_turns[chat.turns[:count]] = answers
    return answers_by_turns
