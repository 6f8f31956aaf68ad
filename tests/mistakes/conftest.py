"""The projects of tests/plugin, and the table of what each mistake got."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugin.conftest import (  # fixtures
    make_project,  # noqa: F401
    mmlu_data,  # noqa: F401
    mt_bench_data,  # noqa: F401
    project,  # noqa: F401
    server,  # noqa: F401
)

WIDEST = 160  # characters of a cell


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--show-mistakes", action="store_true", help="print a table of what each mistake gets")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if terminalreporter.config.getoption("--show-mistakes"):
        for line in table(terminalreporter):
            terminalreporter.write_line(line)


def table(terminalreporter: Any) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| | mistake | status | what it gets |"
    yield "| --- | --- | --- | --- |"
    for outcome, sign in (("passed", ""), ("failed", "FAILED")):
        for report in terminalreporter.getreports(outcome):
            found = dict(report.user_properties)
            if "mistake" in found:
                cells = (sign, found["mistake"], found.get("status", ""), found.get("gets", ""))
                yield "| " + " | ".join(cell(str(text)) for text in cells) + " |"


def cell(text: str) -> str:
    text = text.replace("|", "\\|")
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
