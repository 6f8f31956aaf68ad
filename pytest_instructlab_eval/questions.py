"""What the settings make of each benchmark: its tasks or questions, checked."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.sampling import stratified
from pytest_instructlab_eval.settings import Settings

__all__ = ["FIXTURES", "READERS", "base_questions", "data_digest", "recorded_answers"]


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
    changed, old = None, set()
    if settings.base_branch is not None and settings.changed_only:
        changed = taxonomy.changed(settings.base_branch, settings.branch)
    elif settings.base_branch is not None and settings.base_questions == "same":
        before = taxonomy.fork(settings.base_branch, settings.branch)
        earlier = taxonomy.read(before, include_knowledge=True, may_be_empty=True)
        old = {pair.content for file in earlier for pair in file.pairs}
    files = taxonomy.read(settings.branch, include_knowledge=settings.include_knowledge, only=changed)
    pairs = [pair for file in files for pair in file.pairs if pair.content not in old]
    found = mt_bench_branch.questions(
        pairs,
        settings.mt_bench_data,
        ref=settings.branch,
        first_n=settings.first_n,
        repeats=settings.repeat,
        judgments=settings.judgments,
    )
    return _sampled(found, settings)


def base_questions(settings: Settings) -> list[Any]:
    """The pairs of --eval-base-branch, which the base model is asked in InstructLab's own way."""
    at_base = dataclasses.replace(settings, branch=settings.base_branch, base_branch=None, changed_only=False)
    return mt_bench_branch_questions(at_base)


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


def data_digest(benchmark: str, asked: Iterable[Any]) -> str | dict[str, str] | None:
    """What tells a benchmark's questions and references from others: a digest, of a branch's one a group.

    So that of a branch's files or tasks those that another run has too can be compared. None where
    the data isn't known before it is asked (from a hub).
    """
    groups: dict[str, list[Any]] = {}
    for question in asked:
        if question.content is None:
            return None
        groups.setdefault(question.group if benchmark in BY_GROUP else "", []).append(question.content)
    digests = {
        group: hashlib.sha256(repr(contents).encode("utf-8", "replace")).hexdigest()[:12]
        for group, contents in groups.items()
    }
    return digests if benchmark in BY_GROUP else digests.get("")


FIXTURES = {
    "mmlu": "mmlu_task",
    "mmlu_branch": "mmlu_branch_task",
    "mt_bench": "mt_bench_question",
    "mt_bench_branch": "mt_bench_branch_question",
}
BY_GROUP = frozenset({"mmlu_branch", "mt_bench_branch"})

READERS: Mapping[str, Callable[[Settings], list[Any]]] = {
    "mmlu_task": mmlu_tasks,
    "mmlu_branch_task": mmlu_branch_tasks,
    "mt_bench_question": mt_bench_questions,
    "mt_bench_branch_question": mt_bench_branch_questions,
}
