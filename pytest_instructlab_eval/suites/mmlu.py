"""MMLU: 57 tasks of four-choice questions, asked as lm-eval asks them (https://arxiv.org/abs/2009.03300).

The definitions and prompts are lm-eval's own. What is ours is that the few-shot part of a task's
prompt is rendered once, and that a question is one request.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from pytest_instructlab_eval.data.mmlu_rows import MMLU_TEST_ROWS, MMLURow, mmlu_file, read_mmlu
from pytest_instructlab_eval.errors import ContextLengthError, DataError, ModelError
from pytest_instructlab_eval.gates.sentences import close_matches, name_list
from pytest_instructlab_eval.models import Message, Model
from pytest_instructlab_eval.models.background import heavy_libraries, heavy_work
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import MIN_TASKS, MIN_TASKS_VARIABLE, Settings
from pytest_instructlab_eval.suites.benchmark import Benchmark
from pytest_instructlab_eval.suites.sampling import choose_rows, sample_tasks, sampled_score

PREFIX = "mmlu_"
SUBJECT = "--eval-mmlu-subject"
FEWER_SHOTS = "; --eval-few-shots says how many solved examples are in it"
FEWER_TASKS = f"{MIN_TASKS_VARIABLE} is set, so only the first {MIN_TASKS} of MMLU's tasks are asked"
NO_DIFFERENCE = (
    "all choices have the same likelihood in every question of the task, so nothing was measured; check the "
    "model's weights, and whether the server computes log-probabilities"
)


@dataclasses.dataclass(frozen=True)
class MMLUTask:
    """One subject, such as "anatomy", and how to ask it; the questions are loaded when it is asked.

    `data` is the folder of the published CSV files, or None for the data set's hub. `rows` are the
    numbers of those that are asked, from 0; where it is None, the first `first_n` are, or all.
    """

    subject: str
    data: Path | None = None
    few_shots: int = 5
    first_n: int | None = None
    system_prompt: str | None = None
    rows: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """Return lm-eval's name of the task."""
        return PREFIX + self.subject

    @property
    def id(self) -> str:
        """Return the name of the test."""
        return self.subject

    @property
    def group(self) -> str:
        """Return the task itself: it is a group of its own."""
        return self.subject

    @property
    def content(self) -> object:
        """Return the content of its questions; None where they are not known before it is loaded."""
        if self.data is None:
            return None
        return _mmlu_rows(self.data, "test", self.subject), _mmlu_rows(self.data, "dev", self.subject)

    @property
    def requests(self) -> int | None:
        """Return the number of its requests; None where they are not known before it is loaded."""
        if self.rows is not None:
            return len(self.rows)
        if self.data is None:
            return self.first_n
        return self.size if self.first_n is None else min(self.size, self.first_n)

    @property
    def size(self) -> int:
        """Return the number of its questions; for the hub's data, of the published ones."""
        if self.data is None:
            return MMLU_TEST_ROWS[self.subject]
        return _row_count(self.data, self.subject)


@dataclasses.dataclass(frozen=True)
class MMLUQuestion:
    """One question as it is put to the model; `answer` is the index of the right choice.

    `continuations` are what is scored after the prompt. `text` is the question itself, without solved
    examples, and `choices` the texts of its choices. Questions of a task with one `passage` are about one
    text; it is empty where no other question is about the same.
    """

    id: str
    prompt: str | tuple[Message, ...]
    continuations: tuple[str, ...]
    answer: int
    text: str = ""
    choices: tuple[str, ...] = ()
    passage: str = ""


def mmlu_subjects() -> tuple[str, ...]:
    """Return the 57 subjects, from the definitions of the installed lm-eval (which is not imported)."""
    names = sorted(path.stem for path in _definitions().glob(f"{PREFIX}*.yaml"))
    return tuple(name.removeprefix(PREFIX) for name in names)


def mmlu_tasks(
    *,
    data: Path | None = None,
    few_shots: int = 5,
    first_n: int | None = None,
    system_prompt: str | None = None,
) -> list[MMLUTask]:
    """Return all tasks, asked in this way."""
    return [MMLUTask(subject, data, few_shots, first_n, system_prompt) for subject in mmlu_subjects()]


