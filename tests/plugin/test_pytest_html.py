"""The rows of pytest-html's page have the score, the question and the answer of an evaluated test."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from .conftest import OTHERS, Project

pytest.importorskip("pytest_html", reason="needs pytest-html: install the extra `test`")

OWN = """
    import pytest

    @pytest.mark.eval("own", max_score=10)
    @pytest.mark.parametrize("number", range(3))
    async def test_number(number, served_model, record_score):
        reply = await served_model.chat(f"Is <img src=x onerror=alert({number})> number {number}?")
        record_score(4.0 * number)
        assert number < 2

    def test_plain():
        pass
"""
WITH_HTML = tuple(
    part
    for name in OTHERS
    if name not in ("html", "html_fixtures", "metadata")
    for part in ("-p", f"no:{name}")
)
Row = dict[str, str]


def page_rows(path: Path) -> tuple[list[str], dict[str, Row]]:
    """The heads of the table, and for each test the cells of its row, with what opens below it as `log`."""
    text = path.read_text("utf-8")
    heads = re.findall(r"<th.*?>(.*?)</th>", text)
    blob = re.search(r'data-jsonblob="(.*?)"', text)
    assert blob is not None
    rows = {}
    for name, parts in json.loads(html.unescape(blob[1]))["tests"].items():
        cells = [re.sub(r"^<td.*?>|</td>$", "", cell) for cell in parts[0]["resultsTableRow"]]
        rows[name] = {**dict(zip(heads, cells, strict=True)), "log": parts[0]["log"]}
    return heads, rows


@pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["alone", "workers"])
def test_a_row_has_the_score_the_question_and_the_answer(
    project: Project, processes: tuple[str, ...]
) -> None:
    project.write("test_own.py", OWN)
    command = (*project.model, "test_own.py", "--html=page.html", *processes, *WITH_HTML)
    project.run(*command, ret=1, bare=False, passed=3, failed=1)
    heads, rows = page_rows(project.folder / "page.html")
    assert heads == ["Result", "Test", "Score", "Question", "Answer", "Duration", "Links"]
    first, last = rows["test_own.py::test_number[0]"], rows["test_own.py::test_number[2]"]
    assert [first["Score"].strip(), last["Score"].strip()] == ["0.00 of 10", "8.00 of 10"]
    assert first["Question"] == "Is &lt;img src=x onerror=alert(0)&gt; number 0?"
    assert first["Answer"].startswith("Answer to: Is &lt;img")
    assert "question: Is &lt;img" in first["log"]
    assert "<img" not in "".join(first.values()) + "".join(last.values())
    plain = rows["test_own.py::test_plain"]
    assert (plain["Score"], plain["Question"], plain["Answer"]) == ("", "", "")


def test_without_a_model_the_table_is_as_it_was(project: Project) -> None:
    project.write("test_own.py", "def test_plain():\n    pass\n")
    project.run("test_own.py", "--html=page.html", *WITH_HTML, bare=False, passed=1)
    assert page_rows(project.folder / "page.html")[0] == ["Result", "Test", "Duration", "Links"]
