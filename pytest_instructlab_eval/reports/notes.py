"""What is told of a run beside its numbers, a line a note."""

from __future__ import annotations

from pytest_instructlab_eval.escaping import escape_line


def note_line(note: str) -> str:
    """Return the line of a note; a warning says that it is one."""
    shown = escape_line(note)
    return shown if shown.startswith("warning: ") else f"note: {shown}"
