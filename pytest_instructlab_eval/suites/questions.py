"""What the settings make of each benchmark: its tasks or questions, checked."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.settings import MIN_TASKS, Settings
from pytest_instructlab_eval.suites.sampling import stratified

if TYPE_CHECKING:
    from pytest_instructlab_eval.data.taxonomy import QnaPair, Survey, Taxonomy

__all__ = [
    "FIXTURES",
    "OF_A_BRANCH",
    "READERS",
    "base_pairs",
    "base_questions",
    "branch_pairs",
    "data_digest",
    "digest",
    "recorded_answers",
    "unread_lines",
]

MOST_NAMED = 10  # files in one message


def mmlu_tasks(settings: Settings) -> list[Any]:
    """MMLU's tasks."""
    from pytest_instructlab_eval.suites import mmlu

    tasks = mmlu.tasks(
        data=settings.mmlu_data,
        few_shots=settings.few_shots,
        first_n=settings.first_n,
        system_prompt=settings.system_prompt,
    )
    if settings.min_tasks:
        tasks = tasks[:MIN_TASKS]
    mmlu.check(tasks)
    return _sampled_tasks(tasks, settings)


def mmlu_branch_tasks(settings: Settings) -> list[Any]:
    """The tasks of --eval-tasks-dir."""
    from pytest_instructlab_eval.suites import mmlu_branch

    if settings.tasks_dir is None:
        raise ConfigurationError("MMLU-Branch needs --eval-tasks-dir, the folder of its tasks")
    tasks = mmlu_branch.tasks(
        settings.tasks_dir,
        few_shots=settings.few_shots,
        first_n=settings.first_n,
        system_prompt=settings.system_prompt,
        trust=settings.trust_tasks,
    )
    broken = [task for task in tasks if task.problem is not None]  # not silently left out of a sample
    sampled = _sampled_tasks([task for task in tasks if task.problem is None], settings)
    return sorted([*sampled, *broken], key=lambda task: task.name)


def mt_bench_questions(settings: Settings) -> list[Any]:
    """MT-Bench's questions."""
    from pytest_instructlab_eval.suites import mt_bench

    found = mt_bench.questions(
        settings.mt_bench_data,
        first_n=settings.first_n,
        repeats=settings.repeat,
        judgments=settings.judgments,
        seed=settings.seed,
    )
    return _sampled(found, settings)


def mt_bench_branch_questions(settings: Settings) -> list[Any]:
    """The pairs of --eval-taxonomy at its ref; without one, what an earlier run asked, to be judged."""
    if settings.taxonomy is None and settings.stage == "judge":
        return _recorded_questions(settings.branch, settings)
    return _asked(branch_pairs(settings), settings.branch, settings)


def branch_pairs(settings: Settings) -> list[QnaPair]:
    """Return the pairs of --eval-taxonomy that are asked: all, those that are new, or the changed files'."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    if settings.taxonomy is None:
        raise ConfigurationError(
            "MT-Bench-Branch needs --eval-taxonomy, the repository of the qna.yaml files"
        )
    taxonomy, old = Taxonomy(settings.taxonomy), set()
    if settings.base_branch is not None and not settings.changed_only and settings.base_questions == "same":
        before = taxonomy.fork(settings.base_branch, settings.branch)
        earlier = taxonomy.read(before, include_knowledge=True, may_be_empty=True)
        old = {pair.content for file in earlier for pair in file.pairs}
    return [pair for pair in _pairs(taxonomy, settings.branch, settings) if pair.content not in old]


def base_questions(settings: Settings) -> list[Any]:
    """The pairs of --eval-base-branch, which the base model is asked in InstructLab's own way.

    With --eval-changed-only, those of the files that the branch changes, as they were.
    """
    if settings.taxonomy is None:
        return _recorded_questions(settings.base_branch, settings)
    return _asked(base_pairs(settings), settings.base_branch, settings)


def base_pairs(settings: Settings) -> list[QnaPair]:
    """Return the pairs of `base_questions`."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    assert settings.taxonomy is not None  # noqa: S101  (the branch's own were read before)
    return _pairs(Taxonomy(settings.taxonomy), settings.base_branch, settings)


def _pairs(taxonomy: Taxonomy, ref: str | None, settings: Settings) -> list[QnaPair]:
    """The pairs at a ref, of the files that are asked; raises DataError where a change is not read."""
    changed = None
    if settings.base_branch is not None and settings.changed_only:
        survey = taxonomy.survey(settings.branch, settings.base_branch)
        if survey.unread:
            lines = unread_lines(survey)
            head = [] if len(lines) == 1 else ["the branch has files that are not read"]
            raise DataError("\n  ".join([*head, *lines]))
        changed = survey.files
    files = taxonomy.read(
        ref,
        include_knowledge=settings.include_knowledge,
        only=changed,
        may_be_empty=settings.base_branch is not None,
    )
    return [pair for file in files for pair in file.pairs]


