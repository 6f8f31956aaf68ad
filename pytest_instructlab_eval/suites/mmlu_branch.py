"""MMLU-Branch: tasks on new knowledge that InstructLab's SDG wrote, asked as lm-eval asks them.

SDG's tasks take a few forms, which are put into words here: lm-eval is not even imported for them, so
nothing in a task can be run. A task of another form is refused, or, where the user trusts its author,
left to lm-eval (see `task_files`).
"""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from pytest_instructlab_eval.data.mmlu_rows import LETTERS, MMLURow
from pytest_instructlab_eval.data.passages import own_passage, passages_of
from pytest_instructlab_eval.data.task_files import Form, find_task_files, sdg_folders
from pytest_instructlab_eval.data.task_rows import check_answer, count_rows, read_rows
from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.models import Message, Model
from pytest_instructlab_eval.models.background import heavy_libraries, heavy_work
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import Benchmark, Need
from pytest_instructlab_eval.suites.mmlu import MMLUQuestion, score_mmlu_questions
from pytest_instructlab_eval.suites.sampling import choose_rows, sample_tasks, sampled_score

SEED = 1234  # with which lm-eval's `simple_evaluate` draws the solved examples

Prompt = str | tuple[Message, ...]


@dataclass(frozen=True)
class MMLUBranchTask:
    """One task and how to ask it; its questions are read when it is asked.

    `name` is lm-eval's, `file` the task's YAML, `data` its rows. `form` says what is scored as a
    choice: its letter or its text; where it is None, lm-eval itself asks the task. `rows` are the numbers
    of those that are asked, from 0; where it is None, the first `first_n` are, or all. `problem` says why the
    task cannot be asked.
    """

    name: str
    file: Path
    data: Path | None
    form: Form | None
    few_shots: int = 5
    first_n: int | None = None
    system_prompt: str | None = None
    rows: tuple[int, ...] | None = None
    problem: str | None = None

    @property
    def id(self) -> str:
        """Return the name of the test."""
        return self.name

    @property
    def group(self) -> str:
        """Return the task itself: it is a group of its own."""
        return self.name

    @property
    def content(self) -> object:
        """Return the content of its questions; None where only lm-eval can read them."""
        return None if self.form is None else (self.form, _branch_task_rows(self))

    @property
    def requests(self) -> int | None:
        """Return the number of its questions; None where lm-eval must load the task first."""
        if self.rows is not None:
            return len(self.rows)
        if self.form is None or self.problem is not None:
            return self.first_n
        return min(self.size, self.first_n or self.size)

    @property
    def size(self) -> int:
        """Return the number of its questions."""
        if self.form and self.data:
            return _count(self.data)
        return _count_by_lm_eval(replace(self, rows=None))

    @property
    def is_empty(self) -> bool:
        """Return whether its file has no questions, as SDG leaves it after filtering all of them out."""
        return self.problem is None and self.data is not None and _count(self.data) == 0

    @property
    def recovered(self) -> int:
        """Return the number of questions whose right choice is read from the row's text; see `read_rows`."""
        return _read(self.data).recovered if self.data is not None and self.form is not None else 0


def mmlu_branch_tasks(
    folder: Path,
    *,
    few_shots: int = 5,
    first_n: int | None = None,
    system_prompt: str | None = None,
    trust: bool = False,
) -> list[MMLUBranchTask]:
    """Return the tasks of group or tag `mmlu_pr` in a folder that have questions, sorted by name.

    Five solved examples are what `instructlab-eval` 0.6.0 gives where it isn't told otherwise. Raises
    DataError where there is no task, or none with questions; `check_mmlu_branch` tells which of them can be
    asked.
    """
    tasks = []
    for file in find_task_files(folder, trust=trust):
        problem = file.problem
        if problem is None and file.data is not None:
            try:
                _count(file.data)
            except DataError as error:
                problem = str(error)  # as far as it is known before the rows are parsed
        task = MMLUBranchTask(
            file.name, file.path, file.data, file.form, few_shots, first_n, system_prompt, problem=problem
        )
        tasks.append(task)
    with_questions = [task for task in tasks if not task.is_empty]
    if not with_questions:
        raise DataError(
            f"{escape(folder)}: no task has a question, since InstructLab's SDG filtered all of them out; "
            "generate the tasks again"
        )
    return with_questions


