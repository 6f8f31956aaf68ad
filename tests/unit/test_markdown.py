"""summary.md: the verdict first, never too long, and nothing in it that is not ours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.escaping import markdown_code, markdown_text
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.markdown import LONGEST, summary_page
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.stats.changes import changes_between
from pytest_instructlab_eval.stats.summary import summarise


def report(
    verdict: Verdict, gate: str = "own >= 0.5", message: str = "expected >= 0.5, got 0.4"
) -> GateReport:
    return GateReport(parse_gate(gate), verdict, message, "lab")


def own(model: str, values: dict[str, float]) -> list[Result]:
    return [Result("own", name, name, model, scores=(Score(value),)) for name, value in values.items()]


def page(
    *,
    reports: Sequence[GateReport] = (),
    problems: Sequence[str] = (),
    errors: int = 0,
    results: int = 1,
    incomplete: str | None = None,
    inconclusive: str = "warn",
) -> str:
    ours = own("lab", {f"group{number:05}": 0.25 for number in range(results)})
    theirs = own("base", {f"group{number:05}": 0.5 for number in range(results)})
    run = Run(tuple(ours), {"inconclusive": inconclusive}, models={"lab": "lab"}, incomplete=incomplete)
    return summary_page(
        RunReport(
            run,
            problems=tuple(problems),
            failed_tests=errors,
            verdicts=tuple(reports),
            changes=tuple(changes_between(ours, theirs)),
            summaries=tuple(summarise(ours)),
        )
    )


@pytest.mark.parametrize(
    ("verdicts", "problems", "errors", "head"),
    [
        (["passed"], [], 0, "## ✅ passed: evaluation of `lab`"),
        ([], [], 0, "## ✅ passed: evaluation of `lab`"),
        (["passed", "inconclusive"], [], 0, "## ⚠️ inconclusive: evaluation of `lab`"),
        (["inconclusive", "failed"], [], 1, "## ❌ failed: evaluation of `lab`"),
        (["refused"], [], 0, "## ❌ broken: evaluation of `lab`"),
        (["passed"], ["a worker died"], 0, "## ❌ broken: evaluation of `lab`"),
        (["passed", "skipped"], [], 2, "## ❌ failed: evaluation of `lab`"),
    ],
)
def test_the_verdict_comes_first(
    verdicts: list[Verdict], problems: list[str], errors: int, head: str
) -> None:
    found = page(reports=[report(verdict) for verdict in verdicts], problems=problems, errors=errors)
    assert found.splitlines()[0] == head
    assert all(problem in found for problem in problems)


@pytest.mark.parametrize(
    ("inconclusive", "word"), [("warn", "⚠️ inconclusive"), ("fail", "⚠️ inconclusive"), ("pass", "✅ passed")]
)
def test_what_an_undecided_gate_means_is_the_users_choice(inconclusive: str, word: str) -> None:
    found = page(reports=[report("inconclusive")], inconclusive=inconclusive)
    assert found.startswith(f"## {word}: evaluation of `lab`")


@pytest.mark.parametrize(("inconclusive", "said"), [("warn", False), ("fail", True), ("pass", False)])
def test_where_an_inconclusive_gate_fails_the_run_the_page_says_so(inconclusive: str, said: bool) -> None:
    found = page(reports=[report("inconclusive"), report("passed")], inconclusive=inconclusive)
    assert ("An inconclusive gate fails this run (`--eval-inconclusive fail`)." in found) == said


def test_a_run_that_asked_nothing_has_not_passed_but_was_skipped() -> None:
    found = page(results=0, reports=[report("skipped")])
    assert found.startswith("## skipped: evaluation of `lab`\n\nGates: 1 skipped.\nNo question was asked.")


def test_a_run_whose_gates_were_not_evaluated_has_not_passed() -> None:
    found = page(incomplete="the run was stopped before its end")
    assert found.startswith(
        "## ⚠️ inconclusive: evaluation of `lab`\n\n"
        "- the gates were not evaluated: the run was stopped before its end"
    )
    assert page(incomplete="stopped", errors=1).startswith(
        "## ❌ failed: evaluation of `lab`\n\n1 test failed."
    )


def test_gates_come_worst_first_without_defaults_that_passed() -> None:
    default = report("passed", "own.error_rate <= 0")
    found = page(reports=[default, report("passed", "own >= 0.1"), report("failed", "own >= 0.9")])
    rows = [line for line in found.splitlines() if line.startswith("| ✅") or line.startswith("| ❌")]
    assert [row.split(" | ")[1] for row in rows] == ["`own >= 0.9`", "`own >= 0.1`"]
    assert "Gates: 1 failed, 2 passed (1 default)." in found


def test_what_got_worse_stands_with_its_interval() -> None:
    found = page(results=12)
    assert "| `own as a whole` | 0.5000 | 0.2500 | -0.2500 | -0.3066 to -0.1934 |" in found
    assert "| `own: group00003` | 0.5000 | 0.2500 | -0.2500 |" in found
    (row,) = [line for line in found.splitlines() if "group00003" in line]
    assert row.endswith("| 1 | too few for an interval about other questions like these |")


def test_it_is_never_too_long_and_says_what_is_left_out() -> None:
    found = page(results=1500, reports=[report("failed", message="x" * 5000)] * 300, errors=5)
    assert len(found) <= LONGEST
    assert "more, in results.json." in found
    assert found.startswith("## ❌ failed")


HOSTILE = (
    "</td><script>|` @everyone [x](http://evil) ![i](https://evil) **b** \n# h \x1b[31m www.evil.example"
)


def test_foreign_text_stays_text() -> None:
    shown = markdown_code(HOSTILE)
    assert shown[0] == shown[-1] == "`"
    assert "`" not in shown[1:-1]
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert "|" not in shown.replace("\\|", "")
    plain = markdown_text(HOSTILE)
    for markup in ("<", ">", "|", "`", "@", "[", "](", "**", "\n", "\x1b", "://", "www."):
        assert markup not in plain


@given(st.text(max_size=200))
def test_no_text_ends_its_cell_or_its_line(value: str) -> None:
    for shown in (markdown_code(value), markdown_text(value)):
        assert len(shown.splitlines()) <= 1
        assert "|" not in shown.replace("\\|", "")
