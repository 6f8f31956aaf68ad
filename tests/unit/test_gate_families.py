"""Gates on several drops of one run: which confidence decides each, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.gates.sentences import confidence_text
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.verdicts import family_note, verdict_lines
from pytest_instructlab_eval.stats.comparison import paired_comparison
from pytest_instructlab_eval.stats.statistics import holm, margin_verdict


def task(name: str, losses: int, model: str = "lab", benchmark: str = "mmlu", of: int = 60) -> Result:
    """A task of 60 questions; `losses` of its answers are wrong."""
    samples = [Sample(str(number), float(number >= losses)) for number in range(of)]
    return Result(benchmark, name, name, model, scores=(Score.mean_of(samples, metric="acc"),))


def verdicts(
    gates: Sequence[str], ours: Sequence[Result], base: Sequence[Result] | None = None
) -> list[GateReport]:
    before = [task(result.question, 0, "base", result.benchmark) for result in ours] if base is None else base
    return evaluate_gates(map(parse_gate, gates), ours, baseline=before)


def confidences(reports: Sequence[GateReport]) -> list[float | None]:
    return [None if report.confidence is None else round(report.confidence, 6) for report in reports]


GATES = [f"mmlu[{name}].drop <= 0" for name in "abcd"]


def test_one_drop_is_decided_at_95_per_cent_whatever_else_is_gated() -> None:
    gates = ["mmlu >= 0.1", GATES[0], "mmlu.error_rate <= 0", "mmlu.n >= 1"]
    found = verdicts(gates, [task("a", 12)])
    assert confidences(found) == [0.95, 0.95, 0.95, None]
    assert "; the 95 % interval (" in found[1].message
    assert family_note(found) is None


def test_drops_are_decided_one_after_the_other_at_a_confidence_that_falls_with_those_that_failed() -> None:
    found = verdicts(GATES, [task("a", 2), task("b", 30), task("c", 1), task("d", 20)])
    assert [report.verdict for report in found] == ["inconclusive", "failed", "inconclusive", "failed"]
    assert confidences(found) == [0.975, 0.9875, 0.975, 0.983333]
    for report, shown in zip(found, ("97.5 %", "98.75 %", "97.5 %", "98.33 %"), strict=True):
        assert f"the {shown} interval (" in report.message


def test_where_all_drops_fail_the_last_is_decided_as_if_it_were_alone() -> None:
    found = verdicts(GATES, [task(name, 20 + number) for number, name in enumerate("abcd")])
    assert {report.verdict for report in found} == {"failed"}
    assert confidences(found) == [0.95, 0.975, 0.983333, 0.9875]


@pytest.mark.parametrize("others", [3, 0])
def test_a_drop_that_would_fail_alone_may_be_chance_among_others(others: int) -> None:
    first, *rest = verdicts(GATES[: others + 1], [task(name, 6 * (name == "a")) for name in "abcd"])
    assert first.verdict == ("inconclusive" if others else "failed")
    assert {report.verdict for report in rest} <= {"passed"}


def test_benchmarks_metrics_and_models_are_one_family() -> None:
    ours = [
        task("a", 3, model, benchmark) for model in ("lab", "next") for benchmark in ("mmlu", "mmlu_branch")
    ]
    base = [task("a", 0, "base", benchmark) for benchmark in ("mmlu", "mmlu_branch")]
    found = verdicts(["mmlu.drop <= 0", "mmlu.acc.drop <= 0", "mmlu_branch.drop <= 0"], ours, base)
    assert confidences(found) == [round(1 - 0.05 / 6, 6)] * 6


def test_two_limits_of_one_drop_are_two_gates() -> None:
    assert confidences(verdicts(["mmlu.drop <= 0", "mmlu.drop <= 0.1"], [task("a", 1)])) == [0.975, 0.975]


def test_a_drop_that_can_not_be_compared_is_no_part_of_the_family() -> None:
    found = verdicts([GATES[0], "mmlu[law].drop <= 0"], [task("a", 12)])
    assert [report.verdict for report in found] == ["failed", "refused"]
    assert confidences(found) == [0.95, None]
    assert family_note(found) is None


def test_the_same_scores_pass_however_many_gates_there_are() -> None:
    found = verdicts(GATES, [task(name, 0, of=2) for name in "abcd"])
    assert {report.verdict for report in found} == {"passed"}


def test_too_few_questions_for_the_confidence_of_so_many_gates_are_inconclusive_and_say_so() -> None:
    """Six questions can be told apart at 95 %, and not at 97.5 %."""

    def rated(name: str, model: str, rating: int) -> list[Result]:
        return [
            Result("own", f"{name}{n}", name, model, scores=(Score(rating - n / 10, "rating", 10.0),))
            for n in range(1, 7)
        ]

    ours = [*rated("a", "lab", 3), *rated("b", "lab", 3)]
    base = [*rated("a", "base", 9), *rated("b", "base", 9)]
    base = [Result(**{**vars(one), "scores": (Score(9.0, "rating", 10.0),)}) for one in base]
    alone = verdicts(["own[a].drop <= 0"], ours, base)
    both = verdicts(["own[a].drop <= 0", "own[b].drop <= 0"], ours, base)
    assert [report.verdict for report in (*alone, *both)] == ["failed", "inconclusive", "inconclusive"]
    assert "inconclusive: too few independent questions for a 97.5 % interval" in both[0].message
    assert confidences(both) == [None, None]


@given(
    st.lists(
        st.tuples(st.integers(0, 25), st.integers(0, 25), st.sampled_from([0.0, 0.05, 0.2, -0.1])),
        min_size=1,
        max_size=8,
    )
)
def test_each_verdict_is_read_off_its_interval_and_those_that_fail_are_holms(
    parts: list[tuple[int, int, float]],
) -> None:
    ours = [task(str(number), losses) for number, (losses, _, _) in enumerate(parts)]
    base = [task(str(number), losses, "base") for number, (_, losses, _) in enumerate(parts)]
    gates = [f"mmlu[{number}].drop <= {limit}" for number, (_, _, limit) in enumerate(parts)]
    found = verdicts(gates, ours, base)
    compared = [paired_comparison([mine], [other]) for mine, other in zip(ours, base, strict=True)]
    p_values = []
    for report, comparison in zip(found, compared, strict=True):
        assert comparison is not None
        assert report.confidence is not None
        assert report.interval is not None
        assert report.interval == comparison.interval(report.confidence)
        same = comparison.unchanged and report.gate.limit >= 0
        assert report.verdict == ("passed" if same else margin_verdict(report.interval, report.gate.limit))
        p_values.append(comparison.p_value(report.gate.limit))
    adjusted = holm(p_values)
    for report, p_value in zip(found, adjusted, strict=True):
        if abs(p_value - 0.05) > 1e-6:
            assert (report.verdict == "failed") == (p_value < 0.05)


def test_the_terminal_says_why_the_intervals_are_wide() -> None:
    found = verdicts(GATES, [task(name, 2) for name in "abcd"])
    assert verdict_lines(found)[:2] == [
        "gates: 4 inconclusive",
        "  4 drops are gated together, so their intervals have up to 98.75 % confidence",
    ]


@pytest.mark.parametrize(
    ("confidence", "text"),
    [
        (0.95, "95 %"),
        (1 - 0.05 / 2, "97.5 %"),
        (1 - 0.05 / 3, "98.33 %"),
        (1 - 0.05 / 4, "98.75 %"),
        (1 - 0.05 / 57, "99.912 %"),
        (1 - 0.05 / 1000, "99.995 %"),
        (1 - 0.05 / 100_000, "99.99995 %"),
        (0.5, "50 %"),
    ],
)
def test_a_confidence_is_as_precise_as_what_it_leaves_out(confidence: float, text: str) -> None:
    assert confidence_text(confidence) == text
