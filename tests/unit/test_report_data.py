"""What a test's report carries reaches another process as it was."""

from __future__ import annotations

import json

import pytest

from pytest_instructlab_eval.records.run import ModelAdaptation, SilentTest
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.session import report_data

RESULT = Result(
    "knots", "reef", "sailing", "tiny", scores=(Score(0.5, metadata={"answer": "so"}),), nodeid="a::b"
)
SILENT = SilentTest("a::b", "knots", "sailing", "tiny", "passed")
ADAPTATION = ModelAdaptation("judge", "tiny", "no_seed", "it takes no seed", changes_answers=True)


@pytest.fixture
def report() -> pytest.TestReport:
    return pytest.TestReport("a::b", ("a", 0, "b"), {}, "passed", None, "call")


def carried(report: pytest.TestReport) -> pytest.TestReport:
    """Return the report as xdist brings it to another process."""
    data = report._to_json()
    return pytest.TestReport._from_json(json.loads(json.dumps(data)))


def test_a_report_carries_what_its_test_found(report: pytest.TestReport) -> None:
    report_data.put_result(report, RESULT)
    assert report_data.result_on(carried(report)) == RESULT


def test_a_report_carries_that_its_test_recorded_nothing(report: pytest.TestReport) -> None:
    report_data.put_silent(report, SILENT)
    assert report_data.silent_on(carried(report)) == SILENT


def test_a_report_carries_how_requests_were_adapted(report: pytest.TestReport) -> None:
    report_data.put_adaptations(report, [ADAPTATION])
    assert report_data.adaptations_on(carried(report)) == [ADAPTATION]


def test_a_report_of_another_test_carries_nothing(report: pytest.TestReport) -> None:
    assert report_data.result_on(carried(report)) is None
    assert report_data.silent_on(carried(report)) is None
    assert report_data.adaptations_on(carried(report)) == []
