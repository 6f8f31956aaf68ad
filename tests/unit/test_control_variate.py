"""The mean of a sample with a baseline's answers as control: its formula, and where it is and is said."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.markdown import summary_page
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.scores_table import scores_table
from pytest_instructlab_eval.stats.control_variate import ControlledMean, controlled_mean
from pytest_instructlab_eval.stats.summary import summarise


def whole(subject: str, answers: str, *, content: str = "", model: str = "base") -> Result:
    """A result of all questions of a task: 1 right, 0 wrong, "-" an error."""
    values = {"1": 1.0, "0": 0.0, "-": None}
    samples = [Sample(str(number), values[sign]) for number, sign in enumerate(answers)]
    score = Score.mean_of(samples, metric="acc")
    return Result("mmlu", subject, subject, model, scores=(score,), content=content)


def sampled(subject: str, answers: str, numbers: Sequence[int], *, content: str = "") -> Result:
    """A result of the questions of these numbers; `answers` has those to all questions."""
    samples = [Sample(str(number), float(answers[number])) for number in numbers]
    score = dataclasses.replace(Score.mean_of(samples, metric="acc"), sample_of=len(answers))
    return Result("mmlu", subject, subject, "lab", scores=(score,), content=content)


# Two tasks of 24 questions. The sample has the first twelve, which the base model finds easier.
EASY_FIRST, LATER = "111011101110" + "010010001000", "110111011011" + "100101000100"
ANATOMY, LAW = "111011001110" + "010010101000", "110101011011" + "100111000100"
FIRST = range(12)
BASELINE = [whole("anatomy", EASY_FIRST), whole("law", LATER)]
SAMPLE = [sampled("anatomy", ANATOMY, FIRST), sampled("law", LAW, FIRST)]


def found(ours: Sequence[Result] = SAMPLE, baseline: Sequence[Result] = BASELINE) -> ControlledMean:
    control = controlled_mean(ours, baseline)
    assert control is not None
    return control


def digits(answers: str) -> list[float]:
    return [float(sign) for sign in answers]


# --- the formula ---


def test_it_is_the_sample_mean_plus_the_slope_times_what_the_baseline_shows_of_the_sample() -> None:
    pairs = [(digits(ANATOMY)[:12], digits(EASY_FIRST)), (digits(LAW)[:12], digits(LATER))]
    together = sum(statistics.covariance(ours, theirs[:12]) for ours, theirs in pairs)
    slope = together / sum(statistics.variance(theirs[:12]) for _, theirs in pairs)
    expected = statistics.fmean(
        statistics.fmean(ours) + slope * (statistics.fmean(theirs) - statistics.fmean(theirs[:12]))
        for ours, theirs in pairs
    )
    control = found()
    assert control.slope == pytest.approx(slope)
    assert control.value == pytest.approx(expected)
    assert control.value < statistics.fmean(result.value or 0.0 for result in SAMPLE)
    assert (control.n, control.degrees_of_freedom) == (24, 21)


def test_its_variance_is_that_of_the_residuals_and_that_of_the_baselines_mean() -> None:
    control, variance = found(), 0.0
    for ours, theirs in ((digits(ANATOMY)[:12], digits(EASY_FIRST)), (digits(LAW)[:12], digits(LATER))):
        residuals = [y - control.slope * x for y, x in zip(ours, theirs[:12], strict=True)]
        variance += statistics.variance(residuals) / 12 * 22 / 21
        variance += control.slope**2 * statistics.variance(theirs) / 24
    assert control.stderr == pytest.approx(variance**0.5 / 2)


def test_the_same_answers_as_the_baselines_are_not_certain_to_have_its_mean() -> None:
    same = [sampled("anatomy", EASY_FIRST, FIRST), sampled("law", LATER, FIRST)]
    control = found(same)
    assert control.value == pytest.approx(statistics.fmean(result.value or 0.0 for result in BASELINE))
    assert control.stderr >= (2 / 24 / 24) ** 0.5
    low, high = control.interval()
    assert low < control.value < high


def test_answers_that_have_nothing_to_do_with_the_baselines_keep_their_mean() -> None:
    ours = "1100" * 6
    theirs = "1010" * 6
    control = found([sampled("law", ours, range(16))], [whole("law", theirs)])
    assert control.slope == pytest.approx(0.0, abs=0.1)
    assert control.value == pytest.approx(0.5, abs=0.02)


@given(st.lists(st.tuples(st.sampled_from("01"), st.sampled_from("01")), min_size=14, max_size=40), st.data())
def test_mean_and_interval_are_on_the_scale_and_the_interval_has_a_width(
    pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    ours, theirs = ("".join(side) for side in zip(*pairs, strict=True))
    count = data.draw(st.integers(12, len(pairs) - 1))
    control = controlled_mean([sampled("law", ours, range(count))], [whole("law", theirs)])
    if control is not None:
        low, high = control.interval()
        assert 0 <= low < high <= 1
        assert low - 1e-9 <= control.value <= high + 1e-9
        assert control.interval(0.99).low <= low


def test_ratings_have_students_interval_on_their_scale() -> None:
    def rated(values: Sequence[float], size: int | None) -> Result:
        samples = [Sample(str(number), value) for number, value in enumerate(values)]
        score = dataclasses.replace(Score.mean_of(samples, metric="rating", maximum=10.0), sample_of=size)
        return Result("own", "task", "task", "lab", scores=(score,))

    theirs = [9.0, 9.5, 8.0, 10.0, 7.5] * 6
    ours = [9.5, 9.0, 9.0, 10.0, 8.0] * 3
    control = found([rated(ours, 30)], [rated(theirs, None)])
    low, high = control.interval()
    assert 0 < low < control.value < high <= 10
    assert control.even is None


# --- where there is none ---


@pytest.mark.parametrize(
    ("ours", "baseline"),
    [
        (SAMPLE, []),
        (SAMPLE, BASELINE[:1]),  # a task is missing
        (SAMPLE, [whole("anatomy", EASY_FIRST[:12]), BASELINE[1]]),  # a sample of the same questions
        (SAMPLE, [whole("anatomy", EASY_FIRST[:-1] + "-"), BASELINE[1]]),  # an answer is missing
        ([whole("anatomy", ANATOMY), whole("law", LAW)], BASELINE),  # no sample
        ([sampled("anatomy", ANATOMY, range(9))], BASELINE),  # too few
        (
            [sampled("law", LAW, FIRST, content="new")],
            [whole("law", LATER, content="old")],
        ),
        ([sampled("law", LAW, FIRST)], [whole("law", "1" * 24)]),  # no question was harder than another
    ],
)
def test_without_a_baseline_of_all_these_questions_there_is_none(
    ours: Sequence[Result], baseline: Sequence[Result]
) -> None:
    assert controlled_mean(ours, baseline) is None


def test_the_tasks_of_one_question_are_taken_together() -> None:
    names = [f"task{number}" for number in range(14)]
    ours = [sampled(name, "1010" if number % 3 else "0101", [0]) for number, name in enumerate(names)]
    theirs = [whole(name, "1010" if number % 4 else "0101") for number, name in enumerate(names)]
    control = found(ours, theirs)
    assert (control.n, control.degrees_of_freedom) == (14, 12)


# --- where it is said ---


def verdict(
    gate: str, baseline: Sequence[Result] | None = BASELINE, incomparable: str | None = None
) -> GateReport:
    (report,) = evaluate_gates([parse_gate(gate)], SAMPLE, baseline=baseline, incomparable=incomparable)
    return report


def test_a_gate_on_a_samples_mean_is_decided_by_the_mean_that_it_shows() -> None:
    control, plain = found().value, statistics.fmean(result.value or 0.0 for result in SAMPLE)
    between = (control + plain) / 2
    with_baseline, without = verdict(f"mmlu >= {between}"), verdict(f"mmlu >= {between}", None)
    assert (with_baseline.verdict, without.verdict) == ("failed", "passed")
    assert with_baseline.value == control
    assert with_baseline.interval == found().interval()
    assert f"with the baseline's answers as control, the sample's own mean is {plain:.4f}" in (
        with_baseline.message
    )
    assert "as control" not in without.message


def test_runs_whose_requests_differ_are_no_control() -> None:
    refused = verdict("mmlu >= 0.5", incomparable="requests were adapted differently")
    assert "as control" not in refused.message


def test_a_drop_is_measured_on_the_same_questions_without_it() -> None:
    assert "as control" not in verdict("mmlu.drop <= 0.5").message


def test_the_table_and_the_page_have_it_beside_the_plain_mean() -> None:
    run = Run(tuple(SAMPLE), models={"lab": "lab"})
    report = RunReport.of(run, Baseline({}, tuple(BASELINE)))
    (summary,) = report.summaries
    control = found()
    assert summary.controlled is not None
    assert (summary.controlled.value, summary.controlled.stderr) == (control.value, control.stderr)
    assert summary.controlled_interval == control.interval()
    (line,) = [line for line in scores_table(report.summaries) if "as control" in line]
    assert f"{control.value:.4f}" in line
    assert f"{control.stderr:.4f}" in line
    assert "answers as control: 95 % interval" in summary_page(report).replace("&#39;", "'")


def test_without_a_baseline_no_summary_has_it() -> None:
    (summary,) = summarise(SAMPLE)
    assert (summary.controlled, summary.controlled_interval) == (None, None)
