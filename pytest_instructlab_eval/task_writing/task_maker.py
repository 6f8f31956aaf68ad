"""Makes tasks of knowledge files: asks the teacher about each passage, and writes the confirmed questions."""

from __future__ import annotations

import asyncio
import collections
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from pytest_instructlab_eval.data.taxonomy import KNOWLEDGE, QnaFile
from pytest_instructlab_eval.errors import ContextLengthError, ModelError, UnreachableError
from pytest_instructlab_eval.task_writing.drafts import (
    DUPLICATE,
    FAILED,
    Draft,
    arrange_questions,
    without_duplicates,
)
from pytest_instructlab_eval.task_writing.task_folder import TaskFolder, task_names
from pytest_instructlab_eval.task_writing.teacher import Passage, Teacher, passages

MOST_SUBJECT = 100  # characters


@dataclass(frozen=True)
class PassageOutcome:
    """The outcome of a passage: how many questions were kept, how many rejected and why, the first error.

    `line` is that of the passage's first pair in the qna.yaml.
    """

    line: int
    kept: int
    rejected: Counter[str]
    error: str | None = None


@dataclass(frozen=True)
class FileOutcome:
    """The outcome of a qna.yaml: its task, None where there was nothing to write.

    `letters` counts the letters of the right answers, by their index. Of a task that an earlier run
    made, nothing but `earlier`, the number of its questions, is known.
    """

    path: str
    task: str | None
    passages: tuple[PassageOutcome, ...] = ()
    letters: Counter[int] = field(default_factory=Counter)
    earlier: int = 0

    @property
    def kept(self) -> int:
        """Return the number of this run's questions in the task."""
        return sum(passage.kept for passage in self.passages)

    @property
    def rejected(self) -> Counter[str]:
        """Return the number of rejected questions, by reason."""
        return sum((passage.rejected for passage in self.passages), Counter())


@dataclass(frozen=True)
class TaskJob:
    """A file to make a task of."""

    file: QnaFile
    name: str
    passages: tuple[Passage, ...]
    made_from: str


async def make_tasks(
    files: Sequence[QnaFile], teacher: Teacher, folder: TaskFolder, *, concurrency: int
) -> AsyncGenerator[FileOutcome, None]:
    """Make a task of each file's passages, as many of them at a time; yields files as they are written.

    A task that is finished already is left as it is. Raises DataError before anything is asked where a
    file would have to be overwritten, and UnreachableError where the teacher stops answering.
    """
    names = task_names([file.path for file in files])
    jobs = []
    for file in files:
        file_passages = passages(file)
        job = TaskJob(file, names[file.path], file_passages, teacher.fingerprint(file_passages))
        earlier = folder.finished(job.name, job.made_from) if file_passages else None
        if earlier is None:
            jobs.append(job)
        else:
            yield FileOutcome(file.path, job.name, earlier=earlier)
    gate = asyncio.Semaphore(concurrency)  # first come, first served: so files are finished one by one
    tasks = [asyncio.ensure_future(_make_task(job, teacher, folder, gate)) for job in jobs]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _make_task(
    job: TaskJob, teacher: Teacher, folder: TaskFolder, gate: asyncio.Semaphore
) -> FileOutcome:
    exams = await asyncio.gather(*(_examine(passage, teacher, gate) for passage in job.passages))
    kept = without_duplicates([draft for exam in exams for draft in exam.drafts])
    if not kept:
        folder.discard(job.name)
        return FileOutcome(job.file.path, None, _outcomes(exams, kept))
    questions = arrange_questions(kept, random.Random(f"{teacher.seed} {job.file.path}"))  # noqa: S311 - nothing secret
    subject = " ".join((job.file.domain or KNOWLEDGE).split())
    folder.write(job.name, questions, subject[:MOST_SUBJECT], job.made_from)
    letters = Counter(question.answer for question in questions)
    return FileOutcome(job.file.path, job.name, _outcomes(exams, kept), letters)


@dataclass(frozen=True)
class _Exam:
    """The questions of a passage before they are compared with those of the others."""

    passage: Passage
    drafts: list[Draft]
    rejected: Counter[str]
    error: str | None = None


async def _examine(passage: Passage, teacher: Teacher, gate: asyncio.Semaphore) -> _Exam:
    async with gate:
        try:
            written = await teacher.write(passage)
        except UnreachableError:
            raise
        except ModelError as error:
            return _Exam(passage, [], Counter({FAILED: teacher.count}), _error_with_advice(error))
        looks = await asyncio.gather(*(_look(passage, entry, teacher) for entry in written))
    exam = _Exam(
        passage,
        [],
        Counter(),
        next((_error_with_advice(look) for look in looks if isinstance(look, ModelError)), None),
    )
    for look in looks:
        if isinstance(look, Draft):
            exam.drafts.append(replace(look, passage=passage.text.strip()))
        else:
            exam.rejected[look if isinstance(look, str) else FAILED] += 1
    return exam


async def _look(passage: Passage, entry: Draft | str, teacher: Teacher) -> Draft | str | ModelError:
    """Return the question where it is confirmed, else why it isn't."""
    if isinstance(entry, str):
        return entry
    try:
        return await teacher.objection(passage, entry) or entry
    except UnreachableError:
        raise
    except ModelError as error:
        return error


def _error_with_advice(error: ModelError) -> str:
    fits = "; a smaller --max-tokens leaves more room" if isinstance(error, ContextLengthError) else ""
    return f"{error}{fits}"


def _outcomes(exams: Sequence[_Exam], kept: Sequence[Draft]) -> tuple[PassageOutcome, ...]:
    """Return what became of each passage, when duplicates are left out; drafts are told apart by identity."""
    kept_ids = {id(draft) for draft in kept}
    outcomes = []
    for exam in exams:
        count = sum(id(draft) in kept_ids for draft in exam.drafts)
        duplicates = len(exam.drafts) - count
        rejected = exam.rejected + collections.Counter({DUPLICATE: duplicates})
        outcomes.append(PassageOutcome(exam.passage.line, count, rejected, exam.error))
    return tuple(outcomes)
