"""The command `python -m pytest_instructlab_eval tasks`: its options and its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from pytest_instructlab_eval.data.taxonomy import KNOWLEDGE, QnaFile, Taxonomy
from pytest_instructlab_eval.errors import DataError, EvalError
from pytest_instructlab_eval.escaping import escape_line, escape_text, printable_name
from pytest_instructlab_eval.models import Endpoint, ServedModel
from pytest_instructlab_eval.models.api_key import AUTHORIZATION
from pytest_instructlab_eval.parsers import (
    parse_header,
    parse_integer,
    parse_seconds,
    parse_text,
    parse_timeout,
    parse_url,
    parse_variable,
)
from pytest_instructlab_eval.task_writing.outcome_lines import file_lines, summary_lines
from pytest_instructlab_eval.task_writing.task_folder import TaskFolder
from pytest_instructlab_eval.task_writing.task_maker import FileOutcome, make_tasks
from pytest_instructlab_eval.task_writing.teacher import Teacher

MOST_QUESTIONS = 50  # on one passage, which a reply can hold
FEW_SHOTS = 5  # solved examples that MMLU-Branch takes from the task's own questions, unless told otherwise
INTERRUPTED = 130  # as shells have it
Command = TypeVar("Command", bound=Callable[..., object])
FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class TasksRequest:
    """The options of the command."""

    taxonomy: Path
    branch: str | None
    base_branch: str | None
    base_url: str
    model: str
    api_key_env: str | None
    api_key_header: str
    out: Path
    overwrite: bool
    questions: int
    seed: int
    max_tokens: int
    max_concurrency: int
    request_timeout: float
    wait: float


def _parsed_option(
    name: str,
    metavar: str,
    parse: Callable[[str], object],
    text: str,
    *,
    required: bool = False,
    default: str | None = None,
) -> Callable[[Command], Command]:
    """Return an option whose value is read as the plugin's own options are."""

    def read(context: click.Context, option: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    options: dict[str, Any] = {} if default is None else {"default": default}  # to click, None is a value too
    return click.option(name, metavar=metavar, callback=read, help=text, required=required, **options)


@click.command(context_settings={"show_default": True})
@click.option("--taxonomy", type=FOLDER, required=True, metavar="PATH", help="read this taxonomy")
@click.option(
    "--branch", metavar="REF", help="read it at this branch, tag or commit  [default: the folder as it is]"
)
@click.option(
    "--base-branch",
    metavar="REF",
    help="take only the files that are new or changed since this ref  [default: all]",
)
@_parsed_option(
    "--base-url", "URL", parse_url, "ask the teacher at this OpenAI-compatible server", required=True
)
@_parsed_option("--model", "TEACHER", parse_text, "the teacher's name at its server", required=True)
@_parsed_option(
    "--api-key-env", "VARIABLE", parse_variable, "read the server's key from this environment variable"
)
@_parsed_option(
    "--api-key-header",
    "NAME",
    parse_header,
    'send the key in this header; the default sends it after "Bearer", another one as it is',
    default=AUTHORIZATION,
)
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="write the tasks to this folder")
@click.option("--overwrite", is_flag=True, help="replace tasks of the same names in that folder")
@_parsed_option(
    "--questions", "N", parse_integer(1, MOST_QUESTIONS), "ask for N questions on each passage", default="5"
)
@_parsed_option("--seed", "N", parse_integer(0), "shuffle the choices with this seed", default="0")
@_parsed_option(
    "--max-tokens",
    "N",
    parse_integer(1),
    "allow a reply at most N tokens, with its reasoning",
    default="2048",
)
@_parsed_option("--max-concurrency", "N", parse_integer(1), "send at most N requests at a time", default="64")
@_parsed_option(
    "--request-timeout", "SECONDS", parse_timeout, "give up a request after this many seconds", default="600"
)
@_parsed_option(
    "--wait", "SECONDS", parse_seconds, "wait this many seconds for the server to start", default="0"
)
def tasks(**options: Any) -> None:
    """Write MMLU-Branch tasks on a taxonomy's knowledge with a teacher model.

    Each context of a knowledge file is a passage to ask about. A question is kept when the teacher, asked
    it with the passage, chooses the right one of the shuffled choices. A command that was interrupted goes
    on where it stopped when it is given again.
    """
    request = TasksRequest(**options)
    outcomes: list[FileOutcome] = []
    try:
        asyncio.run(_make_all_tasks(request, outcomes))
    except EvalError as error:
        _show_summary(request, outcomes)
        raise click.ClickException(escape_text(f"{error}{_kept(outcomes)}")) from None
    except KeyboardInterrupt:
        _show_summary(request, outcomes)
        click.echo(f"Interrupted{_kept(outcomes)}", err=True)
        raise SystemExit(INTERRUPTED) from None
    _show_summary(request, outcomes)
    if not any(outcome.task for outcome in outcomes):
        raise click.ClickException("no task was written: no passage gave a valid question")


