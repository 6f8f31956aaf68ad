"""The command line for scripts: `python -m pytest_instructlab_eval best eval_output`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from pytest_instructlab_eval.errors import ConfigurationError, EvalError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.check import GateReport, evaluate, fails, verdicts
from pytest_instructlab_eval.records.baseline import check_comparable, fingerprint, read_baseline, save_run
from pytest_instructlab_eval.records.results import read_run
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.records.shards import merged
from pytest_instructlab_eval.reports.changes_table import changes_table
from pytest_instructlab_eval.reports.folder import write_run_folder
from pytest_instructlab_eval.reports.markdown import markdown
from pytest_instructlab_eval.reports.scores_table import table
from pytest_instructlab_eval.reports.verdicts import verdict_lines
from pytest_instructlab_eval.stats.changes import Changes, changes, run_changes
from pytest_instructlab_eval.stats.ranking import doubt_about_best, rank, unranked
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.suites.recorded import write_answers
from pytest_instructlab_eval.suites.registry import names
from pytest_instructlab_eval.task_writing.command import tasks
from pytest_instructlab_eval.visible import visible, visible_line

__all__ = ["main"]

ALLOW = "insist with --allow-mismatch"  # what to do about runs of different configurations
RUN = click.Path(exists=True, path_type=Path)


@click.group(help="What comes before and after evaluation runs, for scripts.")
def main() -> None:
    """The commands are below."""


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors as a sentence."""
    try:
        yield
    except EvalError as error:
        raise click.ClickException(visible(str(error))) from None


def _file(path: Path) -> Path:
    return path / "results.json" if path.is_dir() else path


@main.command()
@click.argument("output", type=RUN)
def best(output: Path) -> None:
    """Print the path or name of the best model of the run in OUTPUT, a results.json or its folder.

    A model without a score is never the best: it is named on standard error. The exit status is 1 where no
    model can be chosen, and where the best may be so only because questions could not be asked of it.
    """
    with _told():
        run = read_run(_file(output), check_gate=parse_gate)
    ranks = rank(run.candidates)
    left_out = [f"{model} {reason}" for model, reason in unranked(run.candidates).items()]
    scored = {result.model for result in run.candidates if result.value is not None}
    if not ranks and len(scored) != 1:
        what = "two models with a score on every benchmark" if scored else "model with a score"
        why = f": {'; '.join(left_out)}" if left_out else ""
        raise click.ClickException(f"{_file(output)} has no {what} to choose from{why}")
    winner = ranks[0].model if ranks else scored.pop()
    for line in left_out:
        click.echo(f"not ranked: {visible_line(line)}", err=True)
    doubt = doubt_about_best(run.candidates, ranks) if ranks else None
    if doubt:
        raise click.ClickException(visible(f"{_file(output)}: {doubt}"))
    click.echo(visible_line(_from_here(run.models.get(winner, winner), run.directory)))


def _from_here(name: str, directory: str | None) -> str:
    """Return a model's name; of a folder, by its path from here, wherever the run was started."""
    if directory is None or Path(name).is_absolute() or not (Path(directory) / name).is_dir():
        return name
    return os.path.relpath(Path(directory) / name)


@main.command()
@click.argument("before", type=RUN)
@click.argument("after", type=RUN)
@click.option("--gate", "gates", metavar="EXPR", multiple=True, help="What AFTER must hold to; repeatable.")
@click.option("--allow-mismatch", is_flag=True, help="Compare runs of different configurations all the same.")
@click.option("-v", "--verbose", is_flag=True, help="Show every group.")
def compare(before: Path, after: Path, *, gates: Sequence[str], allow_mismatch: bool, verbose: bool) -> None:
    """Compare two finished runs question by question: what got worse in AFTER, and what better.

    BEFORE and AFTER are each a results.json or its folder, or a baseline. The exit status is 1 where a
    gate fails.
    """
    with _told():
        theirs, ours = (read_baseline(_file(path), check_gate=parse_gate) for path in (before, after))
        if theirs.shard != ours.shard:
            part, shard = (after, ours.shard) if theirs.shard is None else (before, theirs.shard)
            raise ConfigurationError(
                f"{part} is part {shard} of a run, and what it is compared with is not that part; join the "
                "parts with python -m pytest_instructlab_eval merge, and compare the whole"
            )
        if not allow_mismatch:
            check_comparable(ours.fingerprint, theirs, str(before), ALLOW)
        found = changes(ours.results, theirs.results)
        if not found:
            raise ConfigurationError(f"{before} and {after} have no benchmark with the same questions")
        if gates and ours.incomplete is not None:
            raise ConfigurationError(f"{after} is no run to gate: {ours.incomplete}; run it again")
        reports = evaluate(
            map(parse_gate, gates), ours.results, baseline=theirs.results, left_out=ours.left_out
        )
    _print([*changes_table(found, verbose=verbose), *_after_blank(verdict_lines(reports))])
    _exit(reports, "warn")


