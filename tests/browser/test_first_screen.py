"""What is seen before anything is clicked: the verdict, the gates, what changed, the scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .runs import choices_run, judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
Written = Callable[..., Path]

WIDTHS = (360, 768, 1280, 1920, 2560)


@pytest.fixture(scope="module")
def judged(written: Written) -> Path:
    return written(judged_run())


def in_sight(page: Page, selector: str) -> bool:
    box = page.locator(selector).first.bounding_box()
    size = page.viewport_size
    assert box is not None
    assert size is not None
    return bool(box["y"] >= 0 and box["y"] + box["height"] <= size["height"])


def test_why_it_is_red_is_seen_without_scrolling(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    headline = page.locator("h1").inner_text()
    assert "mt_bench.drop <= 0.1 failed: expected <= 0.1, got" in headline
    for selector in (
        "h1",
        ".gate.failed",
        ".gate.failed svg",
        ".change .means",
        ".change tbody tr:first-child",
    ):
        assert in_sight(page, selector), selector
    worst = page.locator(".change tbody tr").first.inner_text()
    assert "-coding" in worst
    assert "flipped" in worst


def test_a_gate_shows_its_interval_against_its_limit(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    drawn = page.locator(".gate.failed svg").first
    assert "limit 0.1" in (drawn.get_attribute("aria-label") or "")

    def position(kind: str) -> float:
        box = drawn.locator(kind).bounding_box()
        assert box is not None
        return float(box["x"] + box["width"] / 2)

    assert position(".at") < position(".dot")  # the drop is above its limit


def test_a_number_of_changed_questions_leads_to_them(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    page.get_by_role("link", name="12 down").click()
    assert page.locator("#count").inner_text() == "12 of 48 questions"
    assert "-coding" in page.locator("#list .row").first.inner_text()


def test_scores_stand_side_by_side_and_sort(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    table = page.locator(".block table")
    heads = [head.strip() for head in table.locator("thead th").all_inner_texts()]
    assert heads[:6] == ["group", "lab", "95 % interval", "base", "95 % interval", "difference"]
    table.get_by_role("button", name="difference").click()
    assert table.locator("tbody tr").first.locator("th").inner_text() == "coding"
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("difference")
    table.get_by_role("button", name="difference").click()
    assert table.locator("tbody tr").last.locator("th").inner_text() == "coding"


def test_radar_distribution_judges_and_totals(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    assert page.locator(".radar polygon").count() == 2
    assert page.locator(".radar text").all_text_contents() == ["writing", "roleplay", "math", "coding"]
    assert page.locator(".bars rect").count() == 20  # ten ratings of two models
    assert page.get_by_text("judges' agreement (lab): Krippendorff's alpha 1.00").is_visible()
    assert page.get_by_text("answers cut off by the limit (lab): 2").is_visible()
    totals = page.locator("#totals")
    assert totals.locator("h2").inner_text() == "Totals 1 min 15 s, cost 0.4921"
    assert totals.locator("tbody tr").first.inner_text().split("\t") == [
        "lab", "96", "12,000", "48,000", "640.0", "0.4920"
    ]  # fmt: skip


def test_several_models_are_ranked_with_ties(written: Written, open_page: Open) -> None:
    page = open_page(written(choices_run("first", "second", "third")))
    rows = page.locator("#ranking tbody tr").all_inner_texts()
    assert len(rows) == 3
    assert rows[0].endswith("best")
    assert any(row.endswith("may equal the best") for row in rows[1:])


@pytest.mark.parametrize(
    ("theme", "background"), [("light", "rgb(246, 247, 249)"), ("dark", "rgb(16, 20, 24)")]
)
def test_nothing_is_wider_than_the_window(judged: Path, open_page: Open, theme: str, background: str) -> None:
    page = open_page(judged, "#mt_bench/81-coding", theme=theme)
    page.wait_for_selector("#question .side")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


def test_the_theme_can_be_changed(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 24)"
    assert page.locator("#theme").inner_text() == "Light"


def test_it_prints_without_its_controls(judged: Path, open_page: Open) -> None:
    page = open_page(judged, "#mt_bench/81-coding", theme="dark")
    page.wait_for_selector("#question .side")
    assert page.pdf(format="A4").startswith(b"%PDF-")
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    assert not page.locator("#list").is_visible()
    assert page.locator("#question .side").first.is_visible()
    assert page.locator("h1").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_serious(judged: Path, open_page: Open, theme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe: install the extra `browser`")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text("utf-8")
    page = open_page(judged, "#mt_bench/81-coding", width=width, theme=theme)
    page.wait_for_selector("#question .side")
    page.evaluate(f"() => {{ {script} }}")
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [
        (violation["id"], [node["html"][:100] for node in violation["nodes"]][:3])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []


VIEWS = {
    "first-screen": ("", 1280, 800, "light"),
    "first-screen-dark": ("", 1280, 800, "dark"),
    "question": ("#mt_bench/81-coding", 1280, 800, "light"),
    "phone": ("", 360, 740, "light"),
    "wall": ("#mt_bench/81-coding", 2560, 1440, "dark"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_kept(judged: Path, open_page: Open, tmp_path: Path, name: str) -> None:
    """For people to look at; CI keeps the folder that SCREENSHOTS names."""
    place, width, height, theme = VIEWS[name]
    page = open_page(judged, place, width=width, height=height, theme=theme)
    if place:
        page.wait_for_selector("#question .side")
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"report-{name}.png")
    assert (folder / f"report-{name}.png").stat().st_size > 10_000