def check_mmlu(tasks: Sequence[MMLUTask]) -> None:
    """Raise DataError where the tasks' data is missing or malformed; the hub is asked for the first alone."""
    for task in tasks:
        if task.data is None:
            with heavy_libraries:
                _load_mmlu_questions(task)
            return
        try:
            _mmlu_rows(task.data, "test", task.subject)
            examples = len(_mmlu_rows(task.data, "dev", task.subject))
        except DataError as error:
            there = [one.subject for one in tasks if mmlu_file(task.data, "test", one.subject).is_file()]
            if not 0 < len(there) < len(tasks):
                raise
            raise DataError(
                f"{error}; the folder has {len(there)} of {len(tasks)} subjects: add the others, or ask only "
                f"those that it has with {SUBJECT}, as in {SUBJECT} {there[0]}"
            ) from None
        if examples < task.few_shots:
            raise DataError(
                f"{task.data}: expected {task.few_shots} examples for {task.subject} (got {examples}); ask "
                "for fewer with --eval-few-shots"
            )


async def score_mmlu(task: MMLUTask, model: Model) -> Score:
    """Return the accuracy of a model on a task: the share of questions whose right choice is the likeliest.

    `samples` has every question's choice and log-likelihoods. A question that couldn't be asked is
    counted as an error and left out of the mean.
    """
    questions = await heavy_work.call(functools.partial(_load_mmlu_questions, task))
    return sampled_score(await score_mmlu_questions(questions, model), task.rows, task.size)


async def score_mmlu_questions(questions: Sequence[MMLUQuestion], model: Model) -> Score:
    """Return the accuracy on questions, which are all asked at once; see `score_mmlu`.

    Where no question has two different likelihoods, nothing was measured: all are errors.
    """
    samples = await asyncio.gather(*(_answer_mmlu_question(question, model) for question in questions))
    if all(len(set(sample.logprobs)) < 2 for sample in samples):
        samples = [
            sample if sample.value is None else dataclasses.replace(sample, value=None, error=NO_DIFFERENCE)
            for sample in samples
        ]
    return Score.mean_of(samples, metric="acc")


async def _answer_mmlu_question(question: MMLUQuestion, model: Model) -> Sample:
    sample = Sample(
        question.id,
        None,
        answer=ascii_uppercase[question.answer],
        question=question.text,
        choices=question.choices,
        passage=question.passage,
    )
    try:
        logprobs = await model.choice_logprobs(question.prompt, question.continuations)
    except ModelError as error:
        hint = FEWER_SHOTS if isinstance(error, ContextLengthError) else ""
        return dataclasses.replace(sample, error=f"{error}{hint}")
    choice = max(range(len(logprobs)), key=logprobs.__getitem__)  # the first of equals, as numpy's argmax
    return dataclasses.replace(
        sample,
        value=1.0 if choice == question.answer else 0.0,
        choice=ascii_uppercase[choice],
        logprobs=tuple(logprobs),
        way=logprobs.way if isinstance(logprobs, ChoiceLogprobs) else "",
    )


def _load_mmlu_questions(task: MMLUTask) -> list[MMLUQuestion]:
    """Return the task's questions with their prompts, as lm-eval's `fewshot_context` would make each."""
    definition = _mmlu_definition(task)
    every = definition.eval_docs.to_list()  # in a fraction of the time of one row after another
    if task.rows and task.rows[-1] >= len(every):
        raise DataError(
            f"the hub: expected {task.size} questions for {task.subject} (got {len(every)}); take the sample "
            "from a local copy with --eval-mmlu-data"
        )
    numbers, docs = zip(*choose_rows(every, task.first_n, task.rows), strict=True)
    chat = task.system_prompt is not None
    requests = definition.construct_requests(docs[0], "", apply_chat_template=chat)
    continuations = tuple(request.args[1] for request in requests)
    return [
        MMLUQuestion(
            sys.intern(str(number)),  # the tasks have the same numbers
            prompt,
            continuations,
            definition.doc_to_target(doc),
            str(doc["question"]).strip(),
            tuple(map(str, doc["choices"])),
        )
        for number, prompt, doc in zip(numbers, _prompts(definition, task, docs), docs, strict=True)
    ]


def _prompts(definition: Any, task: MMLUTask, docs: Sequence[Any]) -> list[str | tuple[Message, ...]]:
    """Return each question's prompt, the same but for its own text at the end.

    With a system prompt these are the messages to which the server applies the model's chat template.
    """
    from lm_eval.utils import env

    render = env.from_string(definition.config.doc_to_text).render  # lm-eval would compile it for each anew
    texts = [str(render(**doc)) for doc in docs]
    if texts[0] != definition.doc_to_text(docs[0]):
        texts = [str(definition.doc_to_text(doc)) for doc in docs]
    if task.system_prompt is None:
        head = str(definition.fewshot_context(docs[0], task.few_shots)).removesuffix(texts[0])
        return [head + text for text in texts]
    rendered: list[list[Message]] = []

    def keep(messages: list[Message], **_: Any) -> str:
        rendered.append(messages)
        return ""

    definition.fewshot_context(
        docs[0],
        task.few_shots,
        system_instruction=task.system_prompt,
        apply_chat_template=True,
        fewshot_as_multiturn=True,  # as lm-eval's `simple_evaluate` has it, which InstructLab leaves so
        chat_template=keep,
    )
    *earlier, last = rendered[0]
    head = last["content"].removesuffix(texts[0])
    return [(*earlier, {"role": last["role"], "content": head + text}) for text in texts]