def unread_lines(survey: Survey) -> list[str]:
    """Return a sentence for each file that is not read, ten at most, and how many more there are."""
    from pytest_instructlab_eval.data.taxonomy import printable

    told = [f"{printable(path)} is not read: {reason}" for path, reason in survey.unread.items()]
    more = len(told) - MOST_NAMED
    return told if more <= 0 else [*told[:MOST_NAMED], f"{more:,} more files are not read"]


def _asked(pairs: Sequence[QnaPair], ref: str | None, settings: Settings) -> list[Any]:
    from pytest_instructlab_eval.suites import mt_bench_branch

    if not pairs:
        return []  # and no prompts are looked for
    found = mt_bench_branch.questions(
        pairs,
        settings.mt_bench_data,
        ref=ref,
        first_n=settings.first_n,
        repeats=settings.repeat,
        judgments=settings.judgments,
        seed=settings.seed,
    )
    return _sampled(found, settings)


def _recorded_questions(ref: str | None, settings: Settings) -> list[Any]:
    """The questions of MT-Bench-Branch that the output folder has of an earlier run, whoever chose them."""
    from pytest_instructlab_eval.data.answers import read_questions
    from pytest_instructlab_eval.data.file_names import branch_folder
    from pytest_instructlab_eval.suites import mt_bench_branch

    recorded = read_questions(settings.output_dir / branch_folder(ref), list(settings.judges))
    found = mt_bench_branch.recorded_questions(
        recorded[: settings.first_n],
        settings.mt_bench_data,
        ref=ref,
        repeats=settings.repeat,
        judgments=settings.judgments,
        seed=settings.seed,
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

    What was asked in other words then has no answer here. Raises ConfigurationError where there are none.
    """
    from pytest_instructlab_eval.data.answers import asked_turns, read_answers
    from pytest_instructlab_eval.data.file_names import branch_folder

    found = {}
    for name in settings.selected():
        ref, read = settings.branch, READERS[f"{name}_question"]
        if settings.base_questions == "base" and model == settings.base_label and name == "mt_bench_branch":
            ref, read = settings.base_branch, base_questions
        folder = settings.output_dir / (name if name == "mt_bench" else branch_folder(ref))
        recorded, asked_then = read_answers(folder, model), asked_turns(folder)
        for question in read(settings):
            asked = getattr(question, "asked", question)  # a pair of the taxonomy is asked as a question
            if asked_then.get(asked.number, asked.turns) == asked.turns:
                for count, answers in enumerate(recorded.get(asked.number, ()), start=1):
                    found[asked.turns[:count]] = answers
    return found


def data_digest(benchmark: str, asked: Sequence[Any], settings: Settings) -> str | None:
    """What tells the questions and references of MMLU or MT-Bench from others, however few are `asked`.

    None for any other benchmark, and where the data isn't known before it is asked (from a hub). What a
    branch has is told apart question by question (`digest`): the rest of it can be compared.
    """
    fixture = FIXTURES.get(benchmark)
    if fixture is None or fixture in OF_A_BRANCH or any(question.content is None for question in asked):
        return None
    whole = asked
    if settings.sample is not None or settings.first_n is not None or settings.min_tasks:
        every = dataclasses.replace(settings, sample=None, first_n=None, min_tasks=False)
        whole = READERS[fixture](every)
    return digest([question.content for question in whole])


def digest(content: Any) -> str:
    """What tells a content from others, in twelve letters and digits; empty where there is none."""
    if content is None:
        return ""
    return hashlib.sha256(repr(content).encode("utf-8", "replace")).hexdigest()[:12]


FIXTURES = {
    "mmlu": "mmlu_task",
    "mmlu_branch": "mmlu_branch_task",
    "mt_bench": "mt_bench_question",
    "mt_bench_branch": "mt_bench_branch_question",
}
OF_A_BRANCH = frozenset({"mmlu_branch_task", "mt_bench_branch_question"})

READERS: Mapping[str, Callable[[Settings], list[Any]]] = {
    "mmlu_task": mmlu_tasks,
    "mmlu_branch_task": mmlu_branch_tasks,
    "mt_bench_question": mt_bench_questions,
    "mt_bench_branch_question": mt_bench_branch_questions,
}
