"""The history of scores in the page: drawn within the window, with a ring where a gate failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.reports.history import output_history
from pytest_instructlab_eval.reports.results_json import write_results
from pytest_instructlab_eval.reports.run_folder import write_report
from pytest_instructlab_eval.reports.run_report import RunReport

from .runs import choices_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
AXE = "axe.run('#history').then((result) => result.violations)"


@pytest.fixture(scope="module")
def page_of_three_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two runs before it; the newest one has no gate."""
    folder = tmp_path_factory.mktemp("history")
    runs = [choices_run("lab", seed=seed) for seed in range(3)]
    runs[2] = replace(runs[2], gates=())
    places = ["previous/2026-11-01T10-00-00Z", "previous/2026-11-02T10-00-00Z", "."]
    for run, place in zip(runs, places, strict=True):
        (folder / place).mkdir(parents=True, exist_ok=True)
        write_results(folder / place / "results.json", RunReport.of(run))
    write_report(folder / "report.html", RunReport.of(runs[2]), output_history(folder))
    return folder / "report.html"


def test_each_run_is_a_dot_and_a_row_and_a_failed_gate_a_ring(
    page_of_three_runs: Path, open_page: Open
) -> None:
    page = open_page(page_of_three_runs, "#history")
    section = page.locator("#history")
    assert section.locator("svg .dot").count() == section.locator("tbody tr").count() == 3
    assert section.locator("svg .fail").count() == 2
    assert section.locator("svg .stroke").count() == 2
    assert section.locator("tbody tr .chip.failed").count() == 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_every_window_and_axe_finds_nothing_serious(
    page_of_three_runs: Path, open_page: Open, theme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe: install the extra `browser`")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text("utf-8")
    page = open_page(page_of_three_runs, "#history", theme=theme)
    for width in (360, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.evaluate(f"() => {{ {script} }}")
    found = page.evaluate(AXE)
    assert [entry["id"] for entry in found if entry["impact"] in ("serious", "critical")] == []