def _mmlu_definition(task: MMLUTask) -> Any:
    """Return lm-eval's task, over the hub's data or the rows of the CSV files."""
    from lm_eval.api.task import ConfigurableTask

    class LocalTask(ConfigurableTask):  # type: ignore[misc]
        def download(self, *_: Any, **__: Any) -> None:
            if task.data is not None:
                self.dataset = {split: _dataset(task, task.data, split) for split in ("test", "dev")}

    config = dict(_mmlu_index()[task.name].cfg)
    config.pop("tag", None)  # belongs to lm-eval's index, not to a task
    try:
        return (LocalTask if task.data else ConfigurableTask)(config=config)
    except Exception as error:
        raise DataError(
            f"MMLU's data for {task.subject} could not be loaded from the hub ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}); give a local copy with --eval-mmlu-data, or leave MMLU "
            "out with --eval-benchmark"
        ) from None


def _dataset(task: MMLUTask, data: Path, split: str) -> Any:
    """Return the rows of a CSV file as lm-eval has the hub's."""
    from datasets import Dataset
    from pyarrow import Table

    rows = [
        {
            "question": row.question,
            "subject": task.subject,
            "choices": list(row.choices),
            "answer": row.answer,
        }
        for row in _mmlu_rows(data, split, task.subject)
    ]
    # Without a fingerprint it computes one in most of a task's time, for a cache that nothing here uses.
    return Dataset(Table.from_pylist(rows), fingerprint=f"{task.name}_{split}")


@functools.cache
def _row_count(data: Path, subject: str) -> int:
    return len(_mmlu_rows(data, "test", subject))


@functools.lru_cache(maxsize=4)  # those that are read again at once; all of MMLU would stay to the end
def _mmlu_rows(data: Path, split: str, subject: str) -> tuple[MMLURow, ...]:
    return read_mmlu(data, split, subject)


@functools.cache
def _mmlu_index() -> Any:
    """Return lm-eval's index of MMLU's folder alone; its whole index takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False, include_path=str(_definitions())).task_index


@functools.cache
def _definitions() -> Path:
    spec = importlib.util.find_spec("lm_eval")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(locations[0], "tasks", "mmlu", "default") if locations else Path("lm_eval")
    if not folder.is_dir():
        raise DataError(
            "the installed lm-eval has no MMLU tasks; reinstall it: pip install --force-reinstall lm-eval"
        )
    return folder


def _read_mmlu_tasks(settings: Settings) -> list[MMLUTask]:
    subjects = mmlu_subjects()
    for name in settings.mmlu_subject:
        if name not in subjects:
            suggestion = close_matches(name, subjects) or "; see the names of the published files"
            raise DataError(f"{SUBJECT}: expected a subject of MMLU (got {name!r}){suggestion}")
    tasks = mmlu_tasks(
        data=settings.mmlu_data,
        few_shots=settings.few_shots,
        first_n=settings.first_n,
        system_prompt=settings.system_prompt,
    )
    if settings.mmlu_subject:
        tasks = [task for task in tasks if task.subject in settings.mmlu_subject]
    if settings.min_tasks:
        tasks = tasks[:MIN_TASKS]
    check_mmlu(tasks)
    return sample_tasks(tasks, settings)


def _unasked(settings: Settings) -> list[str]:
    notes = [FEWER_TASKS] if settings.min_tasks else []
    if settings.mmlu_subject:
        chosen, every = sorted(set(settings.mmlu_subject)), len(mmlu_subjects())
        notes.append(f"{len(chosen)} of MMLU's {every} subjects are asked ({SUBJECT}): {name_list(chosen)}")
    return notes


BENCHMARK = Benchmark(
    name="mmlu",
    title="MMLU",
    question=MMLUTask,
    read=_read_mmlu_tasks,
    of_tasks=True,
    metrics={"acc": 1.0},
    own_settings=("mmlu_data", "mmlu_subject"),
    by_default=True,
    fixed_groups=True,
    unasked=_unasked,
)
