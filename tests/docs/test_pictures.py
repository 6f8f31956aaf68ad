"""The pictures of the pages are there, say in words what they show, are small, and load nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .markdown import ROOT
from .test_links import PAGES

PICTURE = re.compile(r"!\[(?P<text>[^]]*)\]\((?P<target>[^()\s]+)\)")
SHOWN = [(page, found["text"], found["target"]) for page in PAGES
         for found in PICTURE.finditer(page.read_text("utf-8"))]  # fmt: skip
MADE = sorted((ROOT / "docs" / "pictures").glob("*"))
MAKE = "python -m tests.docs.pictures makes it"


@pytest.mark.parametrize(("page", "text", "target"), SHOWN, ids=[target for _, _, target in SHOWN])
def test_a_picture_is_there_and_described(page: Path, text: str, target: str) -> None:
    assert (page.parent / target).is_file(), (
        f"{page.relative_to(ROOT)} shows {target}, which is missing: {MAKE}"
    )
    assert len(text.split()) > 5, f"{target} needs a text for those who do not see it"


def test_every_picture_is_shown() -> None:
    assert {(page.parent / target).resolve() for page, _, target in SHOWN} >= set(MADE)
    assert {picture.suffix for picture in MADE} == {".png", ".svg"}


@pytest.mark.parametrize("picture", MADE, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_loads_nothing(picture: Path) -> None:
    data = picture.read_bytes()
    assert len(data) < 150_000
    if picture.suffix == ".svg":
        text = data.decode("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|<script|url\((?!#)", text)
