"""The hooks of pytest-html: its rows get the score, the question and the answer of an evaluated test."""

from __future__ import annotations

import html

import pytest

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.session.received_results import ReceivedResults

PLUGIN = "html"  # the name of pytest-html
PLACE = 2  # of our first column: behind the outcome and the name of the test
HEADS = (
    '<th class="sortable" data-column-type="score">Score</th>', "<th>Question</th>", "<th>Answer</th>",
)  # fmt: skip


class HtmlTable:
    """The hooks, which come first, so that those of the user can change what they add.

    pytest-html makes its rows when a test has been torn down; its reports have no result any more.
    """

    def __init__(self, results: ReceivedResults) -> None:
        self._results = results

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Add the heads of the columns."""
        cells[PLACE:PLACE] = HEADS

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Add the cells of a test, empty ones where it has no result; escape the name of the test."""
        from pytest_instructlab_eval.reports.item_cells import ItemCells, item_cells

        result = self._results.of_report(report)
        added = ItemCells("", "", "") if result is None else item_cells(result)
        phase = "" if report.when == "call" else f"::{report.when}"
        cells[1:PLACE] = [f'<td class="col-testId">{html.escape(escape_line(report.nodeid + phase))}</td>']
        cells[PLACE:PLACE] = [f'<td class="col-{name}">{cell}</td>' for name, cell in added._asdict().items()]

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:
        """Put the whole question, answer and judgment above the test's log."""
        from pytest_instructlab_eval.reports.item_cells import item_details

        result = self._results.of_report(report)
        details = "" if result is None else item_details(result)
        if details:
            data.insert(0, f"{details}\n\n")
