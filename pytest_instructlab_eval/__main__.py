"""The command line for scripts: `python -m pytest_instructlab_eval best eval_output`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.knowledge_tasks.command import tasks
from pytest_instructlab_eval.reports import read_results
from pytest_instructlab_eval.reports.ranking import rank

__all__ = ["main"]


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


main.add_command(tasks)

if __name__ == "__main__":
    main(prog_name="python -m pytest_instructlab_eval")
