"""What the settings make of each benchmark: its tasks or questions, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.options import Settings
from pytest_instructlab_eval.sampling import stratified

__all__ = ["READERS", "recorded_answers"]


def mmlu_tasks(settings: Settings) -> list[Any]:
    """MMLU's tasks."""
    from pytest_instructlab_eval import mmlu

    tasks = mmlu.tasks(
        data=settings.mmlu_data,
        few_shots=settings.few_shots,
        first_n=settings.first_n,
        system_prompt=settings.system_prompt,
    )
    mmlu.check(tasks)
    return _sampled_tasks(tasks, settings)


def mmlu_branch_tasks(settings: Settings) -> list[Any]:
    """The tasks of --eval-tasks-dir."""
    from pytest_instructlab_eval import mmlu_branch

    if settings.tasks_dir is None:
        raise ConfigurationError("MMLU-Branch needs --eval-tasks-dir, the folder of its tasks")
    tasks = mmlu_branch.tasks(
        settings.tasks_dir,
        few_shots=settings.few_shots,
        first_n=settings.first_n,
        system_prompt=settings.system_prompt,
        trust=settings.trust_tasks,
    )
    mmlu_branch.check(tasks)
    return _sampled_tasks(tasks, settings)


def mt_bench_questions(settings: Settings) -> list[Any]:
    """MT-Bench's questions."""
    from pytest_instructlab_eval import mt_bench

    found = mt_bench.questions(
        settings.mt_bench_data,
        first_n=settings.first_n,
        repeats=settings.repeat,
        judgments=settings.judgments,
    )
    return _sampled(found, settings)


def mt_bench_branch_questions(settings: Settings) -> list[Any]:
    """The pairs of --eval-taxonomy at its ref."""
    from pytest_instructlab_eval import mt_bench_branch
    from pytest_instructlab_eval.taxonomy import Taxonomy

    if settings.taxonomy is None:
        raise ConfigurationError(
            "MT-Bench-Branch needs --eval-taxonomy, the repository of the qna.yaml files"
        )
    taxonomy = Taxonomy(settings.taxonomy)
    changed = None
    if settings.changed_only and settings.base_branch is not None:
        changed = taxonomy.changed(settings.base_branch, settings.branch)
    files = taxonomy.read(settings.branch, include_knowledge=settings.include_knowledge, only=changed)
    pairs = [pair for file in files for pair in file.pairs]
    found = mt_bench_branch.questions(
        pairs,
        settings.mt_bench_data,
        ref=settings.branch,
        first_n=settings.first_n,
        repeats=settings.repeat,
        judgments=settings.judgments,
    )
    return _sampled(found, settings)


def _sampled(questions: Sequence[Any], settings: Settings) -> list[Any]:
    """The sample that the settings ask for, over the groups: categories, or qna.yaml files."""
    if settings.sample is None:
        return list(questions)
    groups: dict[str, list[str]] = {}
    for question in questions:
        groups.setdefault(question.group, []).append(question.id)
    drawn = stratified(groups, settings.sample, settings.sample_seed or 0)
    kept = {question for found in drawn.values() for question in found}
    return [question for question in questions if question.id in kept]


def _sampled_tasks(tasks: Sequence[Any], settings: Settings) -> list[Any]:
    """The tasks that have a part of the sample, with their rows of it."""
    if settings.sample is None:
        return list(tasks)
    rows = {task.id: range(task.size) for task in tasks}
    drawn = stratified(rows, settings.sample, settings.sample_seed or 0)
    return [dataclasses.replace(task, rows=tuple(drawn[task.id])) for task in tasks if task.id in drawn]


def recorded_answers(settings: Settings, model: str) -> dict[tuple[str, ...], tuple[str, ...]]:
    """A model's answers in the output folder, each time it was asked, by the user's turns so far.

    Raises ConfigurationError where there are none.
    """
    from pytest_instructlab_eval.reports.answers import read_answers
    from pytest_instructlab_eval.reports.instructlab import branch_folder

    found = {}
    for name in settings.selected():
        folder = Path(name) if name == "mt_bench" else branch_folder(settings.branch)
        recorded = read_answers(settings.output_dir / folder, model)
        for question in READERS[f"{name}_question"](settings):
            asked = getattr(question, "asked", question)  # a pair of the taxonomy is asked as a question
            for count, answers in enumerate(recorded.get(asked.number, ()), start=1):
                found[asked.turns[:count]] = answers
    return found


READERS: Mapping[str, Callable[[Settings], list[Any]]] = {
    "mmlu_task": mmlu_tasks,
    "mmlu_branch_task": mmlu_branch_tasks,
    "mt_bench_question": mt_bench_questions,
    "mt_bench_branch_question": mt_bench_branch_questions,
}
