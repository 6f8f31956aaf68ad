"""Two sides compared: what got worse, what better, what is new, and what is said of it."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.gates.evaluation import gate_verdicts
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.changes_table import changes_table
from pytest_instructlab_eval.stats.changes import MeanChange, changes_between


def rated(model: str, ratings: dict[str, Sequence[float]]) -> list[Result]:
    """Results of MT-Bench-Branch: the ratings of each file's pairs."""
    return [
        Result("mt_bench_branch", f"{file}:{number}", file, model, "judge", (Score(value, "rating", 10.0),))
        for file, values in ratings.items()
        for number, value in enumerate(values, start=1)
    ]


def answered(model: str, answers: dict[str, str]) -> list[Result]:
    """Results of MMLU: 1 right, 0 wrong."""
    return [
        Result("mmlu", name, name, model, scores=(Score.mean_of(samples(text), metric="acc"),))
        for name, text in answers.items()
    ]


def samples(text: str) -> list[Sample]:
    return [Sample(str(number), float(sign)) for number, sign in enumerate(text)]


BASE = rated("base", {"same": [5, 6, 7], "worse": [8, 8, 9], "worst": [9, 9, 9], "better": [1, 2, 3]})
LAB = rated(
    "lab", {"better": [4, 4, 4], "worst": [1, 2, 1], "new": [3, 4], "worse": [7, 8, 8], "same": [5, 6, 7]}
)


@pytest.mark.parametrize(("difference", "share"), [(-2.5, -0.25), (1.0, 0.1), (None, 0.0)])
def test_differences_on_several_scales_are_compared_as_shares(difference: float | None, share: float) -> None:
    assert MeanChange("own", 5.0, 10.0, 3, difference=difference).relative_difference == share


def test_groups_come_worst_first_and_new_ones_last() -> None:
    (found,) = changes_between(LAB, BASE)
    assert [(group.label, group.kind) for group in found.groups] == [
        ("worst", "regression"),
        ("worse", "regression"),
        ("same", "unchanged"),
        ("better", "improvement"),
        ("new", "new"),
    ]
    assert (found.model, found.against, found.unpaired) == ("lab", "base", 2)
    assert found.overall.n == 12
    assert found.overall.difference == pytest.approx((12 + 4 + 23 + 18) / 12 - (6 + 25 + 27 + 18) / 12)


def test_a_new_group_has_its_mean_and_nothing_to_compare_with() -> None:
    (found,) = changes_between(LAB, BASE)
    assert found.of("new") == [MeanChange("new", 3.5, 10.0, 2)]


def test_a_difference_travels_with_its_standard_error() -> None:
    (found,) = changes_between(LAB, BASE)
    worse = found.of("regression")[1]
    assert worse.before == pytest.approx(25 / 3)
    assert worse.difference == pytest.approx(-2 / 3)
    assert worse.stderr == pytest.approx(1 / 3)  # of the differences -1, 0 and -1
    assert worse.interval is None, "three pairs of one file say too little"
    assert not worse.certain


def test_answers_of_tasks_are_compared_task_by_task() -> None:
    ours = answered("lab", {"law": "1" * 30 + "0" * 70, "logic": "10"})
    theirs = answered("base", {"law": "1" * 90 + "0" * 10, "logic": "01"})
    (found,) = changes_between(ours, theirs)
    law, logic = found.groups
    assert (law.label, law.certain) == ("law", True)
    assert law.difference == pytest.approx(-0.6)
    assert law.interval is not None
    assert law.interval.low < -0.6 < law.interval.high < 0
    assert (logic.difference, logic.kind) == (0, "unchanged")
    assert found.overall.difference == pytest.approx(-0.3)


def test_a_group_that_is_one_of_many_is_certain_by_holm_alone() -> None:
    names = [f"task{number}" for number in range(12)]
    theirs = answered("base", dict.fromkeys(names, "1" * 40))
    ours = answered("lab", {**dict.fromkeys(names, "1" * 40), "task0": "0" * 7 + "1" * 33})
    (found,) = changes_between(ours, theirs)
    alone = changes_between(ours[:2], theirs[:2])[0].groups[0]
    many = found.groups[0]
    assert (many.label, alone.label) == ("task0", "task0")
    of_seven = 2 * statistics.NormalDist().cdf(-6.5 / 7**0.5)  # McNemar's, with half the usual correction
    assert alone.p_value == pytest.approx(2 * of_seven)  # of two groups
    assert many.p_value == pytest.approx(12 * of_seven)
    assert (alone.certain, many.certain) == (True, False)
    assert many.interval is not None
    assert many.interval.high < 0, "the interval is the group's own"


def test_a_rise_is_as_certain_as_a_drop() -> None:
    worse = changes_between(answered("a", {"x": "0" * 20}), answered("b", {"x": "1" * 20}))
    better = changes_between(answered("a", {"x": "1" * 20}), answered("b", {"x": "0" * 20}))
    assert worse[0].overall.p_value == better[0].overall.p_value
    assert worse[0].overall.certain
    assert better[0].overall.certain


