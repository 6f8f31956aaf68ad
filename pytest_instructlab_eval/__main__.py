"""The command line for scripts: `python -m pytest_instructlab_eval best eval_output`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pytest_instructlab_eval.errors import DataError, EvalError, UnreachableError
from pytest_instructlab_eval.knowledge_tasks import (
    FileOutcome,
    TaskFolder,
    Teacher,
    file_lines,
    make_tasks,
    summary_lines,
)
from pytest_instructlab_eval.models import Endpoint, ServedModel
from pytest_instructlab_eval.options import (
    parse_integer,
    parse_seconds,
    parse_text,
    parse_timeout,
    parse_url,
    parse_variable,
)
from pytest_instructlab_eval.reports import read_results
from pytest_instructlab_eval.reports.ranking import rank
from pytest_instructlab_eval.taxonomy import KNOWLEDGE, QnaFile, Taxonomy, printable

__all__ = ["main"]

FEW_SHOTS = 5  # solved examples that MMLU-Branch gives unless told otherwise, out of the task's own questions
INTERRUPTED = 130  # as shells have it
MOST_QUESTIONS = 50  # on one passage; a reply has an end
FOLDER = click.Path(path_type=Path)


@click.group(help="What comes before and after evaluation runs, for scripts.")
def main() -> None:
    """The commands are below."""


@main.command()
@click.argument("output", type=click.Path(exists=True, path_type=Path))
def best(output: Path) -> None:
    """Print the path or name of the best model of the run in OUTPUT, a results.json or its folder."""
    path = output / "results.json" if output.is_dir() else output
    try:
        results = read_results(path)
    except EvalError as error:
        raise click.ClickException(str(error)) from None
    ranks = rank(results)
    scored = {result.model for result in results if result.value is not None}
    if not ranks and len(scored) != 1:
        raise click.ClickException(f"{path} has no two models with a score on every benchmark to choose from")
    models = json.loads(path.read_text(encoding="utf-8")).get("models", {})
    winner = ranks[0].model if ranks else scored.pop()
    click.echo(models.get(winner, winner))


# --- tasks ---


def parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Read an option's value as the plugin's own options are read."""

    def read(context: click.Context, option: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read


@dataclass(frozen=True)
class Request:
    """What `tasks` was asked for; the fields are its options."""

    taxonomy: Path
    branch: str | None
    base_branch: str | None
    base_url: str
    model: str
    api_key_env: str | None
    out: Path
    overwrite: bool
    questions: int
    seed: int
    max_tokens: int
    max_concurrency: int
    request_timeout: float
    wait: float

    @property
    def next_command(self) -> str:
        """How the tasks are run."""
        return (
            f"pytest --eval-model NAME --eval-base-url URL --eval-benchmark mmlu_branch --eval-tasks-dir "
            f"{shlex.quote(str(self.out))}"
        )


@main.command(context_settings={"show_default": True})
@click.option("--taxonomy", type=FOLDER, required=True, metavar="PATH", help="the taxonomy")
@click.option(
    "--branch", metavar="REF", help="what is read of it, out of its Git objects; without, the folder as it is"
)
@click.option(
    "--base-branch", metavar="REF", help="take only files that are new or changed since; without, all"
)
@click.option(
    "--base-url",
    callback=parsed(parse_url),
    required=True,
    metavar="URL",
    help="the teacher's OpenAI-compatible server",
)
@click.option(
    "--model",
    callback=parsed(parse_text),
    required=True,
    metavar="NAME",
    help="the teacher, as its server names it",
)
@click.option(
    "--api-key-env",
    callback=parsed(parse_variable),
    metavar="VARIABLE",
    help="the name of the environment variable that holds the server's key",
)
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="where the tasks go")
@click.option("--overwrite", is_flag=True, help="replace tasks that are there already")
@click.option(
    "--questions",
    callback=parsed(parse_integer(1, MOST_QUESTIONS)),
    default="5",
    metavar="N",
    help="questions to ask for on each passage",
)
@click.option(
    "--seed",
    callback=parsed(parse_integer(0)),
    default="0",
    metavar="N",
    help="another one gives other questions, and other letters to their answers",
)
@click.option(
    "--max-tokens",
    callback=parsed(parse_integer(1)),
    default="2048",
    metavar="N",
    help="the most of one reply; a teacher that reasons first needs more",
)
@click.option(
    "--max-concurrency",
    callback=parsed(parse_integer(1)),
    default="64",
    metavar="N",
    help="requests in flight",
)
@click.option(
    "--request-timeout",
    callback=parsed(parse_timeout),
    default="600",
    metavar="SECONDS",
    help="how long one request may take",
)
@click.option(
    "--wait",
    callback=parsed(parse_seconds),
    default="0",
    metavar="SECONDS",
    help="how long to wait for the server to come up",
)
def tasks(**options: Any) -> None:
    """Have a teacher model write MMLU-Branch tasks on a taxonomy's knowledge.

    Each context of a knowledge file is a passage to ask about. A question is kept when the teacher, asked
    it with the passage, finds the right one of the shuffled choices. The same command again goes on where
    it was interrupted.
    """
    request = Request(**options)
    outcomes: list[FileOutcome] = []
    try:
        asyncio.run(_make_tasks(request, outcomes))
    except UnreachableError as error:
        _show_summary(request, outcomes)
        raise click.ClickException(f"{error}; {_kept(outcomes)}") from None
    except EvalError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        _show_summary(request, outcomes)
        click.echo(f"Interrupted; {_kept(outcomes)}", err=True)
        raise SystemExit(INTERRUPTED) from None
    _show_summary(request, outcomes)
    if not any(outcome.task for outcome in outcomes):
        raise click.ClickException("no task was written, since no valid question came of any passage")


