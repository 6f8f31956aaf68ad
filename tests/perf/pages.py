"""report.html in headless Chromium: its size, how long it takes to open, to filter and to search.

    python -m tests.perf.pages RUN... [--times 5] [--questions 100000]

A RUN is the folder of a finished run, or its results.json. `--questions` adds a made-up run of about so many
questions. Needs the extra `browser` and Debian's Chromium. Times are medians, in milliseconds, from the start
of the navigation: until the first screen is painted, until the list can be used, until the texts of all
questions can be searched. A filter and a search are timed from the input to the next painted frame.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.reports.run_folder import write_report
from pytest_instructlab_eval.reports.run_report import RunReport
from tests.browser.conftest import CHROMIUM
from tests.browser.runs import SUBJECTS, choices_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FIGURES = ("first paint", "list", "texts", "filter", "search")
UNTIL_PAINTED = """
async ([label, value]) => {
  const field = document.querySelector(`#filters [aria-label="${label}"]`);
  const start = performance.now();
  if (value === null) field.selectedIndex = 1;
  else field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
  return performance.now() - start;
}
"""
OPENED = """
() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return [paint ? paint.startTime : NaN, Number(document.documentElement.dataset.ready), performance.now()];
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--questions", type=int, default=0)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    print(f"| {' | '.join(('run', 'questions', 'written in s', 'size in MB', *FIGURES))} |")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        for name, report in reports(options.runs, options.questions):
            page = Path(folder) / "report.html"
            started = time.perf_counter()
            write_report(page, report)
            written = time.perf_counter() - started
            count = sum(summary.overall.n for summary in report.summaries)
            times = [f"{median:.0f}" for median in medians(browser, page, options.times)]
            size = page.stat().st_size / 1e6
            print(f"| {' | '.join((name, f'{count:,}', f'{written:.1f}', f'{size:.2f}', *times))} |")
        browser.close()


def reports(runs: list[Path], questions: int) -> Iterator[tuple[str, RunReport]]:
    for path in runs:
        yield str(path), RunReport.of(read_run(path / "results.json" if path.is_dir() else path))
    if questions:
        run = choices_run("lab", questions=questions // len(SUBJECTS))
        yield "made up", RunReport.of(dataclasses.replace(run, gates=()))


def medians(browser: Browser, file: Path, times: int) -> list[float]:
    found = [measured(browser, file) for _ in range(times)]
    return [statistics.median(values) for values in zip(*found, strict=True)]


def measured(browser: Browser, file: Path) -> list[float]:
    """The times of one opening, in a context that knows nothing of the others."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-texts]", state="attached", timeout=300_000)
    opened = page.evaluate(OPENED)
    filtered = page.evaluate(UNTIL_PAINTED, ["Group", None])
    searched = page.evaluate(UNTIL_PAINTED, ["Search", "which"])
    context.close()
    return [*opened, filtered, searched]


if __name__ == "__main__":
    main()
