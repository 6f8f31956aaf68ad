"""summary.md: the page of a run for its reviewer, on a pull request or in a CI job's summary."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from pytest_instructlab_eval.escaping import escape_text, markdown_block, markdown_code, markdown_text
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.markdown_sections import VERDICTS, markdown_sections
from pytest_instructlab_eval.reports.run_report import COULD_NOT_START, RunReport
from pytest_instructlab_eval.reports.verdicts import family_note, verdict_counts

LONGEST = 60_000  # characters; GitHub accepts 65,536 in a comment, and 1 MiB in a step's summary
LONGEST_TEXT = 4_000  # characters of what a model was sent or said
# Limits for one table or list, tried in this order until the page is short enough.
ROWS = (200, 100, 50, 25, 12, 6, 3, 1)
WHERE_ANSWERS_ARE = (
    "Each question with its answers and judgments is in `report.html`, among the files of the run. "
    "`python -m pytest_instructlab_eval report` makes the page of any finished run."
)


def summary_page(report: RunReport) -> str:
    """Return the page: verdict, findings, what to do next, gates, changes, ranking, scores, totals.

    A page longer than `LONGEST` is cut: each table loses its last rows and says how many, and where that is
    not enough, the last sections are left out by name.
    """
    tables = list(markdown_sections(report))
    head = f"## {VERDICTS[report.headline]}: evaluation of {markdown_code(', '.join(report.candidates))}"
    for rows in ROWS:
        sections = [
            ("findings", "\n".join(_findings(report, rows))),
            ("what to do next", _next_steps(report)),
            *((table.title, table.text(rows)) for table in tables),
            ("adaptations", "\n".join(_limited_list(report.run.adaptation_notes, rows))),
            ("report", WHERE_ANSWERS_ARE if report.has_page else ""),
        ]
        page = _joined_sections(head, sections)
        if len(page) <= LONGEST:
            return page
    filled = [(title, text) for title, text in sections if text]
    for kept in range(len(filled) - 1, -1, -1):
        names = ", ".join(title for title, _ in filled[kept:])
        cut = f"Left out, since GitHub limits the length of a page: {names}; see report.html."
        page = _joined_sections(head, [*filled[:kept], ("cut", cut)])
        if len(page) <= LONGEST:
            break
    return page


def refusal_page(models: Sequence[str], reason: str, texts: Sequence[tuple[str, str]] = ()) -> str:
    """Return the page of a run that could not start; below it the texts that explain it, by their titles."""
    run = Run((), models=dict(zip(models, models, strict=True)))
    page = summary_page(RunReport(run, problems=(reason,), pytest_status=COULD_NOT_START))
    for title, text in texts:
        shown = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
        section = f"\n### {markdown_text(title)}\n\n{markdown_block(shown)}\n"
        if len(page) + len(section) <= LONGEST:
            page += section
    return page


def _joined_sections(head: str, sections: Sequence[tuple[str, str]]) -> str:
    """Return the head and the texts of the sections, which come with their titles, as a page."""
    return escape_text("\n\n".join([head, *(text for _, text in sections if text)]) + "\n")


def _limited_list(notes: Sequence[str], most: int) -> Iterator[str]:
    """Yield a list of at most so many notes, and how many more there are."""
    yield from (f"- {markdown_text(note)}" for note in notes[:most])
    if len(notes) > most:
        yield f"- … and {len(notes) - most:,} more, in results.json."


def _findings(report: RunReport, most: int) -> Iterator[str]:
    """Yield what the gates and the tests came to, then the problems and notes, of which `most` are shown."""
    if report.verdicts:
        yield f"Gates: {verdict_counts(report.verdicts)}."
    if note := family_note(report.verdicts):
        yield f"{note}."
    if any(verdict.verdict == "inconclusive" for verdict in report.failed_gates):
        yield "An inconclusive gate fails this run (`--eval-inconclusive fail`)."
    if failed := report.failed_tests:
        yield "1 test failed." if failed == 1 else f"{failed:,} tests failed."
    if report.headline == "broken":
        yield "The run says nothing of the model: see what could not be asked or measured."
    if not report.summaries:
        yield "No question was asked."
    notes = [
        *report.problems,
        *(report.identity_notes if report.changes else []),
        *report.run.notes,
        *filter(None, [report.not_gated]),
        *report.run.left_out.values(),
    ]
    yield from _limited_list(list(dict.fromkeys(notes)), most)


def _next_steps(report: RunReport) -> str:
    """Return what to do about the verdict, the most urgent first; empty where nothing is to do."""
    verdicts = {verdict.verdict for verdict in report.verdicts}
    drops = {verdict.verdict for verdict in report.verdicts if verdict.gate.selector.figure.compares}
    summaries = report.summaries
    missing = report.run.incomplete is not None or any(summary.overall.errors for summary in summaries)
    applicable = {
        "Run the same command again with `--eval-resume`: it asks only what is missing.": missing,
        "Look at the questions that got worse: the report shows both answers and each judgment.": (
            "failed" in drops
        ),
        "Look at the questions that the failed gates name: the report shows their answers.": (
            "failed" in verdicts - drops
        ),
        "A refused gate could not be evaluated: correct what its line names.": "refused" in verdicts,
        "An inconclusive gate needs more questions, or more answers to each (`--eval-repeat`): its line "
        "says what is missing.": "inconclusive" in verdicts,
        "The token limit cut answers off: the report can show these alone.": (
            any(summary.cut_off for summary in summaries)
        ),
        "Some judgments state several ratings: the report can show these alone; another judge may help.": (
            any(summary.contradictory for summary in summaries)
        ),
    }
    steps = list(itertools.compress(applicable, applicable.values()))
    if report.headline == "refused":
        steps = ["Correct what is named above, and run the same command again."]
    return "\n- ".join(["### What to do next\n", *steps]) if steps else ""
