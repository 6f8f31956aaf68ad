"""The lines of a run's notes."""

from __future__ import annotations

from pytest_instructlab_eval.escaping import escape_line


def note_line(note: str) -> str:
    """Return the line of a note, which begins with "warning: " or "note: "."""
    shown = escape_line(note)
    return shown if shown.startswith("warning: ") else f"note: {shown}"
