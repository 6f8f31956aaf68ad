"""Markdown pages as far as the checks read them: headings, sections, anchors and links."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"(?<!!)\[(?:[^][]|\[[^][]*\])*\]\((?P<target>[^()\s]+)\)")


@dataclass(frozen=True)
class Heading:
    """A heading: its level, its text, and where it begins and its text ends."""

    level: int
    text: str
    start: int
    end: int


def blanked(text: str, pattern: re.Pattern[str]) -> str:
    """Return a text with blanks for what matches, so that places stay the same."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def headings(text: str) -> list[Heading]:
    """Return the headings outside of code blocks."""
    return [
        Heading(len(found[1]), found[2], found.start(), found.end())
        for found in HEADING.finditer(blanked(text, FENCE))
    ]


def section(text: str, title: str) -> tuple[int, int]:
    """Return where the section of a title begins and ends, with the sections below it."""
    all_headings = headings(text)
    for number, heading in enumerate(all_headings):
        if heading.text.replace("`", "") == title:
            after = (other.start for other in all_headings[number + 1 :] if other.level <= heading.level)
            return heading.end, next(after, len(text))
    raise LookupError(f"there is no section {title!r}")


def slug(title: str) -> str:
    """Return the anchor of a heading that no heading above it shares, as Git hosts and MyST make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings; those of one title are numbered."""
    result: set[str] = set()
    for heading in headings(text):
        name = slug(LINK.sub(lambda link: link[0][1 : link[0].index("](")], heading.text))
        names = (f"{name}-{number}" if number else name for number in itertools.count())
        result.add(next(one for one in names if one not in result))
    return result


def links(text: str) -> Iterator[str]:
    """Yield the targets of links outside of code."""
    for found in LINK.finditer(blanked(blanked(text, FENCE), CODE)):
        yield found["target"]


def broken_links(page: Path, text: str) -> list[str]:
    """Return the relative links of a page that lead to no file, or to no heading of one."""
    broken = []
    for target in links(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        there = file == page or file.exists()
        is_page = file.suffix == ".md" and there
        shown = text if file == page else file.read_text("utf-8") if is_page else ""
        if not there or (anchor and anchor not in anchors(shown)):
            broken.append(target)
    return broken