def check_mmlu_branch(tasks: Sequence[MMLUBranchTask]) -> None:
    """Raise DataError where a task is malformed, or has fewer questions than solved examples."""
    for task in tasks:
        if task.problem is not None:
            raise DataError(task.problem)
        if task.form is None:
            with heavy_libraries:
                _load_by_lm_eval(task)
            continue
        count = len(_branch_task_rows(task))
        if count < task.few_shots:
            raise DataError(
                f"{escape(task.data)}: expected {task.few_shots} questions or more, as solved examples are "
                f"drawn from them (got {count}); ask for fewer with --eval-few-shots"
            )


async def score_mmlu_branch(task: MMLUBranchTask, model: Model) -> Score:
    """Return the accuracy of a model on a task: the share of questions whose right choice is the likeliest.

    The likelihood of a choice is that of all its tokens, as lm-eval's `acc` has it.
    """
    load = _load_branch_questions if task.form is not None else _load_by_lm_eval
    questions = await heavy_work.call(functools.partial(load, task))
    return sampled_score(await score_mmlu_questions(questions, model), task.rows, task.size)


# --- SDG's own tasks ---


def _branch_task_rows(task: MMLUBranchTask) -> tuple[MMLURow, ...]:
    return _read(task.data).questions if task.data is not None else ()


_read = functools.cache(read_rows)
_count = functools.cache(count_rows)


def _load_branch_questions(task: MMLUBranchTask) -> list[MMLUQuestion]:
    """Return the task's questions as lm-eval would put them.

    As there, the solved examples are drawn anew for each question, and from all questions: now and
    then the question itself is among them, with its answer. They are drawn for questions that aren't
    asked too, so that those of a sample are those of the whole.
    """
    rows = _branch_task_rows(task)
    passages = _read(task.data).passages if task.data is not None else ()
    draw = random.Random(SEED)  # noqa: S311 - nothing secret; it must be lm-eval's
    examples = [draw.sample(rows, task.few_shots) for _ in rows]
    blank = " " if task.system_prompt is None else ""  # a chat template ends where the answer begins
    return [
        MMLUQuestion(
            str(number),
            _prompt(task, examples[number], row),
            tuple(blank + choice for choice in _choices(task, row)),
            row.answer,
            row.question.strip(),
            tuple(row.choices),
            passages[number],
        )
        for number, row in choose_rows(rows, task.first_n, task.rows)
    ]


def _prompt(task: MMLUBranchTask, examples: Sequence[MMLURow], row: MMLURow) -> Prompt:
    """Return the solved examples and the question as one text, or as the turns of a chat."""
    solved = [
        (_question_with_choices(example), _choices(task, example)[example.answer]) for example in examples
    ]
    if task.system_prompt is None:
        return "".join(f"{question} {answer}\n\n" for question, answer in solved) + _question_with_choices(
            row
        )
    messages: list[Message] = []
    if task.system_prompt:
        messages.append({"role": "system", "content": task.system_prompt})
    for question, answer in solved:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return (*messages, {"role": "user", "content": _question_with_choices(row)})


def _question_with_choices(row: MMLURow) -> str:
    choices = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, row.choices, strict=True))
    return f"{row.question.strip()}\n{choices}Answer:"


def _choices(task: MMLUBranchTask, row: MMLURow) -> Sequence[str]:
    return LETTERS if task.form == "letters" else row.choices


# --- tasks of another form, whose author the user trusts ---


def _load_by_lm_eval(task: MMLUBranchTask) -> list[MMLUQuestion]:
    """Return the questions of any multiple-choice task; this runs the code in the task."""
    try:
        definition = _branch_definition(task)
        docs = list(definition.eval_docs)
        questions = [_ask(definition, task, doc, number) for number, doc in enumerate(docs[: task.first_n])]
        texts = [str(definition.doc_to_text(doc)).strip() for doc in docs]
        passages = passages_of([own_passage(doc) for doc in docs], texts)
        return [
            replace(question, passage=passages[number])
            for number, question in choose_rows(questions, numbers=task.rows)
        ]
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{escape(task.file)}: lm-eval could not load the task ({type(error).__name__}: {escape(error)})"
        ) from None


@functools.cache
def _count_by_lm_eval(task: MMLUBranchTask) -> int:
    return len(_load_by_lm_eval(task))


