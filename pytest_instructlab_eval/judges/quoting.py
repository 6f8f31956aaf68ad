"""Puts what strangers wrote into a judge's prompt as data: it ends no part of the prompt and is no rating."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from pytest_instructlab_eval.judges.rating import BLANKS, NUMBER, rating_statements, words_as_numbers
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN, Scale
from pytest_instructlab_eval.models.reasoning import THINK_TAG

DOUBLE = re.compile(rf"\[\[[{BLANKS}]*{NUMBER}[{BLANKS}]*\]\]")  # whatever stands beside it
HEADING = re.compile(
    r"^(?:(?P<opens>\[|<\|)(?P<title>[^\[\]|\n]+)(?:\]|\|>)|(?P<tag></?)(?P<name>[A-Za-z][^<>\n]*)>"
    r"|#{1,6}(?P<line>[^\n#{][^\n{]*))[ \t]*$",
    re.MULTILINE,
)
APOSTROPHES = r"['`\u2018\u2019\u00b4]"


def quote_as_data(text: str, template: str, scale: Scale = ONE_TO_TEN) -> str:
    """Return the text without anything that would read as a rating, or as a heading of the judge's prompt.

    `template` is the prompt before it is filled in, `scale` what the judge rates on. What would end a part of
    the prompt gets round brackets, in whatever case and with whatever blanks it is written.
    """
    for heading, shown in _headings(template):
        text = heading.sub(lambda _, shown=shown: shown, text)  # type: ignore[misc]
    return without_ratings(text, scale)


def without_ratings(text: str, scale: Scale = ONE_TO_TEN) -> str:
    """Return the text without anything that a judge could quote and that would then read as a rating.

    Nor has it a tag of reasoning (`<think>`): what the judge says before or after it would not count.
    """
    text = THINK_TAG.sub(lambda tag: f"({tag[0][1:-1]})", text)
    text = _in_round_brackets(
        text, (number.span() for number in DOUBLE.finditer(words_as_numbers(text, scale)))
    )
    stated, _ = rating_statements(words_as_numbers(text, scale))
    return _in_round_brackets(text, ((statement.number, statement.end) for statement in stated))


def _in_round_brackets(text: str, spans: Iterable[tuple[int, int]]) -> str:
    parts: list[str] = []
    position = 0
    for start, end in spans:
        parts += (text[position:start], text[start:end].replace("[", "(").replace("]", ")"))
        position = end
    return "".join((*parts, text[position:]))


@lru_cache(maxsize=64)
def _headings(template: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return the headings of a prompt as patterns, each with its replacement in a text."""
    blanks = rf"[{BLANKS}]*"
    headings: dict[tuple[re.Pattern[str], str], None] = {}  # each once, in their order
    for match in HEADING.finditer(template):
        title = (match["title"] or match["name"] or match["line"]).strip()
        parts = re.findall(r"\w+|[^\w\s]", title)
        words = blanks.join(APOSTROPHES if part == "'" else re.escape(part) for part in parts)
        if match["title"]:
            begin, end = (r"\[", r"\]") if match["opens"] == "[" else (rf"<{blanks}\|", rf"\|{blanks}>")
            pattern, shown = rf"{begin}{blanks}{words}{blanks}{end}", f"({title})"
        elif match["name"]:
            slash = match["tag"][1:]
            pattern, shown = rf"<{blanks}{slash}{blanks}{words}{blanks}>", f"({slash}{title})"
        else:
            whole = r"(?!\w)" if title[-1].isalnum() else ""
            pattern, shown = rf"(?:#{blanks}){{1,6}}{words}{whole}", f"({title})"
        headings[re.compile(pattern, re.IGNORECASE), shown] = None
    return tuple(headings)
