"""The command line for scripts: `python -m pytest_instructlab_eval best eval_output`."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import click

from pytest_instructlab_eval.errors import ConfigurationError, DataError, EvalError, IncompleteRunError
from pytest_instructlab_eval.escaping import escape_line, escape_text
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.parsers import parse_price, parse_report
from pytest_instructlab_eval.records.baseline import Baseline, check_comparable, fingerprint, read_baseline
from pytest_instructlab_eval.records.baseline_writer import save_run
from pytest_instructlab_eval.records.identity_comparison import check_judges
from pytest_instructlab_eval.records.previous_runs import RESULTS, results_path, set_aside
from pytest_instructlab_eval.records.results_file import read_run, written_at
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.shards import merge_shards
from pytest_instructlab_eval.reports.exit_status import STATUSES, exit_status
from pytest_instructlab_eval.reports.exports.export import FOLDER, write_export
from pytest_instructlab_eval.reports.exports.libraries import missing_library
from pytest_instructlab_eval.reports.history import LAST, output_history, read_history
from pytest_instructlab_eval.reports.history_table import history_lines
from pytest_instructlab_eval.reports.ranking_table import doubts_about_best
from pytest_instructlab_eval.reports.run_comparison import Side, compare_runs
from pytest_instructlab_eval.reports.run_folder import write_report, write_run_folder
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.terminal import comparison_lines, marked_lines, terminal_lines
from pytest_instructlab_eval.settings import EXPORTS, GateAbout, Settings
from pytest_instructlab_eval.stats.ranking import doubt_about_best, unranked_reasons
from pytest_instructlab_eval.suites.earlier_answers import write_answers
from pytest_instructlab_eval.suites.registry import benchmark_names
from pytest_instructlab_eval.task_writing.tasks_command import tasks

ALLOW = "allow the comparison with --allow-mismatch"
PAGE = "report.html"
RUN = click.Path(exists=True, path_type=Path)
FOLDER_OF_RUNS = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(help="Commands for the steps before and after an evaluation.")
def main() -> None:
    """Group the commands."""


class BrokenRunError(click.ClickException):
    """An error that ends a command with the status of a broken run."""

    exit_code = STATUSES["broken"]


@contextlib.contextmanager
def _errors_as_sentences() -> Iterator[None]:
    """Return a context that turns an EvalError into an error of click, one sentence."""
    try:
        yield
    except EvalError as error:
        kind = BrokenRunError if isinstance(error, IncompleteRunError) else click.ClickException
        raise kind(escape_text(str(error))) from None


@main.command()
@click.argument("output", type=RUN)
def best(output: Path) -> None:
    """Print the path or name of the best model of the run in OUTPUT, a results.json or its folder.

    A model without a score is never the best; it is named on standard error. So are the models that may equal
    the best, and how much its score is too high by luck. The exit status is 1 if there is no best model, and
    if errors may be the only reason why a model is ahead.
    """
    with _errors_as_sentences():
        file = results_path(output)
        run = read_run(file, check_gate=parse_gate)
    report = RunReport.of(run, gated=False)
    left_out = [f"{model} {reason}" for model, reason in unranked_reasons(run.candidates).items()]
    if report.best is None:
        scored = any(result.value is not None for result in run.candidates)
        need = "fewer than two models have a score on every benchmark" if scored else "no model has a score"
        why = f": {'; '.join(left_out)}" if left_out else ""
        raise click.ClickException(f"{file}: no best model, as {need}{why}")
    for line in left_out:
        click.echo(f"not ranked: {escape_line(line)}", err=True)
    doubt = doubt_about_best(run.candidates, report.ranking) if report.ranking else None
    if doubt:
        raise click.ClickException(escape_text(f"{file}: {doubt}"))
    for note in doubts_about_best(report.ranking):
        click.echo(f"note: {escape_line(note)}", err=True)
    click.echo(escape_line(run.model_location(report.best)))


@main.command()
@click.argument("before", type=RUN)
@click.argument("after", type=RUN)
@click.option(
    "--gate", "gates", metavar="EXPR", multiple=True, help="A gate that AFTER must pass; repeatable."
)
@click.option("--gate-about", type=click.Choice(get_args(GateAbout)),
              help="Decide drops about this, like --eval-gate-about (default: as in AFTER).")  # fmt: skip
@click.option("--before-model", metavar="NAME", help="Compare with this model of BEFORE (default: all).")
@click.option("--after-model", metavar="NAME", help="Compare this model of AFTER (default: all).")
@click.option("--allow-mismatch", is_flag=True,
              help="Compare runs of different configurations, and gate what both have.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show every group and question.")
def compare(
    before: Path,
    after: Path,
    *,
    gates: Sequence[str],
    gate_about: GateAbout | None,
    before_model: str | None,
    after_model: str | None,
    allow_mismatch: bool,
    verbose: bool,
) -> None:
    """Compare two finished runs question by question: what is worse in AFTER, and what is better.

    BEFORE and AFTER are each a results.json or its folder, or a baseline; both may be one run of several
    models. The exit status is 1 if a gate fails, and 7 if one cannot be evaluated. With --gate, AFTER must
    also pass the gates that every run has (no errors, few unscored questions), and have a result of each
    question that BEFORE has.
    """
    with _errors_as_sentences():
        report = compare_runs(
            Side.read(before, before_model),
            Side.read(after, after_model),
            gates,
            about=gate_about,
            allow_mismatch=allow_mismatch,
        )
    _print_lines(comparison_lines(report, verbose=verbose))
    if before_model is None and after_model is None and results_path(after).name == RESULTS:
        page = shlex.join(["report", str(after), "--against", str(before)])
        click.echo(f"every question, as a page: python -m pytest_instructlab_eval {escape_line(page)}")
    sys.exit(exit_status(report.gate_causes))


def _parsed_by(
    parse: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, str | tuple[str, ...] | None], object]:
    """Return a callback that reads the value of an option, or each of its values, as the plugin does."""

    def read(_: click.Context, __: click.Parameter, given: str | tuple[str, ...] | None) -> object:
        try:
            if isinstance(given, tuple):
                return [parse(text) for text in given]
            return None if given is None else parse(given)
        except ValueError as error:
            raise click.BadParameter(escape_text(str(error))) from None

    return read


@main.command()
@click.argument("runs", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("eval_output"), show_default=True,
              help="The output folder of the whole run.")  # fmt: skip
@click.option("--gate", "gates", metavar="EXPR", multiple=True, help="An additional gate; repeatable.")
@click.option(
    "--baseline", type=RUN, help="The run that drops are measured against (default: that of the parts)."
)
@click.option("--save-baseline", type=click.Path(path_type=Path), metavar="FILE",
              help="Save the whole run as a baseline, like --eval-save-baseline.")  # fmt: skip
@click.option("--report", "page", callback=_parsed_by(parse_report), metavar="FILE",
              help=f"Write the page here, or nowhere with none (default: {PAGE} in --out).")  # fmt: skip
@click.option("--allow-mismatch", is_flag=True, help="Compare with a baseline of another configuration.")
@click.option("-v", "--verbose", is_flag=True, help="Show every group.")
def merge(
    runs: Sequence[Path],
    *,
    out: Path,
    gates: Sequence[str],
    baseline: Path | None,
    save_baseline: Path | None,
    page: Path | Literal["none"] | None,
    allow_mismatch: bool,
    verbose: bool,
) -> None:
    """Join the parts of a run (--eval-shard), and evaluate its gates over the whole.

    Each RUN is a results.json or its folder. The exit status is 1 if a gate fails, and 7 if the run is
    broken.
    """
    with _errors_as_sentences():
        run = merge_shards(
            {results_path(path): read_run(results_path(path), check_gate=parse_gate) for path in runs}
        )
        run = dataclasses.replace(run, gates=(*run.gates, *(parse_gate(text).text for text in gates)))
        allow_flag = None if allow_mismatch else "--allow-mismatch"
        report = RunReport.of(run, _baseline_for(run, baseline, allow_flag), allow_flag=allow_flag)
        if save_baseline is not None:
            with _check_writable("--save-baseline", save_baseline):
                save_run(save_baseline, run)
        with _check_writable("--out", out, "; name another"):
            set_aside(out, Settings.keep_previous)
            write_run_folder(out, report, write_answers)
        if page != "none":
            file = page if page is not None else out / PAGE
            with _check_writable("--report", file, "; name another"):
                write_report(file, report, output_history(out))
    lines = [
        *terminal_lines(report, verbose=verbose, sampled=benchmark_names()),
        f"results: {out / 'results.json'}",
        *([] if page == "none" else [f"report: {page or out / PAGE}"]),
    ]
    _print_lines([*lines, *(f"ERROR: {problem}" for problem in report.problems)])
    sys.exit(report.exit_status)


@main.command()
@click.argument("name", metavar="FORMAT", type=click.Choice(EXPORTS))
@click.argument("output", metavar="RUN", type=RUN)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="The folder of the files (default: export/FORMAT in the folder of the run).")  # fmt: skip
@click.option(
    "--baseline", type=RUN, help="The run that drops are measured against (default: that of the run)."
)
def export(name: str, output: Path, *, out: Path | None, baseline: Path | None) -> None:
    """Write a finished run in the FORMAT of other tools, like --eval-export.

    FORMAT is inspect, eee (Every Eval Ever), csv or parquet. RUN is a results.json or its folder. Its gates
    are evaluated again, for the logs of inspect.
    """
    with _errors_as_sentences():
        if missing := missing_library([name]):
            raise ConfigurationError(missing)
        file = results_path(output)
        run = read_run(file, check_gate=parse_gate)
        report = RunReport.of(run, _baseline_for(run, baseline, "--allow-mismatch"))
        folder = out if out is not None else file.parent / FOLDER / name
        with _check_writable("--out", folder, "; name another"):
            write_export(name, report, folder, written_at(file))
    click.echo(f"export: {escape_line(str(folder))}")


@main.command()
@click.argument("run", type=RUN)
@click.option("--against", type=RUN, metavar="RUN",
              help="Compare with this run or baseline (default: that of RUN).")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help=f"Write the page to this file (default: {PAGE} beside the results).")  # fmt: skip
@click.option("--history", type=FOLDER_OF_RUNS, metavar="FOLDER",
              help="Show the scores over the runs in this folder (default: those beside RUN).")  # fmt: skip
@click.option("--price-in", metavar="[NAME=]PRICE", multiple=True, callback=_parsed_by(parse_price),
              help="The price of a million tokens read, like --eval-price-in; repeatable.")  # fmt: skip
@click.option("--price-out", metavar="[NAME=]PRICE", multiple=True, callback=_parsed_by(parse_price),
              help="The price of a million tokens written; repeatable.")  # fmt: skip
@click.option("--allow-mismatch", is_flag=True, help="Compare with a run of another configuration.")
def report(
    run: Path,
    *,
    against: Path | None,
    out: Path | None,
    history: Path | None,
    price_in: Sequence[str],
    price_out: Sequence[str],
    allow_mismatch: bool,
) -> None:
    """Write the page of a finished RUN, report.html, which needs neither a server nor a network.

    RUN is a results.json or its folder. The page is the one that the run wrote at its end; with --against it
    shows what changed since another run.
    """
    with _errors_as_sentences():
        file = results_path(run)
        finished = read_run(file, check_gate=parse_gate)
        prices = {name: given for name, given in (("price_in", price_in), ("price_out", price_out)) if given}
        finished = dataclasses.replace(finished, configuration={**finished.configuration, **prices})
        allow_flag = None if allow_mismatch else "--allow-mismatch"
        page = RunReport.of_finished(
            finished, _own_baseline(finished, against, allow_flag), allow_flag=allow_flag
        )
        if against is not None:
            page = page.against(_baseline_for(finished, against, allow_flag))
            if not page.changes:
                raise ConfigurationError(f"{against} and {run} have no benchmark with the same questions")
        path = file.parent / PAGE if out is None else out
        with _check_writable("--out", path, "; name another"):
            earlier_runs = output_history(file.parent) if history is None else read_history(history)
            write_report(path, page, earlier_runs)
    click.echo(f"report: {escape_line(str(path))}")


@main.command("history")
@click.argument("folder", type=FOLDER_OF_RUNS, default=Path("eval_output"))
@click.option("--last", type=click.IntRange(min=1), default=LAST, show_default=True, metavar="N",
              help="Show the last N runs.")  # fmt: skip
def show_history(folder: Path, *, last: int) -> None:
    """Show how the scores moved over the runs in FOLDER, and which gate failed when.

    FOLDER is an output folder, whose earlier runs are in previous, or any folder with runs in it, such as the
    artifacts of CI jobs. A run is a folder with a results.json. The exit status is 1 if a file cannot be
    read; the other runs are shown all the same.
    """
    with _errors_as_sentences():
        run_history = read_history(folder, last)
        for sentence in run_history.unread:
            click.echo(f"left out: {escape_text(sentence)}", err=True)
        if not run_history.scores:
            why = f": {'; '.join(run_history.notes)}" if run_history.notes else ""
            raise DataError(f"{folder} has no run with scores{why}")
    _print_lines(history_lines(run_history))
    sys.exit(1 if run_history.unread else 0)


def _own_baseline(run: Run, against: Path | None, allow_flag: str | None) -> Baseline | None:
    """Return the run that a finished run was compared with; the one `against` where that cannot be read."""
    try:
        return _baseline_for(run, None, allow_flag)
    except DataError as error:
        if against is None:
            raise ConfigurationError(
                f"the run was compared with {run.configuration.get('baseline')}, which cannot be read now "
                f"({error}); give that run with --against"
            ) from None
        return _baseline_for(run, against, allow_flag)


def _baseline_for(run: Run, given: Path | None, allow_flag: str | None) -> Baseline | None:
    """Return the earlier run to compare with; raises ConfigurationError where it is not comparable."""
    configured = run.configuration.get("baseline")
    path = given if given is not None else Path(configured) if configured else None
    if path is None:
        return None
    earlier = read_baseline(results_path(path), check_gate=parse_gate)
    if allow_flag is not None and not run.configuration.get("allow_mismatch"):
        check_comparable(fingerprint(run.fingerprint), earlier, str(path), ALLOW)
        check_judges(run.judge_identities, earlier.judge_identities, str(path), ALLOW)
    return earlier


@contextlib.contextmanager
def _check_writable(option: str, path: Path, advice: str = "") -> Iterator[None]:
    """Return a context that turns an OSError into a ConfigurationError about the option's path."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{option}: {path} cannot be written ({error.strerror}){advice}") from None


def _print_lines(lines: Sequence[str]) -> None:
    """Print lines of a report in pytest's colours; without colours where the output is a file."""
    for line, markup in marked_lines(lines):
        colour = next((name for name in markup if name != "bold"), None)
        click.echo(click.style(escape_line(line), fg=colour, bold=markup.get("bold")))


main.add_command(tasks)

if __name__ == "__main__":
    main(prog_name="python -m pytest_instructlab_eval")
