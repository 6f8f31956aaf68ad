"""The report of a run: what it holds, and what it says of the run as a whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_instructlab_eval
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import gate_verdicts
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.records.run import ModelAdaptation, Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.markdown import summary_page
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.terminal import comparison_lines, terminal_lines
from pytest_instructlab_eval.stats.changes import run_changes
from pytest_instructlab_eval.stats.ranking import rank_models
from pytest_instructlab_eval.stats.summary import summarise


def results(model: str, *values: float | None, benchmark: str = "own", maximum: float = 1.0) -> list[Result]:
    return [
        Result(benchmark, str(number), "", model, scores=(Score(value, maximum=maximum),))
        for number, value in enumerate(values)
    ]


def run(*found: Result, base: str | None = None, **more: Any) -> Run:
    models = dict.fromkeys(result.model for result in found)
    return Run(tuple(found), models={name: name for name in models}, base=base, **more)


LAB = results("lab", 1.0, 0.0, 1.0, 1.0)
OTHER = results("other", 1.0, 0.0, 0.0, 1.0)
EARLIER = Baseline({}, tuple(results("main", 1.0, 1.0, 1.0, 1.0)))
SYSTEM = ModelAdaptation("model", "lab", "merged_system_message", "merged", changes_answers=True)
ASKED_OTHERWISE = "requests were adapted differently ('model: merged_system_message' here, none "


def test_a_report_has_what_each_renderer_would_compute() -> None:
    found = run(*LAB, *OTHER, gates=("own >= 0.6",))
    report = RunReport.of(found, EARLIER)
    assert report.run is found
    assert report.summaries == tuple(summarise(found.results))
    assert report.ranking == tuple(rank_models(found.results))
    assert report.changes == tuple(run_changes(found, EARLIER.results))
    assert report.verdicts == tuple(gate_verdicts(found, EARLIER.results))
    assert (report.problems, report.candidates, report.best) == ((), ["lab", "other"], "lab")
    assert [(verdict.gate.text, verdict.model) for verdict in report.failed_gates] == [
        ("own >= 0.6", "other")
    ]


def test_the_base_model_is_no_candidate_and_is_not_ranked() -> None:
    report = RunReport.of(run(*LAB, *OTHER, base="other"))
    assert (report.candidates, report.ranking, report.best) == (["lab"], (), "lab")
    assert [(change.model, change.against) for change in report.changes] == [("lab", "other")]


def test_a_candidate_is_compared_with_the_model_of_its_name_or_the_only_one() -> None:
    assert RunReport.of(run(*LAB, *OTHER), EARLIER).compared_with("lab") == "main"
    both = Baseline({}, (*EARLIER.results, *LAB))
    report = RunReport.of(run(*LAB, *OTHER), both)
    assert (report.compared_with("lab"), report.compared_with("other")) == ("lab", None)


@pytest.mark.parametrize(
    ("found", "configuration", "has_page"),
    [(LAB, {}, True), (LAB, {"report": "html"}, True), (LAB, {"report": "none"}, False), ([], {}, False)],
)
def test_a_run_has_a_page_if_it_asked_something_and_the_user_wants_one(
    found: list[Result], configuration: dict[str, Any], has_page: bool
) -> None:
    assert RunReport.of(run(*found, configuration=configuration)).has_page is has_page


def test_of_several_models_without_a_common_benchmark_none_is_the_best() -> None:
    assert RunReport.of(run(*LAB, *results("other", 1.0, benchmark="b"))).best is None


@pytest.mark.parametrize(
    ("verdict", "changes", "headline"),
    [
        ("passed", {}, "passed"),
        ("skipped", {}, "passed"),
        ("failed", {}, "failed"),
        ("refused", {}, "broken"),
        ("inconclusive", {}, "inconclusive"),
        ("passed", {"failed_tests": 1}, "failed"),
        ("passed", {"problems": ("a worker died",)}, "broken"),
        ("failed", {"problems": ("a worker died",)}, "failed"),
        ("passed", {"failed_tests": 1, "broken_tests": 1}, "broken"),
        ("passed", {"failed_tests": 2, "broken_tests": 1}, "failed"),
        ("passed", {"pytest_status": 4}, "refused"),
        ("skipped", {"summaries": ()}, "skipped"),
    ],
)
def test_the_headline_is_the_worst_of_it(verdict: Verdict, changes: dict[str, Any], headline: str) -> None:
    given = {"summaries": tuple(summarise(LAB)), **changes}
    report = RunReport(
        run(*LAB), verdicts=(GateReport(parse_gate("own >= 1"), verdict, "", value=0.5),), **given
    )
    assert report.headline == headline


@pytest.mark.parametrize(
    "more",
    [{"incomplete": "the run was stopped before its end"}, {"configuration": {"shard": [1, 2]}}],
    ids=["incomplete", "a part"],
)
def test_what_is_not_whole_is_not_gated_and_has_not_passed(more: dict[str, Any]) -> None:
    report = RunReport.of(run(*LAB, gates=("own >= 0.6",), **more))
    assert (report.verdicts, report.headline) == ((), "inconclusive")
    assert report.not_gated is not None
    assert report.not_gated in summary_page(report)


def test_a_run_that_lost_a_test_can_be_gated_all_the_same() -> None:
    report = RunReport.of(run(*LAB, gates=("own >= 0.6",), incomplete="1 test ended"), gated=True)
    assert report.verdicts
    assert report.not_gated is None


def test_one_cause_of_all_errors_is_said_once_with_the_problem() -> None:
    def task(name: str, *errors: str | None) -> Result:
        samples = [Sample(str(number), None, error=error) for number, error in enumerate(errors)]
        return Result("mmlu", name, name, "lab", scores=(Score.mean_of(samples, metric="acc"),))

    one = RunReport.of(run(task("law", "no log-probabilities"), task("virology", "no log-probabilities")))
    assert one.problems == ("no question of mmlu has a score: no log-probabilities",)
    for errors in (("no log-probabilities", "too long"), ("no log-probabilities", None)):
        assert RunReport.of(run(task("law", *errors))).problems == ("no question of mmlu has a score",)


def test_scores_of_several_scales_and_benchmarks_without_scores_are_problems() -> None:
    mixed = (*LAB, *results("lab", 5.0, maximum=10.0), *results("lab", None, benchmark="none"))
    first, second = RunReport.of(run(*mixed)).problems
    assert first == "no question of none has a score"
    assert second.startswith("own has no mean, since its scores have several scales")
    for configuration in ({"stage": "answer"}, {"shard": [1, 2]}):
        assert RunReport.of(run(*mixed, configuration=configuration)).problems == ()


@pytest.mark.parametrize("base", ["other", None])
def test_a_drop_is_refused_where_the_other_side_was_asked_in_another_way(base: str | None) -> None:
    found = run(*LAB, *(OTHER if base else ()), base=base, gates=("own.drop <= 0.5",), adaptations=(SYSTEM,))
    report = RunReport.of(found, EARLIER, allow_flag="--insist")
    assert report.verdicts[0].verdict == "refused"
    assert report.verdicts[0].message.startswith(ASKED_OTHERWISE)
    assert report.verdicts[0].message.endswith("or allow the comparison with --insist")
    assert RunReport.of(found, EARLIER, allow_flag=None).verdicts[0].verdict != "refused"
    allowed = run(*found.results, base=base, gates=found.gates, configuration={"allow_mismatch": True})
    assert RunReport.of(allowed, EARLIER).verdicts[0].verdict != "refused"


def test_a_report_of_the_file_renders_the_same(tmp_path: Path) -> None:
    found = run(
        *LAB, *OTHER, Result("own", "9", "", "lab", error="away"), gates=("own >= 0.6", "own.drop <= 0.1"),
        standing_gates=("b >= 1",), notes=("warning: 3 files were not read",), adaptations=(SYSTEM,),
        configuration={"inconclusive": "fail", "sample": 3, "allow_mismatch": True}, directory="/work",
    )  # fmt: skip
    report = RunReport.of(found, EARLIER)
    write_results(tmp_path / "results.json", report)
    again = RunReport.of(read_run(tmp_path / "results.json"), EARLIER)
    assert summary_page(again) == summary_page(report)
    assert terminal_lines(again, verbose=True, sampled=["own"]) == terminal_lines(
        report, verbose=True, sampled=["own"]
    )
    assert comparison_lines(again, verbose=False) == comparison_lines(report, verbose=False)


PACKAGE = Path(pytest_instructlab_eval.__file__).parent


def imported(path: Path) -> Iterator[str]:
    """The names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_nothing_else_computes_a_part_of_it() -> None:
    computed = {"summarise", "rank", "run_changes", "verdicts"}
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    below = ("stats/", "gates/", "records/")
    found = {
        name
        for name, path in modules.items()
        if not name.startswith(below) and not computed.isdisjoint(imported(path))
    }
    assert found == {"reports/run_report.py"}
