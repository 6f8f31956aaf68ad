"""Every relative link leads to a file, and to a heading of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .markdown import ROOT, anchors, broken_links

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title, `with code` & more\n\n## Twice\n\n## Twice\n", "utf-8")
    page = tmp_path / "page.md"
    text = """# Here

[a](other.md) [b](other.md#a-title-with-code--more) [c](other.md#twice-1) [d](#here) [`e`](other.md#twice)
[f](https://example.org/x.md) `[g](code.md)` [several
words](lost.md) [h](other.md#lost) [i](#lost) [j](../nowhere/)

```text
[k](block.md)
```
"""
    assert broken_links(page, text) == ["lost.md", "other.md#lost", "#lost", "../nowhere/"]


def test_anchors_are_as_git_hosts_make_them() -> None:
    text = "# `--eval-model NAME`\n## results.json\n## mt_bench, too\n## [A link](x.md)\n```\n# code\n```\n"
    assert anchors(text) == {"--eval-model-name", "resultsjson", "mt_bench-too", "a-link"}
