"""The pages in a real browser: Debian's Chromium, driven by Playwright.

Where one is missing, the tests are skipped and say so; with REQUIRE_BROWSER set, as in CI, they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_instructlab_eval.records.baseline import Baseline
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.run_folder import write_report
from pytest_instructlab_eval.reports.run_report import RunReport

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# Keeps what the page's policy refused, and what went wrong in its scripts.
WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => window.refused.push(event.violatedDirective));
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    problem = None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        problem = "needs Playwright: install the extra `browser`"
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        problem = "needs Chromium: apt-get install chromium"
    if problem is not None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(problem)
        pytest.skip(problem)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@pytest.fixture
def problems() -> list[str]:
    """What the browser's console and scripts complained of; each test ends with none."""
    return []


@pytest.fixture
def open_page(browser: Browser, problems: list[str]) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a file, at a place in it, in a window of this width and theme."""
    contexts = []

    def opened(
        file: Path,
        place: str = "",
        *,
        width: int = 1280,
        height: int = 800,
        theme: str = "light",
        watch: str = "",
    ) -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.add_init_script(WATCH + watch)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.extend({request.url} - {file.as_uri()}))
        page.goto(file.as_uri() + place)
        if not watch:
            page.wait_for_selector("html[data-texts]", state="attached")
        return page

    yield opened
    refused = [page.evaluate("window.refused") for context in contexts for page in context.pages]
    for context in contexts:
        context.close()
    assert (problems, [entry for entry in refused if entry]) == ([], [])


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes the page of a run, compared with an earlier one."""

    def write(run: Run, earlier: Run | None = None) -> Path:
        path = tmp_path_factory.mktemp("page") / "report.html"
        baseline = None if earlier is None else Baseline.of(earlier)
        write_report(path, RunReport.of(run, baseline))
        return path

    return write