@main.command()
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("eval_output"), show_default=True,
              help="Where the whole run's results go.")  # fmt: skip
@click.option("--gate", "gates", metavar="EXPR", multiple=True, help="A gate more; repeatable.")
@click.option("--baseline", type=RUN, help="What drops are measured against (default: what the runs had).")
@click.option("--save-baseline", type=click.Path(path_type=Path), metavar="FILE",
              help="Keep what the whole run found, as --eval-save-baseline does.")  # fmt: skip
@click.option("--allow-mismatch", is_flag=True, help="Compare with a baseline of another configuration.")
@click.option("-v", "--verbose", is_flag=True, help="Show every group.")
def merge(
    runs: Sequence[Path],
    *,
    out: Path,
    gates: Sequence[str],
    baseline: Path | None,
    save_baseline: Path | None,
    allow_mismatch: bool,
    verbose: bool,
) -> None:
    """Join the parts of a run (--eval-shard), and evaluate its gates over the whole.

    Each RUN is a results.json or its folder. The exit status is 1 where a gate fails.
    """
    with _told():
        run = merged({_file(path): read_run(_file(path), check_gate=parse_gate) for path in runs})
        run = dataclasses.replace(run, gates=(*run.gates, *(parse_gate(text).text for text in gates)))
        earlier = _baseline(run, baseline, allow_mismatch)
        reports = verdicts(run, earlier)
        found = run_changes(run, earlier)
        problems = run.problems
        if save_baseline is not None:
            _save(save_baseline, run)
        _write(out, run, reports, found, problems)
    chosen = {name: run.configuration.get(name) for name in ("first_n", "sample")}
    lines = table(summarise(run.results), verbose=verbose, **chosen, sampled=names())
    lines += _after_blank(changes_table(found, verbose=verbose)) + _after_blank(verdict_lines(reports))
    lines += _after_blank([f"note: {note}" for note in (*run.notes, *run.adaptation_notes)])
    _print([*lines, f"results: {out / 'results.json'}", *(f"ERROR: {problem}" for problem in problems)])
    if problems:
        sys.exit(1)
    _exit(reports, _inconclusive(run))


def _baseline(run: Run, given: Path | None, allow_mismatch: bool) -> list[Result] | None:
    configured = run.configuration.get("baseline")
    path = given if given is not None else Path(configured) if configured else None
    if path is None:
        return None
    found = read_baseline(_file(path), check_gate=parse_gate)
    if not (allow_mismatch or run.configuration.get("allow_mismatch")):
        check_comparable(fingerprint(run.fingerprint), found, str(path), ALLOW)
    return list(found.results)


def _save(baseline: Path, run: Run) -> None:
    try:
        save_run(baseline, run)
    except OSError as error:
        raise ConfigurationError(f"--save-baseline: {baseline} can't be written ({error.strerror})") from None


def _write(
    folder: Path,
    run: Run,
    reports: Sequence[GateReport],
    found: Sequence[Changes],
    problems: Sequence[str],
) -> None:
    page = markdown(
        ", ".join(name for name in run.models if name != run.base),
        problems=problems,
        errors=sum(result.outcome == "error" for result in run.results),
        reports=reports,
        inconclusive=_inconclusive(run),
        changes=found,
        summaries=summarise(run.results),
        unasked=run.notes,
        adaptations=run.adaptation_notes,
    )
    try:
        write_run_folder(folder, run, gates=reports, changes=found, page=page, write_answers=write_answers)
    except OSError as error:
        raise ConfigurationError(
            f"--out: {folder} can't be written ({error.strerror}); name another"
        ) from None


def _inconclusive(run: Run) -> str:
    return str(run.configuration.get("inconclusive", "warn"))


def _after_blank(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []


def _print(lines: Sequence[str]) -> None:
    click.echo("\n".join(map(visible_line, lines)))


def _exit(reports: Sequence[GateReport], inconclusive: str) -> None:
    sys.exit(int(any(fails(report, inconclusive) for report in reports)))


main.add_command(tasks)

if __name__ == "__main__":
    main(prog_name="python -m pytest_instructlab_eval")
