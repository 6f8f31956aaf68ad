"""What of a benchmark's data a run does not ask, in sentences for the header, the terminal and summary.md."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.settings import MIN_TASKS, MIN_TASKS_VARIABLE, Settings
from pytest_instructlab_eval.suites.questions import base_pairs, branch_pairs, unread_lines

__all__ = ["unasked"]


def unasked(benchmark: str, settings: Settings) -> list[str]:
    """Return a sentence for each thing that the run leaves out; raises ConfigurationError."""
    found = READERS.get(benchmark)
    return [] if found is None or settings.lacks(benchmark) else found(settings)


def _of_the_taxonomy(settings: Settings) -> list[str]:
    """What is said of files that are not read, of knowledge, and of a branch without a question."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    if settings.taxonomy is None:
        return []  # the questions are those of an earlier run, to be judged
    survey = Taxonomy(settings.taxonomy).survey(settings.branch, settings.base_branch)
    told = unread_lines(survey)
    if survey.knowledge and not settings.include_knowledge:
        told.append(_knowledge(survey.knowledge, changed=settings.base_branch is not None))
    if settings.base_branch is None:
        return told
    if not survey.files and not survey.unread:
        told.append("the branch changes no qna.yaml")
    elif (
        survey.files
        and not settings.changed_only
        and not branch_pairs(settings)
        and survey.knowledge < len(survey.files)
    ):
        told.append("the branch has no pair that the base branch lacks")
    if survey.removed:
        told.append(f"the branch removes {_count(len(survey.removed), 'qna.yaml file')}")
    if settings.base_questions == "base" and not base_pairs(settings):
        told.append(f"the base model was asked nothing: none of the files is on {settings.base_branch}")
    return told


def _knowledge(count: int, *, changed: bool) -> str:
    is_left_out, their = ("is left out", "its") if count == 1 else ("are left out", "their")
    return (
        f"{_count(count, 'knowledge file')} {'changed and ' * changed}{is_left_out}: "
        f"--eval-include-knowledge asks {their} pairs, mmlu_branch {their} tasks"
    )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _of_the_tasks(settings: Settings) -> list[str]:
    """What is said of older folders of tasks, of tasks without questions, and of shifted letters."""
    from pytest_instructlab_eval.data.safe_yaml import shown
    from pytest_instructlab_eval.data.task_files import find_task_files, sdg_folders
    from pytest_instructlab_eval.suites import mmlu_branch

    assert settings.tasks_dir is not None  # noqa: S101  (`lacks` looked)
    folders, told = sdg_folders(settings.tasks_dir), []
    if len(folders) > 1:
        told.append(f"{shown(folders[0])} is read, the newest of {len(folders):,} folders of tasks")
    asked = {task.name: task for task in mmlu_branch.tasks(settings.tasks_dir, trust=settings.trust_tasks)}
    told += [
        f"the task {shown(file.name)} has no questions and is left out"
        for file in find_task_files(settings.tasks_dir, trust=settings.trust_tasks)
        if file.name not in asked
    ]
    for task in asked.values():
        with contextlib.suppress(DataError):  # told where the task is asked
            if task.recovered:
                told.append(
                    f"warning: {task.recovered:,} of {task.size:,} rows of {shown(task.name)} have the "
                    "number of another choice than their own text says; the text decides"
                )
    return told


def _of_mmlu(settings: Settings) -> list[str]:
    """What is said of the tasks that InstructLab's environment variable leaves out."""
    said = f"{MIN_TASKS_VARIABLE} is set, so that only the first {MIN_TASKS} of MMLU's tasks are asked"
    return [said] if settings.min_tasks else []


READERS: Mapping[str, Callable[[Settings], list[str]]] = {
    "mmlu": _of_mmlu,
    "mmlu_branch": _of_the_tasks,
    "mt_bench_branch": _of_the_taxonomy,
}