async def _make_all_tasks(request: TasksRequest, outcomes: list[FileOutcome]) -> None:
    """Make the tasks; print the outcome of each file, and add it to `outcomes`, as soon as it is written."""
    folder = TaskFolder(request.out, overwrite=request.overwrite)
    files = _knowledge(request)
    variable = request.api_key_env
    endpoint = Endpoint(
        request.base_url,
        api_key=os.environ[variable] if variable else None,
        key_source=f"--api-key-env {variable}" if variable else "--api-key-env",
        key_header=request.api_key_header,
        budget=request.max_concurrency,
        timeout=request.request_timeout,
        prefix="--",
    )
    model = ServedModel(request.model, endpoint)
    teacher = Teacher(model, request.questions, request.seed, request.max_tokens)
    making = make_tasks(files, teacher, folder, concurrency=request.max_concurrency)
    try:
        await model.find(request.wait)
        async with contextlib.aclosing(making):
            async for outcome in making:
                outcomes.append(outcome)
                click.echo("\n".join(map(escape_line, file_lines(outcome))))
    finally:
        await endpoint.close()


def _knowledge(request: TasksRequest) -> list[QnaFile]:
    """Return the knowledge files to make tasks of; raises DataError where there are none."""
    taxonomy = Taxonomy(request.taxonomy)
    only = None
    if request.base_branch is not None:
        changed = taxonomy.changed(request.base_branch, request.branch)
        only = [path for path in changed if path.split("/")[0] == KNOWLEDGE]
    files = taxonomy.read(request.branch, include_knowledge=True, only=only)
    knowledge_files = [file for file in files if file.is_knowledge]
    if not knowledge_files:
        at = f" at {printable_name(request.branch)}" if request.branch else ""
        since = (
            f" that is new or changed since {printable_name(request.base_branch)}"
            if request.base_branch
            else ""
        )
        raise DataError(
            f"the taxonomy {printable_name(str(request.taxonomy))}{at} has no {KNOWLEDGE} file{since}"
        )
    return knowledge_files


def _show_summary(request: TasksRequest, outcomes: Sequence[FileOutcome]) -> None:
    """Print the table, and the next command to type."""
    if not outcomes:
        return
    click.echo("\n".join(["", *map(escape_line, summary_lines(outcomes))]))
    sizes = [outcome.kept + outcome.earlier for outcome in outcomes if outcome.task]
    if sizes:
        few = f" --eval-few-shots {min(sizes)}" if min(sizes) < FEW_SHOTS else ""
        click.echo(
            "\npytest --eval-model NAME --eval-base-url URL --eval-benchmark mmlu_branch "
            f"--eval-tasks-dir {shlex.quote(str(request.out))}{few}"
        )


def _kept(outcomes: Sequence[FileOutcome]) -> str:
    """Return the end of a sentence that says what an interrupted run leaves."""
    written = sum(outcome.task is not None for outcome in outcomes)
    if not written:
        return ""
    files = "1 file" if written == 1 else f"{written} files"
    return f"; the tasks of {files} are kept, and the same command goes on from there"
