"""The history of scores in the terminal: a table for each benchmark and model, oldest run first."""

from __future__ import annotations

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.gates.sentences import score_digits
from pytest_instructlab_eval.records.previous_runs import FOLDER
from pytest_instructlab_eval.reports.history import HistoryPoint, RunHistory, ScoreHistory, time_text
from pytest_instructlab_eval.reports.notes import note_line
from pytest_instructlab_eval.reports.tables import fit_table, paragraph, paragraphs

BAR = 15  # characters: the whole table fits in 80 columns


def history_lines(history: RunHistory) -> list[str]:
    """Return the lines of a history: its tables, the gates that failed, and what is left out."""
    lines: list[str] = []
    for scores in history.scores:
        lines += [*_history_table(scores), ""]
    if history.failures:
        several = len({failed.model for _, failed in history.failures} - {None}) > 1
        lines.append(f"gates that failed in {'1 run' if history.runs == 1 else f'{history.runs:,} runs'}:")
        for run, failed in history.failures:
            of = f" ({failed.model})" if several and failed.model is not None else ""
            text = f"{time_text(run.ended)} {failed.gate}{of}: {short_reason(failed.message)}"
            lines += paragraph(f"  {failed.verdict}: {escape_line(text)}")
        lines.append("")
    lines += paragraphs(map(note_line, history.notes))
    return lines if not lines or lines[-1] else lines[:-1]


def _history_table(scores: ScoreHistory) -> list[str]:
    """Return the table of a benchmark and model, under its name and above its notes."""
    digits = score_digits(scores.maximum)
    low, high = scores.span
    head = ["run (UTC)", "score", "95 % interval", f"{low:.{digits}f} to {high:.{digits}f}", "gates"]
    rows = [
        [
            run_label(point), f"{point.score.value:.{digits}f}", point_interval(point, digits),
            _bar(point, low, high), point.verdict or "-",
        ]
        for point in scores.points
    ]  # fmt: skip
    if scores.lines > 1:
        head.insert(1, "line")
        for row, point in zip(rows, scores.points, strict=True):
            row.insert(1, str(point.line))
    base = ", the base model" if scores.is_base else ""
    title = f"history: {scores.benchmark} of {scores.model}{base}, 0 to {scores.maximum:g}"
    table = fit_table(head, rows, text=(len(head) - 2, len(head) - 1))
    return [*paragraph(title), *table, *paragraphs(map(note_line, scores.notes))]


def point_interval(point: HistoryPoint, digits: int) -> str:
    """Return the ends of a score's interval; empty without one."""
    interval = point.score.interval
    return "" if interval is None else " to ".join(f"{end:.{digits}f}" for end in interval)


def run_label(point: HistoryPoint) -> str:
    """Return the time of a run, and its name where that is not a time itself."""
    name = point.run.name
    is_named_by_time = name == "." or name.startswith(f"{FOLDER}/")
    return time_text(point.run.ended) + ("" if is_named_by_time else f" {escape_line(name)}")


def short_reason(message: str) -> str:
    """Return what was expected and got, without the interval and the questions behind it."""
    return message.partition(";")[0].partition(" (")[0]


def _bar(point: HistoryPoint, low: float, high: float) -> str:
    """Return a score and its interval on a scale from low to high, in plain ASCII: "  ---o---  "."""

    def column(value: float) -> int:
        return round((BAR - 1) * (value - low) / (high - low)) if high > low else BAR // 2

    value = column(point.score.value or 0.0)
    first, last = (value, value) if point.score.interval is None else map(column, point.score.interval)
    marks = ["-" if first <= place <= last else " " for place in range(BAR)]
    marks[value] = "o"
    return "".join(marks).rstrip()
