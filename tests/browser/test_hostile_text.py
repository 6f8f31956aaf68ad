"""Text of strangers is only ever text: in names, questions, answers, judgments, and everywhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_instructlab_eval.records.evidence import Chat, Evidence, Judgment, ModelReply
from pytest_instructlab_eval.records.run import ModelAdaptation, Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score

from .runs import judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
Written = Callable[..., Path]

HOSTILE = (
    "</script><script>window.owned=1</script>",
    '"><img src=x onerror="window.owned=1">',
    "<style>body{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.owned=1",
    "a\u2028b\u2029c\u202ed\u2066e",
    "lone \ud800 surrogate and \x00 null \x1b[31m",
    "__proto__",
    "<!--<script>",
    "</textarea></title></style></noscript>",
)


def hostile_run(text: str) -> Run:
    """A run that has the text wherever a stranger's text can be."""
    results = []
    for model in (f"m {text}", f"base {text}"):
        reply = ModelReply(f"answer {text}", f"stop {text}", f"reasoning {text}")
        judgment = Judgment(4.0, f"judgment {text}", f"judge {text}", prompt=text, reasoning=text)
        evidence = Evidence(f"question {text}", text, (reply,), (judgment,), text, f"asked {text}", 1)
        score = Score(4.0, f"metric {text}", 10, evidence=evidence, metadata={text: [text]})
        chat = Chat(({"role": text, "content": f"system {text}"},), f"other {text}", text, text, error=text)
        results.append(
            Result(
                f"own {text}",
                f"name {text}",
                f"group {text}",
                model,
                text,
                (score,),
                chats=(chat,),
                error=text,
            )
        )
        sample = Sample(
            text, 1.0, text, text, (-1.0, -2.0), question=f"choice {text}", choices=(text, "b"), way=text
        )
        results.append(Result("task", text, text, model, scores=(Score.mean_of([sample], metric=text),)))
    models = {f"m {text}": text, f"base {text}": text}
    adaptation = ModelAdaptation("model", text, text, text, changes_answers=True)
    return Run(
        tuple(results),
        {"system_prompt": text, text: text},
        models=models,
        base=f"base {text}",
        notes=(text,),
        failures=(text,),
        incomplete=f"incomplete {text}",
        adaptations=(adaptation,),
    )


def test_a_strangers_text_is_text(written: Written, open_page: Open) -> None:
    runs = [hostile_run(text) for text in HOSTILE]
    models = {name: path for run in runs for name, path in run.models.items()}
    results = tuple(result for run in runs for result in run.results)
    page = open_page(written(dataclasses.replace(runs[0], results=results, models=models)))
    for _ in results:
        page.keyboard.press("j")
        page.wait_for_selector("#question h3")
    for text in HOSTILE:
        page.get_by_label("Search").fill(text[:8])
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("window.owned") is None
    assert page.locator("img, iframe, object, embed, a[href^=javascript]").count() == 0
    assert page.locator("script").count() == page.locator("body > script").count()
    assert page.locator("body").is_visible()


def test_a_strangers_text_is_shown_as_it_is(written: Written, open_page: Open) -> None:
    text = HOSTILE[0]
    page = open_page(written(hostile_run(text)))
    page.keyboard.press("j")
    page.wait_for_selector("#question .side")
    shown = page.locator("#question").inner_text()
    for part in ("question", "answer", "judgment", "judge"):
        assert f"{part} {text}" in shown


def test_what_hides_or_turns_text_is_written_out(written: Written, open_page: Open) -> None:
    page = open_page(written(hostile_run("a\u202eb\x1bc\ud800d")))
    page.keyboard.press("j")
    page.wait_for_selector("#question .side")
    whole = page.locator("body").inner_text()
    assert r"a\u202eb\x1bc" in whole
    assert not set("\u202e\x1b\ud800").intersection(whole)


def test_a_megabyte_is_cut_and_said_to_be(written: Written, open_page: Open) -> None:
    page = open_page(written(hostile_run("long " * 200_000)))
    page.keyboard.press("j")
    page.wait_for_selector("#question .side")
    more = page.get_by_role("button", name="Show all").first
    more.click()
    assert "characters; see results.json" in page.locator("#question").inner_text()


def test_the_page_cannot_reach_a_network(written: Written, open_page: Open, problems: list[str]) -> None:
    page = open_page(written(judged_run()))
    outcome = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)")
    assert outcome == "TypeError"
    assert page.evaluate("window.refused") == ["connect-src"]
    script = "const made = document.createElement('script'); made.textContent = 'window.owned=1';"
    page.evaluate(f"() => {{ {script} document.body.append(made); }}")
    assert page.evaluate("window.owned") is None
    assert {refused.split("-")[0] for refused in page.evaluate("window.refused")} == {"connect", "script"}
    page.evaluate("window.refused = []")
    problems.clear()
