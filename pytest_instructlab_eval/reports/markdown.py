"""summary.md: a run for the one who reviews it, on a pull request or in a CI job's summary."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_instructlab_eval.gates.check import GateReport, fails
from pytest_instructlab_eval.reports.changes_table import cells, notes
from pytest_instructlab_eval.reports.scores_table import doubts, row_cells
from pytest_instructlab_eval.reports.verdicts import counts, noteworthy
from pytest_instructlab_eval.stats.changes import Changes, Kind
from pytest_instructlab_eval.stats.summary import Summary
from pytest_instructlab_eval.visible import markdown_code, markdown_text, visible

__all__ = ["LONGEST", "markdown"]

LONGEST = 60_000  # characters; GitHub takes 65,536 of a comment
ROWS = 200  # of one table, at most
CHANGE_HEAD = ("", "before", "after", "difference", "95 % interval", "std. error", "questions", "")

VERDICTS = {
    "passed": "✅ passed", "failed": "❌ failed", "refused": "❌ refused",
    "inconclusive": "⚠️ inconclusive", "skipped": "skipped",
}  # fmt: skip


def markdown(
    title: str,
    *,
    problems: Sequence[str],
    errors: int,
    reports: Sequence[GateReport],
    not_gated: str | None = None,
    inconclusive: str = "warn",
    changes: Sequence[Changes],
    summaries: Sequence[Summary],
    unasked: Sequence[str] = (),
    adaptations: Sequence[str] = (),
) -> str:
    """The page: the verdict, the gates, what got worse, the rest, the scores; never longer than `LONGEST`.

    `errors` counts the tests that failed, `not_gated` says why no gate was evaluated, `inconclusive` is
    what an undecided gate means: warn, fail or pass. Rows are left out, the last ones first, until it is
    short enough, and it says how many. `unasked` says what was not asked, `adaptations` how requests were
    adapted to servers.
    """
    rows = ROWS
    word = VERDICTS[_word(bool(problems or errors), reports, not_gated, inconclusive, bool(summaries))]
    while True:
        sections = [
            f"## {word}: evaluation of {markdown_code(title)}",
            _told([*problems, *unasked], errors, reports, not_gated, bool(summaries)),
            _gates(reports, rows),
            _worse(changes, rows),
            _better(changes, rows),
            _new(changes, rows),
            _scores(summaries, rows),
            "\n".join(f"- {markdown_text(note)}" for note in adaptations[:rows]),
        ]
        page = visible("\n\n".join(section for section in sections if section) + "\n")
        if len(page) <= LONGEST:
            return page
        if rows <= 1:
            return page[: LONGEST - 2] + "…\n"
        rows //= 2


def _word(
    failed: bool, reports: Sequence[GateReport], not_gated: str | None, inconclusive: str, scored: bool
) -> str:
    """The verdict on the run as a whole."""
    if failed or any(fails(report, inconclusive) for report in reports):
        return "failed"
    undecided = inconclusive != "pass" and any(report.verdict == "inconclusive" for report in reports)
    if not_gated is not None or undecided:
        return "inconclusive"
    return "passed" if scored else "skipped"


def _told(
    problems: Sequence[str], errors: int, reports: Sequence[GateReport], not_gated: str | None, scored: bool
) -> str:
    lines = [f"Gates: {counts(reports)}."] if reports else []
    if errors:
        lines.append("1 test failed." if errors == 1 else f"{errors:,} tests failed.")
    if not scored:
        lines.append("No question was asked.")
    told = dict.fromkeys([*problems, *([not_gated] if not_gated is not None else [])])
    return "\n".join([*lines, *(f"- {markdown_text(problem)}" for problem in list(told)[:ROWS])])


def _gates(reports: Sequence[GateReport], most: int) -> str:
    told = noteworthy(reports)
    models = {report.model for report in told if report.model is not None}
    rows = [
        (
            VERDICTS[report.verdict],
            markdown_code(f"{report.gate}" + (f" [{report.model}]" if len(models) > 1 else "")),
            markdown_text(report.message),
        )
        for report in told
    ]
    return _table("Gates", ("verdict", "gate", "why"), rows, most)


def _worse(found: Sequence[Changes], most: int) -> str:
    return _table("What got worse", CHANGE_HEAD, _change_rows(found, "regression"), most)


def _better(found: Sequence[Changes], most: int) -> str:
    table = _table("What got better", CHANGE_HEAD, _change_rows(found, "improvement"), most)
    return table + "".join(f"\n\n{markdown_text(note)}." for entry in found for note in notes(entry))


def _new(found: Sequence[Changes], most: int) -> str:
    rows = [(row[0], row[2], row[-2]) for row in _change_rows(found, "new")]
    return _table("What is new", ("", "score", "questions"), rows, most)


def _change_rows(found: Sequence[Changes], kind: Kind) -> list[Sequence[str]]:
    """The benchmarks as a whole, then their groups."""
    wholes = [(entry, f"{entry.benchmark} as a whole", entry.overall) for entry in found]
    parts = [(entry, f"{entry.benchmark}: {group.label}", group) for entry in found for group in entry.groups]
    several = len({entry.model for entry in found}) > 1
    rows: list[Sequence[str]] = []
    for entry, label, change in (*wholes, *parts):
        if change.kind == kind:
            _, *numbers = cells("", change)
            named = f"{label} ({entry.model})" if several else label
            rows.append((markdown_code(named), *numbers, "" if change.certain else "may be chance"))
    return rows


def _scores(summaries: Sequence[Summary], most: int) -> str:
    head = ("benchmark", "score", "std. error", "questions", "unscored", "errors")
    rows: list[Sequence[str]] = []
    for summary in summaries:
        _, *numbers = row_cells("", summary.overall)
        rows.append((markdown_code(f"{summary.benchmark}, {summary.model}"), *numbers))
        rows += [(label, "", "", f"{count:,}", "", "") for label, count in doubts(summary)]
    return _table("Scores", head, rows, most)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> str:
    if not rows:
        return ""
    lines = [f"### {title}", "", f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[:most]]
    if len(rows) > most:
        lines += ["", f"… and {len(rows) - most:,} more, in results.json."]
    return "\n".join(lines)
