"""The list of questions, and one opened question."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .runs import choices_run, judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
Written = Callable[..., Path]


@pytest.fixture(scope="module")
def judged(written: Written) -> Path:
    return written(judged_run())


@pytest.fixture(scope="module")
def choices(written: Written) -> Path:
    return written(choices_run("lab"), choices_run("lab", seed=1))


def count(page: Page) -> str:
    return str(page.locator("#count").inner_text())


def names(page: Page) -> list[str]:
    return list(page.locator("#list .name > bdi").all_inner_texts())


def choose(page: Page, title: str, value: str) -> None:
    page.get_by_label(title, exact=True).select_option(value)


def test_filters_by_group_outcome_and_change(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    assert count(page) == "48 questions"
    choose(page, "Group", "coding")
    assert count(page) == "12 of 48 questions"
    choose(page, "Change", "better")
    assert count(page) == "0 of 48 questions"
    choose(page, "Change", "flipped down")
    assert count(page) == "12 of 48 questions"
    choose(page, "Outcome", "error")
    assert count(page) == "0 of 48 questions"
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector("#count:text-is('48 questions')")


def test_filters_by_score_and_doubt(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    page.get_by_label("Score to").fill("1")
    assert count(page) == "12 of 48 questions"
    page.get_by_label("Score to").fill("")
    page.get_by_label("cut off").check()
    assert names(page) == ["81-math"]
    page.get_by_label("cut off").uncheck()
    page.get_by_label("contradictory").check()
    assert names(page) == ["82-math"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [("PAGE 2 of the math BOOK", 12), ("judge two finds this wrong", 12), ("84-writing", 1), ("nowhere", 0)],
)
def test_searches_questions_answers_and_judgments(
    judged: Path, open_page: Open, words: str, shown: int
) -> None:
    page = open_page(judged)
    page.get_by_label("Search").fill(words)
    assert count(page) == f"{shown} of 48 questions"


def test_orders(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    choose(page, "Order", "worst change")
    assert names(page)[0].endswith("-coding")
    choose(page, "Order", "lowest score")
    assert all(name.endswith("-coding") for name in names(page)[:12])


def test_keys_go_through_the_list_and_to_the_search(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("location.hash") == "#mt_bench/82-writing"
    page.keyboard.press("k")
    page.wait_for_selector("#question h3:has-text('81-writing')")
    page.keyboard.press("/")
    page.keyboard.type("roleplay j")
    assert page.get_by_label("Search").input_value() == "roleplay j"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.get_by_label("Search").input_value() == "roleplay j"


def test_the_list_is_one_for_a_screen_reader(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    listed = page.locator("#list")
    listed.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    chosen = page.locator("#list [aria-selected=true]")
    assert listed.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert (chosen.get_attribute("aria-posinset"), chosen.get_attribute("aria-setsize")) == ("48", "48")


def test_a_link_opens_its_question(judged: Path, open_page: Open) -> None:
    page = open_page(judged, "#mt_bench/90-coding")
    page.wait_for_selector("#question h3:has-text('90-coding')")
    assert page.locator("#list [aria-selected=true]").inner_text().startswith("90-coding")
    page.evaluate("location.hash = '#mt_bench/nowhere'")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.locator("#problem").inner_text() == "This report has no question mt_bench/nowhere."


def test_a_link_opens_its_question_whatever_the_filters_show(judged: Path, open_page: Open) -> None:
    page = open_page(judged)
    choose(page, "Group", "math")
    page.locator(".change tbody a").first.click()
    page.wait_for_selector("#question h3:has-text('-coding')")
    assert count(page) == "48 questions"


def test_with_several_models_the_model_is_in_front(written: Written, open_page: Open) -> None:
    page = open_page(written(choices_run("one/lab", "two lab")), "#two%20lab/mmlu/anatomy%3A3")
    page.wait_for_selector("#question h3:has-text('anatomy:3')")
    assert "two lab" in page.locator("#list [aria-selected=true]").inner_text()
    assert page.evaluate("location.hash = '#one%2Flab/mmlu/anatomy:3'")
    page.wait_for_selector("#list [aria-selected=true]:has-text('one/lab')")


def test_multiple_choice_shows_probabilities_the_right_choice_and_the_chosen_one(
    choices: Path, open_page: Open
) -> None:
    page = open_page(choices, "#mmlu/anatomy%3A0")
    page.wait_for_selector("#question .choices")
    assert page.locator("#question").get_by_text("Which colour has number 0?").is_visible()
    rows = page.locator("#question .choices tbody tr")
    assert rows.count() == 4
    assert rows.nth(1).get_attribute("class") == "right"
    assert "green right" in rows.nth(1).inner_text().replace("\t", " ")
    chosen = page.locator("#question .choices tr:has-text('chosen')")
    assert "85.8 %" in chosen.first.inner_text()
    heads = page.locator("#question .choices thead th").all_inner_texts()
    assert [head.strip() for head in heads] == ["", "choice", "lab", "lab (baseline)"]


def test_a_judged_question_shows_turns_answers_and_each_judges_text(judged: Path, open_page: Open) -> None:
    page = open_page(judged, "#mt_bench/81-coding")
    page.wait_for_selector("#question .side")
    question = page.locator("#question")
    assert question.locator("h3").all_inner_texts()[1:] == ["Turn 1", "Turn 2"]
    sides = question.locator(".sides").first.locator(".side")
    assert sides.nth(0).locator("h4").first.inner_text() == "lab: 1 of 10"
    assert sides.nth(1).locator("h4").first.inner_text().startswith("base (base model): ")
    judgments = sides.nth(0).locator(".judgment").all_inner_texts()
    assert ["one: 1" in judgments[0], "Judge two finds this wrong." in judgments[1]] == [True, True]
    assert "20 tokens read, 90 written" in sides.nth(0).inner_text()
    assert not sides.nth(0).get_by_text("Let me think.").is_visible()
    sides.nth(0).locator("summary", has_text="Reasoning").click()
    assert sides.nth(0).get_by_text("Let me think.").is_visible()
    sides.nth(0).locator("summary", has_text="Messages (2)").click()
    assert sides.nth(0).get_by_text("Be careful.").is_visible()


def test_what_differs_from_the_other_answer_is_marked(judged: Path, open_page: Open) -> None:
    page = open_page(judged, "#mt_bench/81-coding")
    page.wait_for_selector("#question .side mark")
    sides = page.locator("#question .sides").first.locator(".side")
    assert sides.nth(0).locator("mark").all_inner_texts() == ["lab"]
    assert sides.nth(1).locator("mark").all_inner_texts() == ["base"]
    page.get_by_label("mark differences").uncheck()
    assert page.locator("#question mark").count() == 0


def test_doubts_are_said(judged: Path, open_page: Open) -> None:
    page = open_page(judged, "#mt_bench/82-math")
    page.wait_for_selector("#question .judgment")
    assert page.get_by_text("contradictory ratings: 2, 9").first.is_visible()
    page.evaluate("location.hash = '#mt_bench/81-math'")
    page.wait_for_selector("#question h3:has-text('81-math')")
    assert page.get_by_text("cut off by the token limit").first.is_visible()


def test_a_hundred_thousand_questions_are_a_list_of_a_few_lines(written: Written, open_page: Open) -> None:
    run = choices_run("lab", questions=33_334)
    page = open_page(written(dataclasses.replace(run, gates=())))
    assert count(page) == "100,002 questions"
    assert page.locator("#list .row").count() < 60
    page.locator("#list").focus()
    page.keyboard.press("End")
    page.wait_for_selector("#question h3:has-text('virology:33333')")
    page.get_by_label("Search").fill("number 33333?")
    assert names(page) == ["anatomy:33333", "astronomy:33333", "virology:33333"]


def test_an_old_browser_is_told_what_it_lacks(judged: Path, open_page: Open) -> None:
    page = open_page(judged, watch="delete window.DecompressionStream;")
    page.wait_for_selector("#problem:not([hidden])")
    assert "no DecompressionStream" in page.locator("#problem").inner_text()
    assert page.locator("h1").is_visible()
