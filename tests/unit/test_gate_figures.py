"""The table of figures: a gate works from the object alone, and a figure more needs no other change."""

from __future__ import annotations

import pytest

from pytest_instructlab_eval.gates import FIGURES, MEAN, Figure, Gate, Selector, parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates, is_default_gate, with_default_gates
from pytest_instructlab_eval.gates.figures import Limit, Measurement
from pytest_instructlab_eval.gates.target import Target
from pytest_instructlab_eval.records.scores import Result, Score

RESULTS = [Result("own", str(number), "", "lab", scores=(Score(float(number)),)) for number in (0, 1, 1)]


@pytest.mark.parametrize("name", FIGURES)
def test_a_gate_holds_the_figure_that_it_names(name: str) -> None:
    assert parse_gate(f"own.{name} <= 1").selector.figure is FIGURES[name]


def test_a_gate_that_names_no_figure_is_on_the_mean() -> None:
    assert parse_gate("own.acc >= 1").selector.figure is MEAN


def test_what_is_no_figure_is_a_metric_and_refused_where_there_is_none_of_the_name() -> None:
    (report,) = evaluate_gates([parse_gate("own.median <= 1")], RESULTS)
    assert report.verdict == "refused"
    assert report.message == "own has no metric 'median' in this run (known: score)"


@pytest.mark.parametrize("figure", [MEAN, *FIGURES.values()], ids=lambda figure: figure.name)
def test_each_figure_fails_where_it_is_beyond_its_limit(figure: Figure) -> None:
    """No figure is judged as another: each has a value of its own."""
    lost = [
        Result("own", "3", "", "lab", error="away"),
        Result("own", "4", "", "lab", scores=(Score(None),)),
    ]
    before = [Result("own", str(number), "", "base", scores=(Score(1.0),)) for number in range(40)]
    after = [Result("own", str(number), "", "lab", scores=(Score(0.0),)) for number in range(40)]
    gate = Gate(Selector("own", figure=figure), "<=", 0.0)
    values = {"mean": 2 / 3, "drop": 1.0, "error_rate": 0.2, "unscored_rate": 0.2, "n": 3.0}
    results, baseline = (after, before) if figure.compares else ([*RESULTS, *lost], None)
    (report,) = evaluate_gates([gate], results, baseline=baseline)
    assert report.verdict == "failed"
    assert report.value == pytest.approx(values[figure.name])


def lowest_score(target: Target, limit: Limit) -> Measurement:
    values = [result.value for result in target.results if result.value is not None]
    return Measurement(f"{target.name} has {min(values):g} at least", min(values), n=len(values))


@pytest.mark.parametrize(("limit", "verdict"), [(0.0, "passed"), (0.5, "failed")])
def test_a_figure_more_needs_no_change_elsewhere(limit: float, verdict: str) -> None:
    figure = Figure("lowest", "score", lowest_score, default=0.25)
    gate = Gate(Selector("own", figure=figure), ">=", limit)
    (report,) = evaluate_gates([gate], RESULTS)
    assert (report.verdict, report.value, report.n) == (verdict, 0.0, 3)
    assert report.message.endswith(" (own has 0 at least)")
    assert gate.text == f"own.lowest >= {limit:g}"


def test_where_nothing_could_be_measured_the_gate_fails() -> None:
    nothing = Figure("nothing", "share", lambda target, from_above: Measurement("there is nothing"))
    (report,) = evaluate_gates([Gate(Selector("own", figure=nothing), ">=", 0)], RESULTS)
    assert (report.verdict, report.message) == ("failed", "expected >= 0, got no value (there is nothing)")


def test_a_drop_from_nothing_fails() -> None:
    found = FIGURES["drop"].measure(
        Target("own", tuple(RESULTS)), Limit(0.0, from_above=True, confidence=0.95)
    )
    assert found == Measurement("nothing to compare with")


def test_a_default_gate_is_that_of_its_figure() -> None:
    gates = with_default_gates([], ["own"])
    assert [gate.selector.figure.name for gate in gates] == ["error_rate", "unscored_rate"]
    assert all(map(is_default_gate, gates))
    assert not is_default_gate(parse_gate("own.unscored_rate <= 0.1"))
    assert not is_default_gate(parse_gate("own <= 0.05"))
