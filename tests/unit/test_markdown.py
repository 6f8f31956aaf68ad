"""summary.md: the verdict first, never too long, and nothing in it that is not ours."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.escaping import markdown_code, markdown_text
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict
from pytest_instructlab_eval.records.evidence import Evidence, Judgment, ModelReply, Origin
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.records.usage import ModelUsage, RunUsage
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
    (row,) = [line for line in found.splitlines() if "own: group00003" in line]
    assert row.endswith("| 1 | too few for an interval about other questions like these |")


def test_it_is_never_too_long_and_says_what_is_left_out() -> None:
    found = page(results=1500, reports=[report("failed", message="x" * 5000)] * 300, errors=5)
    assert len(found) <= LONGEST
    assert "more, in results.json." in found
    assert found.startswith("## ❌ failed")


def test_what_does_not_fit_even_then_is_left_out_by_name() -> None:
    values = dict.fromkeys("abcdefgh", 0.5)
    results = [
        dataclasses.replace(result, benchmark="<" * 550 + str(number))
        for number in range(40)
        for model, more in (("lab", {"a": 0.0}), ("base", {"b": 0.0}))
        for result in own(model, values | more)
    ]
    run = Run(tuple(results), models={"lab": "", "base": ""}, base="base")
    found = summary_page(RunReport.of(run, gated=False))
    assert len(found) <= LONGEST
    assert re.search(
        r"Left out, since GitHub limits the length of a page: .*Scores.*; see report.html", found
    )


CATEGORIES = ("writing", "coding", "math")


def rated(model: str, more: float = 0.0) -> list[Result]:
    """Questions of three categories, with two turns each."""
    return [
        Result(
            "mt_bench", f"{81 + number}-{CATEGORIES[number % 3]}", CATEGORIES[number % 3], model,
            cluster=f"{number}",
            scores=tuple(
                Score(
                    min(10.0, 1 + number + more), f"turn_{turn}", 10.0,
                    evidence=Evidence(
                        "Why?", replies=(ModelReply("So.", "length" if number == 0 else "stop"),),
                        judgments=(Judgment(2.0, "so", contradictory=(2.0, 9.0) if number == 1 else ()),),
                        turn=turn, origin=Origin(qna_file="a/qna.yaml", qna_line=7 if number == 4 else None),
                    ),
                )
                for turn in (1, 2)
            ),
        )
        for number in range(8)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def panel() -> str:
    """The page of a run of two candidates against a base model, all worse than it."""
    results = (*rated("lab"), *rated("other", 0.5), *rated("base", 5.0))
    usage = RunUsage(65.0, (ModelUsage("model", "lab", 12, 1234, 567),))
    run = Run(
        results, {"price_in": ["2"]}, models=dict.fromkeys(("lab", "other", "base"), ""), base="base",
        notes=("1 knowledge file is left out: --eval-include-knowledge asks its pairs",), usage=usage,
        left_out={"mmlu": "3 questions of mmlu were deselected"},
        gates=("mt_bench.drop <= 0.5",),
    )  # fmt: skip
    return summary_page(RunReport.of(run))


def rows_of(page: str, title: str) -> list[list[str]]:
    """The cells of the rows below a title, without those of the head."""
    _, _, below = page.partition(title)
    lines = below.partition("\n|")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_it_has_the_ranking(panel: str) -> None:
    rows = rows_of(panel, "### Ranking")
    assert [(row[0], row[-1]) for row in rows] == [("`other`", "best"), ("`lab`", "")]


def test_it_has_the_scores_of_turns_and_categories(panel: str) -> None:
    rows = rows_of(panel, "<summary><b>Scores by turn, category or file</b>")
    assert [row[0].rpartition(": ")[2] for row in rows[:4]] == ["turn 1`", "turn 2`", "writing`", "coding`"]
    assert rows[2][1] == "4.00 of 10"


def test_long_tables_are_closed_until_they_are_opened(panel: str) -> None:
    opened, _, rest = panel.partition("<details>\n<summary>")
    assert "### Gates" in opened
    assert panel.count("<details>") == panel.count("</details>") > 0
    assert rest.partition("</summary>")[2].startswith("\n\n| "), "Markdown needs the blank line"


def test_it_names_the_worst_questions_with_their_lines(panel: str) -> None:
    rows = rows_of(panel, "### Questions that got worse")
    assert len(rows) == 10
    assert rows[0] == ["`81-writing (lab)`", "", "6", "1", "flipped"]
    assert ["`85-coding (lab)`", "line 7", "10", "5", "flipped"] in rows
    assert "6 more questions got worse; the report shows them." in panel


def test_it_counts_what_is_in_doubt_and_says_what_was_left_out(panel: str) -> None:
    assert "| answers cut off by the limit |  |  | 2 |" in panel
    assert "| contradictory judgments |  |  | 2 |" in panel
    assert "- 1 knowledge file is left out: --eval-include-knowledge asks its pairs" in panel
    assert "- 3 questions of mmlu were deselected" in panel


def test_it_says_what_to_do_next_and_where_the_answers_are(panel: str) -> None:
    steps = panel.partition("### What to do next\n\n")[2].partition("\n\n")[0].splitlines()
    assert steps == [
        "- Look at the questions that got worse: the report shows both answers and each judgment.",
        "- The token limit cut answers off: the report can show these alone.",
        "- Some judgments state several ratings: the report can show these alone; another judge may help.",
    ]
    assert "in `report.html`" in panel


def test_it_has_the_tokens_the_time_and_the_cost(panel: str) -> None:
    assert rows_of(panel, "### Tokens and requests") == [["`lab`", "12", "1,234", "567", "8.7", "0.0025"]]
    assert "The run took 1 min 5 s, cost 0.0025." in panel


@pytest.mark.parametrize(
    ("run", "step"),
    [
        (Run((), incomplete="stopped"), "`--eval-resume`"),
        (Run((Result("own", "a", "", "lab", error="no"),)), "`--eval-resume`"),
        (Run(tuple(own("lab", {"a": 0.1})), gates=("own >= 0.5",)), "the failed gates name"),
        (
            Run(tuple(own("lab", {"a": 0.1})), gates=("own.drop <= 0.5",)),
            "refused gate could not be evaluated",
        ),
    ],
)
def test_each_verdict_has_its_next_step(run: Run, step: str) -> None:
    assert step in summary_page(RunReport.of(run)).partition("### What to do next")[2].partition("###")[0]


def test_a_run_that_passed_has_nothing_to_do_and_one_without_a_page_names_none() -> None:
    run = Run(tuple(own("lab", {"a": 1.0})), {"report": "none"})
    found = summary_page(RunReport.of(run))
    assert "What to do next" not in found
    assert "report.html" not in found


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


@given(name=st.text(min_size=1, max_size=60) | st.just(HOSTILE))
def test_no_name_is_more_than_text_in_any_section(name: str) -> None:
    results = [
        Result(f"b{name}", f"q{name}", f"{group}{name}", f"{model}{name}", scores=(Score(value),))
        for model, value in (("x", 0.2), ("y", 0.1), ("z", 0.9))
        for group in "cd"
    ]
    models = dict.fromkeys((result.model for result in results), "")
    found = summary_page(RunReport.of(Run(tuple(results), models=models, base=f"z{name}", notes=(name,))))
    outside = re.sub(r"`[^`\n]*`", "", found)
    tags = set(re.findall(r"<[^>\n]*>?", outside))
    assert tags <= {"<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>"}
    assert "@" not in outside
    assert "](" not in outside
    tables = [line for line in found.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} <= {4, 6, 7, 9}