def test_a_question_that_was_changed_is_another_question() -> None:
    ours, theirs = (rated(model, {"file": [5, 6, 7]}) for model in ("lab", "base"))
    known = [dataclasses.replace(result, content="1") for result in theirs]
    changed = [dataclasses.replace(result, content=text) for result, text in zip(ours, "121", strict=True)]
    (found,) = changes_between(changed, known)
    assert (found.overall.n, found.unpaired) == (2, 1)
    assert changes_between(ours, known)[0].overall.n == 3, "where one side doesn't say, they are the same"
    assert changes_between([dataclasses.replace(result, content="9") for result in ours], known) == []


def test_the_other_side_is_the_model_of_the_same_name_or_the_only_one() -> None:
    assert [
        found.against for found in changes_between(rated("a", {"x": [1, 2]}), rated("b", {"x": [1, 2]}))
    ] == ["b"]
    two = [*rated("a", {"x": [3, 4]}), *rated("b", {"x": [1, 2]})]
    assert [found.against for found in changes_between(rated("a", {"x": [1, 2]}), two)] == ["a"]
    assert changes_between(rated("c", {"x": [1, 2]}), two) == []


def test_sides_with_no_question_in_common_are_not_compared() -> None:
    assert changes_between(rated("a", {"x": [1]}), rated("a", {"y": [1]})) == []


def test_unpaired_means_are_of_each_sides_own_questions() -> None:
    draw = random.Random(1)
    ours = rated("lab", {f"file{number}": [draw.gauss(5, 1) for _ in range(4)] for number in range(12)})
    theirs = rated("base", {f"file{number}": [draw.gauss(7, 1) for _ in range(6)] for number in range(12)})
    (found,) = changes_between(ours, theirs, paired=False)
    assert (found.overall.n, found.unpaired, found.minimum_detectable_drop) == (48, 0, None)
    assert found.overall.difference == pytest.approx(-2, abs=0.6)
    assert found.overall.certain
    (twice,) = changes_between(ours, ours, paired=False)
    assert twice.overall.stderr is not None
    assert twice.overall.stderr > 0, "the same questions by chance are not taken for pairs"


def test_names_that_could_act_upon_a_terminal_are_shown_instead() -> None:
    ours, theirs = (rated(name, {"a\x1b[2J": [1, 2], "b\nc": [3, 4]}) for name in ("lab", "base"))
    shown = "\n".join(changes_table(changes_between(ours, theirs), verbose=True))
    assert "\x1b" not in shown
    assert "unchanged: b\\nc" in shown


def test_the_table_has_the_regressions_first_and_counts_what_did_not_change() -> None:
    lines = changes_table(changes_between(LAB, BASE))
    labels = [line.split("  ")[0].strip() or line.split("  ")[1].strip() for line in lines[2:]]
    assert labels[:6] == [
        "mt_bench_branch: lab against base",
        "regression: worst",
        "regression: worse",
        "improvement: better",
        "… 1 unchanged, with -v",
        "new: new",
    ]
    assert "-7.67" in lines[3]
    assert lines[-1] == "mt_bench_branch: 2 questions not compared (changed, or no score on one side)"
    assert any("unchanged: same" in line for line in changes_table(changes_between(LAB, BASE), verbose=True))
    assert changes_table([]) == []


def test_the_unpaired_difference_of_tasks_has_the_degrees_of_freedom_of_their_questions() -> None:
    ours = answered("lab", {"law": "10" * 100, "logic": "110" * 66})
    theirs = answered("base", {"law": "1100" * 50, "logic": "100" * 66})
    (found,) = changes_between(ours, theirs, paired=False)
    assert found.overall.interval is not None
    assert found.overall.stderr is not None
    width = found.overall.interval.high - found.overall.interval.low
    assert width == pytest.approx(2 * 1.963 * found.overall.stderr, rel=1e-3)


RATINGS = st.lists(st.floats(0, 10) | st.integers(0, 10), min_size=1, max_size=4)
ANSWERS = st.text("01", min_size=1, max_size=6)
FILES = st.sampled_from("abcd")
GATES = tuple(
    f"{benchmark}{part}"
    for benchmark in ("mmlu", "mt_bench_branch")
    for part in (" >= 0.5", ".drop <= 0", "[a].drop <= 0.1", "[b].drop <= 0", ".error_rate <= 0", ".n >= 3")
)


@given(
    ours=st.dictionaries(FILES, RATINGS, min_size=1) | st.dictionaries(FILES, ANSWERS, min_size=1),
    theirs=st.dictionaries(FILES, RATINGS, min_size=1) | st.dictionaries(FILES, ANSWERS, min_size=1),
    paired=st.booleans(),
)
def test_whatever_two_runs_found_they_can_be_compared_and_told(
    ours: dict[str, Any], theirs: dict[str, Any], paired: bool
) -> None:
    def results(model: str, found: dict[str, Any]) -> list[Result]:
        return answered(model, found) if isinstance(next(iter(found.values())), str) else rated(model, found)

    for entry in changes_between(results("lab", ours), results("base", theirs), paired=paired):
        for change in (entry.overall, *entry.groups):
            if change.interval is not None and change.difference is not None:
                assert change.interval.low - 1e-9 <= change.difference <= change.interval.high + 1e-9
                assert change.interval.low < change.interval.high or change.difference == 0
        assert changes_table([entry], verbose=True)
    run = Run(tuple(results("lab", ours)), gates=GATES)
    for report in gate_verdicts(run, results("base", theirs)):
        assert report.message
        if report.interval is not None and report.value is not None:
            assert report.interval.low - 1e-9 <= report.value <= report.interval.high + 1e-9
