"""Tables and paragraphs that fit the width of the terminal without breaking a number."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence

GAP = "  "
NARROWEST = 40  # columns; pytest too takes a narrower width for a mistake and uses 80

Cells = Sequence[str]


def fit_table(head: Cells, rows: Sequence[Cells], *, text: Sequence[int] = ()) -> list[str]:
    """Return the lines of a table whose first column has labels.

    The other columns are aligned to the right, except those in `text`, given by their indexes. For a narrow
    terminal, the heads are broken first, then long labels get their own line, then cells are broken at
    blanks.
    """
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - _terminal_width()
    labels, *others = range(len(columns))
    with_broken_heads = {
        number: max([_longest_word(columns[number][0]), *map(len, columns[number][1:])]) for number in others
    }
    with_broken_cells = {number: max(map(_longest_word, columns[number])) for number in others}
    for least in (with_broken_heads, {labels: 0}, with_broken_cells):  # the order in which they are narrowed
        for number, enough in least.items():
            less = max(0, min(excess, widths[number] - enough))
            widths[number] -= less
            excess -= less
    lines = list(_table_lines(head, widths, text))
    lines.append(GAP.join("-" * width for width in widths))
    return lines + [line for row in rows for line in _table_lines(row, widths, text)]


def paragraph(line: str) -> list[str]:
    """Return the text broken into lines; the later ones are indented by two more columns."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, _terminal_width(), subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def paragraphs(texts: Iterable[str]) -> list[str]:
    """Return the lines of several texts, each broken as a paragraph."""
    return [line for text in texts for line in paragraph(text)]


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _table_lines(row: Cells, widths: Sequence[int], text: Sequence[int]) -> Iterator[str]:
    label, *cells = row
    if len(label) > widths[0]:
        yield from paragraph(label)
        label = ""
    if not any((label, *cells)):
        return
    broken = [[label]]
    for cell, width in zip(cells, widths[1:], strict=True):
        broken.append(textwrap.wrap(cell, max(width, 1), break_on_hyphens=False, break_long_words=False))
    for line in range(max(map(len, broken))):
        shown = [part[line] if line < len(part) else "" for part in broken]
        yield GAP.join(
            cell.ljust(width) if number == 0 or number in text else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(shown, widths, strict=True))
        ).rstrip()


def _terminal_width() -> int:
    width = shutil.get_terminal_size((80, 24)).columns
    return width if width >= NARROWEST else 80