async def _make_tasks(request: Request, outcomes: list[FileOutcome]) -> None:
    """Make the tasks, telling of each file and keeping its outcome as soon as it is written."""
    folder = TaskFolder(request.out, overwrite=request.overwrite)
    files = _knowledge(request)
    variable = request.api_key_env
    endpoint = Endpoint(
        request.base_url,
        api_key=os.environ[variable] if variable else None,
        key_source=f"--api-key-env {variable}" if variable else "--api-key-env",
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
                click.echo("\n".join(file_lines(outcome)))
    finally:
        await endpoint.close()


def _knowledge(request: Request) -> list[QnaFile]:
    """The knowledge files to make tasks of; raises DataError where there are none."""
    taxonomy = Taxonomy(request.taxonomy)
    only = None
    if request.base_branch is not None:
        changed = taxonomy.changed(request.base_branch, request.branch)
        only = [path for path in changed if path.split("/")[0] == KNOWLEDGE]
    files = taxonomy.read(request.branch, include_knowledge=True, only=only)
    found = [file for file in files if file.is_knowledge]
    if not found:
        since = (
            f" that is new or changed since {printable(request.base_branch)}" if request.base_branch else ""
        )
        at = f" at {printable(request.branch)}" if request.branch else ""
        raise DataError(f"the taxonomy {printable(str(request.taxonomy))}{at} has no knowledge file{since}")
    return found


def _show_summary(request: Request, outcomes: Sequence[FileOutcome]) -> None:
    """The table, and what to type next."""
    if not outcomes:
        return
    click.echo("\n" + "\n".join(summary_lines(outcomes)))
    sizes = [outcome.kept + outcome.earlier for outcome in outcomes if outcome.task]
    if sizes:
        few = f" --eval-few-shots {min(sizes)}" if min(sizes) < FEW_SHOTS else ""
        click.echo(f"\nrun them: {request.next_command}{few}")


def _kept(outcomes: Sequence[FileOutcome]) -> str:
    written = sum(outcome.task is not None for outcome in outcomes)
    if not written:
        return "no task was written"
    return f"the tasks of {written} finished files are written, and the same command makes the others"


if __name__ == "__main__":
    main(prog_name="python -m pytest_instructlab_eval")
