"""The pictures of README.md and of docs/, made from a run of the quickstart's two models.

    python -m tests.docs.pictures [--keep FOLDER]

Needs the extras `local`, `browser` and `pictures`, and Debian's Chromium. `--keep` runs in this folder and
leaves it; where it has a run already, the pictures are made from that.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_instructlab_eval.records.results_file import read_run
from pytest_instructlab_eval.reports.run_folder import write_report
from pytest_instructlab_eval.reports.run_report import RunReport
from tests.browser.conftest import CHROMIUM

from .markdown import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 80
COMMAND = (
    "--eval-model=models/lab", "--eval-base-model=models/base", "--eval-few-shots=0",
    "--eval-benchmark=mmlu_branch", "--eval-tasks-dir=tasks",
    "--eval-benchmark=mt_bench_branch", "--eval-taxonomy=taxonomy", "--eval-judge-model=reference",
    "--eval-gate=mmlu_branch.drop <= 0.05", "--eval-gate=mt_bench_branch >= 9.8",
)  # fmt: skip
SHOWN_COMMAND = "$ pytest --eval-model=models/lab --eval-base-model=models/base …"
# From the table of changes to the line that names the page.
END_OF_OUTPUT = re.compile(r"^(?:\x1b\[[0-9;]*m)*change +before.*?^report: [^\n]*", re.MULTILINE | re.DOTALL)
# rich's font is on a host, and the reader's own will do; its comment has an address, too.
FOREIGN = re.compile(r"@font-face \{.*?\}\s*|<!--.*?-->\s*", re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=Path)
    kept = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as temporary:
        folder = kept or Path(temporary) / "quickstart"
        if not (folder / "output.txt").exists():
            run_quickstart(folder)
        PICTURES.mkdir(exist_ok=True)
        output = (folder / "output.txt").read_text("utf-8")
        write_terminal(output.replace(f"{folder.resolve()}/", ""))
        report = folder / "eval_output" / "report.html"
        write_report(report, RunReport.of(read_run(folder / "eval_output" / "results.json")))
        write_pages(report)
    for picture in PICTURES.glob("*.png"):
        write_small(picture)
    for picture in sorted(PICTURES.iterdir()):
        print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size / 1000:.0f} kB")


def run_quickstart(folder: Path) -> None:
    """Run the quickstart in a folder, with colours, and keep what it prints."""
    shutil.copytree(ROOT / "examples" / "quickstart", folder, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--color=yes", "-p", "no:cacheprovider", *COMMAND],
        cwd=folder, env=os.environ | {"COLUMNS": str(COLUMNS)},
        stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if END_OF_OUTPUT.search(done.stdout) is None:
        sys.exit(f"{done.stdout}\nThe quickstart's run ended with {done.returncode} and shows no changes.")
    (folder / "output.txt").write_text(done.stdout, "utf-8")


def write_terminal(output: str) -> None:
    """Draw the end of a run's output as a terminal shows it."""
    from rich.console import Console
    from rich.text import Text

    part = END_OF_OUTPUT.search(output)
    assert part is not None
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), color_system="truecolor", force_terminal=True
    )
    console.print(Text.from_ansi(f"{SHOWN_COMMAND}\n…\n{part[0]}"))
    drawn = FOREIGN.sub("", console.export_svg(title="pytest", unique_id="terminal"))
    (PICTURES / "terminal.svg").write_text(drawn, "utf-8")


def write_pages(report: Path) -> None:
    """Take the pictures of the report: the first screen, and the question with the lowest score."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.set_default_timeout(120_000)
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-texts]", state="attached")
        page.screenshot(path=PICTURES / "report.png")
        take_question(page)
        browser.close()


def take_question(page: Page) -> None:
    page.get_by_label("Benchmark", exact=True).select_option("mt_bench_branch")
    page.get_by_label("Order", exact=True).select_option("lowest score")
    page.keyboard.press("j")
    page.wait_for_selector("#question .side")
    page.locator("#questions").screenshot(path=PICTURES / "question.png")


def write_small(picture: Path) -> None:
    """Write a picture again with the colours that it needs: a third of its size."""
    from PIL import Image

    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


if __name__ == "__main__":
    main()