def _branch_definition(task: MMLUBranchTask) -> Any:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(task.file)
    for key in ("tag", "group", "task_list"):  # belong to lm-eval's index, not to a task
        config.pop(key, None)
    if task.data is not None:
        config["dataset_kwargs"] = {"data_files": {"test": str(task.data)}}
    definition = ConfigurableTask(config=config)
    own = definition.config
    if (
        own.output_type != "multiple_choice"
        or own.process_results
        or own.filter_list
        or definition.multiple_input
    ):
        raise DataError(
            f"{escape(task.file)}: only multiple choice with one prompt and lm-eval's own scoring is "
            "supported"
        )
    definition.set_fewshot_seed(SEED)
    return definition


def _ask(definition: Any, task: MMLUBranchTask, doc: Any, number: int) -> MMLUQuestion:
    prompts: list[Prompt] = []

    def keep(messages: Sequence[Message], **_: Any) -> str:
        prompts.append(tuple(messages))
        return ""

    chat = (
        {}
        if task.system_prompt is None
        else {
            "system_instruction": task.system_prompt,
            "apply_chat_template": True,
            "fewshot_as_multiturn": True,
            "chat_template": keep,
        }
    )
    shots = 0 if definition.config.num_fewshot == 0 else task.few_shots
    text = definition.fewshot_context(doc, shots, gen_prefix=definition.doc_to_prefix(doc), **chat)
    choices = definition.doc_to_choice(doc)
    requests = definition.construct_requests(doc, text, apply_chat_template=bool(chat))[: len(choices)]
    answer = definition.doc_to_target(doc)
    if isinstance(answer, str):
        answer = choices.index(answer) if answer in choices else -1
    if not isinstance(answer, int) or not 0 <= answer < len(choices) <= len(ascii_uppercase):
        raise DataError(
            f"{escape(task.file)}: question {number} must have one right answer among at most 26 choices"
        )
    if answer < len(LETTERS):
        check_answer(doc, answer, f"{escape(task.file)}, question {number}")
    continuations = tuple(request.args[1] for request in requests)
    prompt = prompts[0] if prompts else text
    question = str(definition.doc_to_text(doc)).strip()
    return MMLUQuestion(str(number), prompt, continuations, answer, question, tuple(map(str, choices)))


def _read_branch_tasks(settings: Settings) -> list[MMLUBranchTask]:
    if settings.tasks_dir is None:
        raise ConfigurationError("MMLU-Branch needs --eval-tasks-dir, the folder of its tasks")
    tasks = mmlu_branch_tasks(
        settings.tasks_dir,
        few_shots=settings.few_shots,
        first_n=settings.first_n,
        system_prompt=settings.system_prompt,
        trust=settings.trust_tasks,
    )
    broken = [task for task in tasks if task.problem is not None]  # not silently left out of a sample
    sampled = sample_tasks([task for task in tasks if task.problem is None], settings)
    return sorted([*sampled, *broken], key=lambda task: task.name)


def _unasked_notes(settings: Settings) -> list[str]:
    """Return sentences about older task folders, tasks without questions, and shifted letters."""
    assert settings.tasks_dir is not None  # noqa: S101  (it is needed)
    folders, notes = sdg_folders(settings.tasks_dir), []
    if len(folders) > 1:
        notes.append(f"{escape(folders[0])} is read, the newest of {len(folders):,} task folders")
    tasks = {task.name: task for task in mmlu_branch_tasks(settings.tasks_dir, trust=settings.trust_tasks)}
    notes += [
        f"the task {escape(file.name)} has no questions and is left out"
        for file in find_task_files(settings.tasks_dir, trust=settings.trust_tasks)
        if file.name not in tasks
    ]
    for task in tasks.values():
        with contextlib.suppress(DataError):  # told where the task is asked
            if task.recovered:
                notes.append(
                    f"warning: in {task.recovered:,} of {task.size:,} rows of {escape(task.name)} the "
                    "number of the right choice differs from its text; the text decides"
                )
    return notes


BENCHMARK = Benchmark(
    name="mmlu_branch",
    title="MMLU-Branch",
    question=MMLUBranchTask,
    read=_read_branch_tasks,
    of_tasks=True,
    metrics={"acc": 1.0},
    needs=(Need("tasks_dir"),),
    own_settings=("tasks_dir", "trust_tasks"),
    compared="each",
    check=check_mmlu_branch,
    unasked=_unasked_notes,
)
