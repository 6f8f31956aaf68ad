"""`FinishedRun`: what the hook `pytest_eval_run_finished` gets, a stable view of a run for programs.

All names here without an underscore are public. `FinishedRun.version` grows when one of them changes its
meaning or goes; a new one may come at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_instructlab_eval.gates.gate_report import Verdict, fails_run
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.reports.benchmark_scores import BenchmarkScore, benchmark_scores
from pytest_instructlab_eval.reports.question_rows import QuestionRow, QuestionTable
from pytest_instructlab_eval.reports.run_report import Headline, RunReport
from pytest_instructlab_eval.stats.statistics import Interval

VERSION = 1


@dataclass(frozen=True)
class GateVerdict:
    """The verdict of one gate on one model.

    `gate` is its text, `message` the sentence that tests and tables show. `value` and the ends of `interval`
    are in the unit of the gate's figure, None where it has none. `fails_run` says whether it fails the run.
    """

    gate: str
    benchmark: str
    model: str | None
    verdict: Verdict
    message: str
    value: float | None
    interval: Interval | None
    fails_run: bool


@dataclass(frozen=True)
class FinishedRun:
    """A run at its end, after its files were written.

    `verdict` is that on the whole run: passed, failed, broken, inconclusive or
    skipped. `folder` is the folder of its
    files, with results.json. `models` are the names or paths of the models by their labels, and `base_model`
    is the label of the base model. `configuration` are all settings by name; keys are not among them.
    `problems` are the sentences that fail the run whatever its gates say, `incomplete` says why tests have no
    result, and `failed_tests` counts the failed tests without the gates.
    """

    verdict: Headline
    folder: Path
    models: Mapping[str, str]
    base_model: str | None
    configuration: Mapping[str, object]
    scores: tuple[BenchmarkScore, ...]
    gates: tuple[GateVerdict, ...]
    problems: tuple[str, ...]
    incomplete: str | None
    failed_tests: int
    _table: QuestionTable
    version: int = VERSION

    def questions(self) -> Iterator[QuestionRow]:
        """Yield a row for each question of each model, with the columns of questions.csv."""
        return self._table.rows()


def finished_run(report: RunReport, folder: Path) -> FinishedRun:
    """Return the view of a run whose files are in a folder."""
    run = report.run
    return FinishedRun(
        verdict=report.headline,
        folder=folder,
        models=dict(run.models),
        base_model=run.base,
        configuration=plain_data(run.configuration),
        scores=tuple(benchmark_scores(report)),
        gates=tuple(
            GateVerdict(
                gate.gate.text, gate.gate.selector.benchmark, gate.model, gate.verdict, gate.message,
                gate.value, gate.interval, fails_run(gate, report.inconclusive),
            )
            for gate in report.verdicts
        ),
        problems=report.problems,
        incomplete=run.incomplete,
        failed_tests=report.failed_tests,
        _table=QuestionTable(run),
    )  # fmt: skip
