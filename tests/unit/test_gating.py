"""The gates of a run: gathered, checked before anything is asked, and what is left out of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.baseline_writer import save_run
from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.run import Run, SilentTest
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.session.collected_tests import CollectedTests
from pytest_instructlab_eval.session.gate_tests import gate_test_reports
from pytest_instructlab_eval.session.gating import Gating
from pytest_instructlab_eval.settings import Settings

OWN = CollectedTests({"own": ["red", "green"]}, {"own": ["own >= 0.25"]})


def digests(benchmarks: Collection[str]) -> Mapping[str, Any]:
    return dict.fromkeys(benchmarks, "123")


def gating(collected: CollectedTests = OWN, **settings: Any) -> Gating:
    found = Gating(Settings(("lab",), ("http://127.0.0.1:8000/v1",), **settings), digests, Path("/work"))
    found.prepare(collected)
    return found


def refusal(collected: CollectedTests = OWN, **settings: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        gating(collected, **settings)
    return str(refused.value)


def results(*values: float, benchmark: str = "own", **more: Any) -> list[Result]:
    return [
        Result(benchmark, str(number), "red", "lab", scores=(Score(value, **more),))
        for number, value in enumerate(values)
    ]


def judged(found: Gating, results: Iterable[Result], silent: Sequence[SilentTest] = ()) -> list[GateReport]:
    """What becomes of the gates over these results."""
    return list(found.report(found.run(results, silent), gated=True).verdicts)


def verdicts(reports: list[GateReport]) -> dict[str, str]:
    return {report.gate.text: report.verdict for report in reports}


def test_marker_ini_file_and_command_line_all_gate_and_the_later_replaces_the_earlier() -> None:
    found = gating(gates=("own <= 0.9", "own >= 0.5", "own[red] >= 0.1"), gate=("own >= 0.75",))
    assert verdicts(judged(found, results(1.0, 0.5, 0.5))) == {
        "own >= 0.75": "failed",
        "own <= 0.9": "passed",
        "own[red] >= 0.1": "passed",
        "own.error_rate <= 0": "passed",
        "own.unscored_rate <= 0.05": "passed",
    }


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ("onw >= 0.5", "there is no benchmark 'onw' in this run (known: own); did you mean own?"),
        ("other >= 0.5", "there is no benchmark 'other' in this run (known: own)"),
        ("mt_bench >= 5", "mt_bench is left out of this run (it needs --eval-judge-model)"),
        ("own[blue] >= 0.5", "own has no group 'blue' in this run (known: green, red)"),
        (
            "own.drop <= 0.01",
            "a drop needs something to compare with; name an earlier run with --eval-baseline",
        ),
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused_in_a_sentence(gate: str, reason: str) -> None:
    shown = refusal(gate=(gate,))
    assert shown.startswith(f"gate {gate!r}: ")
    assert reason in shown


def test_a_gate_of_the_ini_file_may_be_about_a_benchmark_of_another_run() -> None:
    found = gating(gates=("mmlu >= 0.5", "somebody_elses >= 1"))
    reports = judged(found, results(1.0))
    assert [(report.gate.text, report.message) for report in reports if report.verdict == "skipped"] == [
        ("mmlu >= 0.5", "this run has no result of mmlu (known: own)"),
        ("somebody_elses >= 1", "this run has no result of somebody_elses (known: own)"),
    ]


def test_a_gate_of_the_ini_file_that_is_misspelt_is_skipped_and_asks() -> None:
    (skipped,) = [report for report in judged(gating(gates=("onw >= 0.5",)), results(1.0)) if report.n == 0]
    assert skipped.verdict == "skipped"
    assert skipped.message == "this run has no result of onw (known: own); did you mean own?"


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ("mt_bench[codign] >= 0.5", "mt_bench has no group 'codign' in this run (known: coding); did you"),
        ("mt_bench.turn2 >= 5", "mt_bench has no metric 'turn2' in this run (known: turn_1, turn_2); did"),
        ("mt_bench.drop <= 1%", "mt_bench has scores up to 10; write the limit as a score, not as a perc"),
        ("mt_bench >= 50", "expected a limit from 0 to 10 (got 50)"),
    ],
)
def test_what_no_run_has_is_refused_in_the_ini_file_too(gate: str, reason: str) -> None:
    assert reason in refusal(CollectedTests({"mt_bench": ["coding"]}), gates=(gate,))


def test_a_marker_that_is_wrong_is_told_before_anything_is_asked() -> None:
    assert refusal(CollectedTests({"own": []}, problem="no such keyword")) == "no such keyword"


@pytest.mark.parametrize(
    ("collected", "settings"),
    [
        (CollectedTests({"mmlu": ["red"]}, part={"mmlu": "failed last time (--lf)"}), {}),
        (CollectedTests({"mmlu": ["red"]}), {"sample": 3}),
        (CollectedTests({"mmlu": ["red"]}), {"first_n": 3}),
    ],
    ids=["part", "sample", "first_n"],
)
def test_a_group_that_only_larger_runs_have_skips_a_gate_of_the_ini_file(
    collected: CollectedTests, settings: dict[str, Any]
) -> None:
    found = judged(
        gating(collected, gates=("mmlu[green] >= 0.5",), **settings),
        results(1.0, benchmark="mmlu", metric="acc"),
    )
    assert verdicts(found)["mmlu[green] >= 0.5"] == "skipped"
    assert "mmlu has no group 'green'" in refusal(
        CollectedTests({"mmlu": ["red"]}), gates=("mmlu[green] >= 0",)
    )


def test_a_group_of_ones_own_may_be_in_a_file_that_is_not_run() -> None:
    found = judged(gating(gates=("own[blue] >= 0.5",)), results(1.0))
    assert verdicts(found)["own[blue] >= 0.5"] == "skipped"
    assert "own has no group 'blue'" in refusal(gate=("own[blue] >= 0.5",))


def test_a_standing_drop_gate_does_not_keep_the_first_baseline_from_being_made() -> None:
    standing = gating(CollectedTests({"own": []}, {"own": ["own.drop <= 0.1"]}), gates=("own.drop <= 0.2",))
    (report,) = [report for report in judged(standing, results(1.0)) if report.gate.standing]
    assert report.verdict == "skipped"
    assert report.message.startswith("a drop needs an earlier run to compare with")


def test_every_tests_marker_counts() -> None:
    found = gating(CollectedTests({"own": []}, {"own": ["own >= 0.25", "own <= 0.5"]}))
    assert verdicts(judged(found, results(1.0)))["own <= 0.5"] == "failed"


def test_a_benchmark_without_questions_is_skipped_and_not_missed() -> None:
    empty = CollectedTests({"own": []}, {"own": ["own >= 0.25"]}, empty=["own"])
    (report, *_) = judged(gating(empty, gate=("own <= 0.5",)), [])
    assert (report.verdict, report.message) == ("skipped", "own has no questions in this run")


def test_a_gate_of_the_command_line_that_selects_nothing_is_refused() -> None:
    empty = CollectedTests({"own": []}, empty=["own"])
    assert refusal(empty, gate=("own[red] <= 0.5",)) == (
        "gate 'own[red] <= 0.5': own has no questions in this run"
    )
    left = CollectedTests({"own": ["red", "green"]}, deselected={"own": 3}, unselected={"own": ["red"]})
    reason = "none of its tests is selected; leave out the gate, or select its tests"
    assert refusal(left, gate=("own[red] <= 0.5",)) == f"gate 'own[red] <= 0.5': {reason}"
    assert verdicts(judged(gating(left, gate=("own[green] <= 0.5",)), results(0.5)))
    whole = CollectedTests({"own": ["red"]}, deselected={"own": 3}, unselected={"own": ["", "red"]})
    assert refusal(whole, gate=("own <= 0.5",)) == f"gate 'own <= 0.5': {reason}"
    assert verdicts(judged(gating(whole, gates=("own <= 0.5",)), [])) == {"own <= 0.5": "skipped"}


def test_a_benchmark_that_was_run_and_has_no_result_is_missed_where_it_was_asked_for() -> None:
    assert verdicts(judged(gating(), [])) == {"own >= 0.25": "skipped"}
    assert verdicts(judged(gating(gate=("own >= 0.5",)), [])) == {"own >= 0.5": "refused"}


def silent(*groups: str, outcome: Any = "passed", model: str = "lab") -> tuple[SilentTest, ...]:
    return tuple(
        SilentTest(f"test_{number}", "own", group, model, outcome) for number, group in enumerate(groups)
    )


@pytest.mark.parametrize("outcome", ["passed", "skipped"])
def test_a_benchmark_whose_tests_record_nothing_passes_no_gate(outcome: str) -> None:
    (report,) = judged(gating(), [], silent("red", "green", outcome=outcome))
    assert report.verdict == "refused"
    assert report.message == (
        f"no test of own recorded a score (2 {outcome}); call record_score in each of its tests"
    )


def test_a_group_whose_tests_record_nothing_passes_no_gate() -> None:
    found = gating(gates=("own[green] >= 0.5", "own[red] >= 0.5"))
    told = {
        report.gate.text: (report.verdict, report.message)
        for report in judged(found, results(1.0), silent("green"))
    }
    assert told["own[green] >= 0.5"] == (
        "refused", "no test of own[green] recorded a score (1 passed); call record_score in each of its tests"
    )  # fmt: skip
    assert told["own[red] >= 0.5"][0] == "passed"
    assert "recorded a score" not in told["own[red] >= 0.5"][1]
    assert told["own >= 0.25"][1].endswith("; 1 of 2 tests recorded a score")


def test_a_gate_says_how_many_tests_recorded_what_it_is_about() -> None:
    gates = ("own >= 0.5", "own.speed >= 0.5", "own.n >= 1", "own.error_rate <= 0")
    found = judged(gating(gates=gates), [*results(1.0), *results(1.0, metric="speed")], silent("red"))
    told = {report.gate.text: report.message.rpartition("; ")[2] for report in found}
    assert told["own >= 0.5"] == told["own.n >= 1"] == "2 of 3 tests recorded a score"
    assert told["own.speed >= 0.5"] == "1 of 3 tests recorded a score"


def test_a_metric_that_no_test_records_is_refused_wherever_its_gate_stands() -> None:
    report = judged(gating(gates=("own.turn_2 >= 0.5",)), results(1.0))[1]
    assert report.verdict == "refused"
    assert report.message == "own has no metric 'turn_2' in this run (known: score)"


def test_a_model_whose_tests_record_nothing_passes_no_gate() -> None:
    found = judged(gating(gate=("own >= 0.5",)), results(1.0), silent("red", model="other"))
    told = {report.model: report.verdict for report in found if report.gate.text == "own >= 0.5"}
    assert told == {"lab": "passed", "other": "refused"}


def test_a_base_models_silent_tests_are_not_the_candidates() -> None:
    found = gating(base_model="base", gate=("own >= 0.5",))
    (report, *_) = judged(found, results(1.0), silent("red", model="base"))
    assert "recorded a score" not in report.message


def test_a_run_that_has_nothing_to_do_with_the_gates_has_none() -> None:
    assert judged(gating(CollectedTests({"other": []}), gates=("own >= 1",)), []) == []


def test_a_marker_gates_its_own_benchmark_alone() -> None:
    shown = refusal(CollectedTests({"own": []}, {"own": ["mmlu >= 0.5"]}))
    assert shown == "gate 'mmlu >= 0.5': the marker of own cannot gate mmlu; move the gate to eval_gates"


def test_what_was_deselected_is_not_gated_but_for_how_the_run_went() -> None:
    found = gating(CollectedTests({"own": []}, {}, {"own": 3}), gate=("own >= 0.9",))
    assert verdicts(judged(found, results(0.0))) == {
        "own >= 0.9": "skipped",
        "own.error_rate <= 0": "passed",
        "own.unscored_rate <= 0.05": "passed",
    }


def test_of_what_is_yet_to_be_judged_only_the_errors_are_known() -> None:
    found = gating(gate=("own >= 0.9", "own.error_rate <= 30%"))
    answered = Score(None, evidence=Evidence(answered=True))
    scores = [answered, answered, answered, Score(None, error="away")]
    reports = judged(
        found,
        [Result("own", str(number), "red", "lab", scores=(score,)) for number, score in enumerate(scores)],
    )
    told = {report.gate.text: (report.verdict, report.value) for report in reports}
    assert told == {
        "own >= 0.9": ("skipped", None),
        "own.error_rate <= 30%": ("passed", 0.25),
        "own.unscored_rate <= 0.05": ("skipped", None),
    }
    assert reports[0].message == "the answers of own are not judged yet; run --eval-stage judge"


def test_a_base_models_results_are_what_drops_are_measured_against_and_are_not_gated_themselves() -> None:
    found = gating(base_model="base", gate=("own.drop <= 0.5", "own <= 0.5"))
    ours = [Result("own", str(number), "red", "lab", scores=(Score(0.0),)) for number in range(40)]
    theirs = [Result("own", str(number), "red", "base", scores=(Score(1.0),)) for number in range(40)]
    reports = judged(found, [*ours, *theirs])
    assert {report.model for report in reports} == {"lab"}
    assert verdicts(reports)["own.drop <= 0.5"] == "failed"
    assert verdicts(reports)["own <= 0.5"] == "passed"


def test_a_baseline_without_the_gated_benchmark_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "main.json"
    save_run(path, gating().run(results(1.0, 0.0, benchmark="other")))
    asked: dict[str, Any] = {"baseline": path, "allow_mismatch": True}
    says = "gate 'own.drop <= 0.1': the baseline has no results of own (known: other); save one that has"
    assert refusal(gate=("own.drop <= 0.1",), **asked).startswith(says)
    gating(gates=("own.drop <= 0.1",), **asked)  # one of the ini file is for other runs too


def test_a_baseline_of_another_configuration_is_refused_with_every_difference(tmp_path: Path) -> None:
    path = tmp_path / "main.json"
    save_run(path, gating(few_shots=0).run(results(1.0, 0.0)))
    shown = refusal(baseline=path, few_shots=5, system_prompt="Hi")
    assert shown.startswith(
        "--eval-baseline main.json has another configuration: few_shots is 5 here and 0 in"
    )
    assert "system_prompt is 'Hi' here and not set in the baseline" in shown
    assert "--eval-allow-mismatch" in shown
    insisted = gating(baseline=path, few_shots=5, allow_mismatch=True)
    assert insisted.baseline is not None
    assert [result.value for result in insisted.baseline.results] == [1.0, 0.0]


def test_a_baseline_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"main.json cannot be read .*--eval-save-baseline"):
        gating(baseline=tmp_path / "main.json")


# --- the gates as tests ---


@pytest.mark.parametrize(("models", "of"), [(["lab"], ""), (["lab", "next"], " (lab)")])
def test_the_title_of_a_failed_gate_is_the_gate_as_it_was_typed(models: Sequence[str], of: str) -> None:
    gate = parse_gate("mt_bench[writing].drop  <= 50%")
    run = Run((), models={model: model for model in models})
    report = RunReport(run, verdicts=(GateReport(gate, "failed", "expected <= 0.5, got 1", "lab"),))
    ((_, call, _),) = gate_test_reports(report)
    assert call.head_line == f"mt_bench[writing].drop <= 50%{of}"
    assert call.nodeid.startswith("gates::mt_bench.drop <= 50% [writing")
