"""What the terminal shows of single questions, of colours and of totals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.records.usage import ModelUsage, RunUsage
from pytest_instructlab_eval.reports.changed_questions import moved_questions_table
from pytest_instructlab_eval.reports.html.question_table import question_table
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.terminal import (
    comparison_lines,
    line_markup,
    marked_lines,
    terminal_lines,
)
from pytest_instructlab_eval.reports.totals import totals_lines
from pytest_instructlab_eval.reports.worse_questions import ChangeCounts


def scored(*values: float | None, benchmark: str = "own", maximum: float = 1.0) -> list[Result]:
    return [
        Result(benchmark, str(number), "", "lab", scores=(Score(value, maximum=maximum),))
        for number, value in enumerate(values)
    ]


def compared(before: list[Result], after: list[Result]) -> RunReport:
    return RunReport.of(Run(tuple(after), models={"lab": "lab"}), Baseline({}, tuple(before)), gated=False)


def cells(lines: list[str]) -> list[list[str]]:
    """The rows of the table of questions."""
    start = next(number for number, line in enumerate(lines) if line.startswith("question "))
    rows = [line.split("  ") for line in lines[start + 2 :] if not line.startswith("…")]
    return [[cell.strip() for cell in row if cell.strip()] for row in rows]


def test_flips_come_first_then_the_worst_each_with_both_outcomes() -> None:
    before = [*scored(1, 1, 0, 1), *scored(9, 8, 5, 2, benchmark="judged", maximum=10)]
    after = [*scored(0, 1, 1, 1), *scored(2, 7, 5, 9, benchmark="judged", maximum=10)]
    lines = moved_questions_table(compared(before, after), verbose=False)
    assert lines[:2] == [
        "own against the baseline: 1 worse, 1 better; flipped: 1 down, 1 up",
        "judged against the baseline: 2 worse, 1 better; flipped: 1 down, 1 up",
    ]
    assert cells(lines) == [
        ["own/0", "right", "wrong", "flipped"],
        ["judged/0", "9 of 10", "2 of 10", "flipped"],
        ["judged/1", "8 of 10", "7 of 10"],
    ]
    assert lines[-1] == "… 2 more questions that moved, with -v"
    every = cells(moved_questions_table(compared(before, after), verbose=True))
    assert [row[0] for row in every] == ["own/0", "judged/0", "judged/1", "judged/3", "own/2"]


def test_a_question_that_lost_its_score_is_among_the_worst() -> None:
    lines = moved_questions_table(compared(scored(1, 1, 1), scored(1, None, 1)), verbose=False)
    assert cells(lines) == [["own/1", "right", "unscored", "flipped"]]


def test_half_of_the_scale_is_a_flip() -> None:
    assert ChangeCounts.of([-1.0, -0.5, -0.1, 0.2, 0.5]) == ChangeCounts(3, 2, flips_down=2, flips_up=1)


def test_a_score_is_lost_only_by_a_question_that_both_sides_have() -> None:
    report = compared(scored(1, None, 1, 1), scored(None, None, 1))
    rows = question_table(report).rows
    assert [row.lost_its_score(0, 1) for row in rows] == [True, False, False]
    assert not any(row.lost_its_score(1, 0) for row in rows)
    only_ours = question_table(compared(scored(1), scored(1, None))).rows[1]
    assert not only_ours.lost_its_score(0, 1)


def test_the_questions_of_a_task_have_the_names_of_their_links() -> None:
    def task(*values: float) -> list[Result]:
        samples = [Sample(str(number), value) for number, value in enumerate(values)]
        return [Result("mmlu", "law", "law", "lab", scores=(Score.mean_of(samples, metric="acc"),))]

    lines = moved_questions_table(compared(task(1, 1, 0), task(1, 0, 0)), verbose=False)
    assert cells(lines) == [["mmlu/law:1", "right", "wrong", "flipped"]]


def test_where_nothing_moved_there_is_no_table() -> None:
    assert moved_questions_table(compared(scored(1, 0), scored(1, 0)), verbose=True) == []


def test_a_comparison_is_a_screen_however_many_questions_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    def grouped(value: float) -> list[Result]:
        return [
            Result("own", f"{group}-{number}", f"group {group}", "lab", scores=(Score(value),))
            for group in range(30)
            for number in range(10)
        ]

    report = compared(grouped(1.0), grouped(0.0))
    assert len(comparison_lines(report, verbose=False)) <= 24
    assert len(comparison_lines(report, verbose=True)) > 300


def test_the_worst_comparison_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    before = [*scored(1, 1, 1), *scored(1, 1, 1, benchmark="worse")]
    after = [*scored(1, 1, 0), *scored(0, 0, 1, benchmark="worse")]
    lines = comparison_lines(compared(before, after), verbose=False)
    assert [line.split(" ")[0] for line in lines[2:4]] == ["worse", "own"]


SCORES = st.none() | st.floats(0, 1).map(lambda score: round(score, 9))  # a smaller change is none


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=12), st.booleans())
def test_any_scores_make_a_table_of_the_questions_that_moved(
    pairs: list[tuple[float | None, float | None]], verbose: bool
) -> None:
    before, after = zip(*pairs, strict=True)
    report = compared(scored(*before), scored(*after))
    lines = moved_questions_table(report, verbose=verbose)
    if report.changes and verbose:
        moved = [b is not None and a != b for b, a in pairs]
        assert len(cells(lines) if lines else []) == sum(moved)


# --- totals ---

USAGE = RunUsage(75.0, (ModelUsage("model", "lab", 96, 12_000, 48_000), ModelUsage("judge", "one", 1, 9, 9)))


def test_the_totals_have_the_time_and_a_line_for_each_model_and_judge() -> None:
    assert totals_lines(Run((), usage=USAGE)) == [
        "totals: 1 min 15 s",
        "  lab: 96 requests, 12,000 tokens read, 48,000 written (640.0 a second)",
        "  judge one: 1 request, 9 tokens read, 9 written (0.1 a second)",
    ]


def test_with_prices_they_have_the_cost() -> None:
    run = Run((), {"price_in": ["1"], "price_out": ["lab=10"]}, usage=USAGE)
    assert totals_lines(run)[:2] == [
        "totals: 1 min 15 s, cost 0.4920",
        "  lab: 96 requests, 12,000 tokens read, 48,000 written (640.0 a second), cost 0.4920",
    ]


@pytest.mark.parametrize("usage", [None, RunUsage(3.0)])
def test_where_nothing_was_asked_there_are_none(usage: RunUsage | None) -> None:
    assert totals_lines(Run((), usage=usage)) == []


def test_they_stand_below_all_else() -> None:
    run = Run(tuple(scored(1.0)), models={"lab": "lab"}, notes=("a note",), usage=USAGE)
    lines = terminal_lines(RunReport.of(run), verbose=False, sampled=())
    assert lines[lines.index("note: a note") + 1 :] == ["", *totals_lines(run)]


# --- colours ---


@pytest.mark.parametrize(
    ("line", "markup"),
    [
        ("benchmark  score", {"bold": True}),
        ("question  before  after", {"bold": True}),
        ("ranking  score", {"bold": True}),
        ("  failed: own >= 1: expected", {"red": True}),
        ("  inconclusive: own.drop <= 0.1", {"yellow": True}),
        ("  improvement: law  0.5  0.6", {"green": True}),
        ("own/1     right   wrong  flipped", {"red": True}),
        ("2026-11-20 10:00  0.70  -o-  failed", {"red": True}),
        ("2026-11-20 10:00  0.70  -o-  passed", {"green": True}),
        ("1  lab  0.9  best", {"green": True}),
        ("own  0.5  0.1  10  0  0", {}),
        ("", {}),
    ],
)
def test_a_line_has_the_colour_of_what_it_tells(line: str, markup: dict[str, bool]) -> None:
    assert line_markup(line) == markup


def test_a_broken_row_or_sentence_has_one_colour() -> None:
    lines = [
        "  regression: law",
        "        0.50   0.40",
        "  improvement: art",
        "        0.40   0.50",
        "own  0.5",
    ]
    colours = [next(iter(markup), "") for _, markup in marked_lines(lines)]
    assert colours == ["red", "red", "green", "green", ""]
