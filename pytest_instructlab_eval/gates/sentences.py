"""The wording of gates: expected limits, measured values, intervals and lists of names."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_instructlab_eval.stats.statistics import Interval

WORST = 5  # questions named in a verdict
LISTED = 10  # known names in a message about an unknown one


def score_digits(maximum: float) -> int:
    """Return the number of decimal digits of a score on a scale of 0 to this maximum."""
    return 2 if maximum > 1 else 4


def number_text(value: float, digits: int) -> str:
    """Return a value with so many decimal digits."""
    return f"{value:,.{digits}f}"


def expected_text(operator: str, limit: float, value: float | None, digits: int) -> str:
    """Return the limit and the value beside it: "expected >= 0.5, got 0.2281"."""
    if value is None:
        return f"expected {operator} {limit:g}, got no value"
    rounded = number_text(value, digits)
    # 0.49999 would read as "expected >= 0.5, got 0.5000".
    hides_the_difference = value != limit and round(value, digits) == limit
    return f"expected {operator} {limit:g}, got {value if hides_the_difference else rounded}"


def confidence_text(confidence: float) -> str:
    """Return a confidence in per cent, as precise as what it leaves out: "95 %", "98.75 %", "99.912 %"."""
    left_out = 100 * (1 - confidence)
    digits = 2 + max(0, math.floor(-math.log10(left_out)))
    return f"{100 - left_out:.{digits}f}".rstrip("0").rstrip(".") + " %"


def interval_text(interval: Interval | None, confidence: float, digits: int) -> str:
    """Return an interval of this confidence with its ends, or "no 95 % interval"."""
    level = confidence_text(confidence)
    if interval is None:
        return f"no {level} interval"
    return f"{level} interval {number_text(interval.low, digits)} to {number_text(interval.high, digits)}"


def detectable_drop_text(drop: float, digits: int) -> str:
    """Return how small a drop this many questions can tell from no drop at all, whatever a gate allows."""
    seen = f"a drop of {number_text(drop, digits)}"
    return f"with this many questions {seen} can be told from none in 80 % of runs"


def failing_drop_text(drop: float | None, digits: int) -> str:
    """Return how small a drop fails a gate on so many questions; None for no drop at all."""
    if drop is None:
        return "with so few questions no drop fails this gate in 80 % of runs"
    return f"with this many questions a drop of {number_text(drop, digits)} fails this gate in 80 % of runs"


def question_count(count: int) -> str:
    """Return the number of questions with its noun."""
    return "1 question" if count == 1 else f"{count:,} questions"


def measured_on(count: int, clusters: Collection[str], answers: Collection[int]) -> str:
    """Return what a figure is measured on: "15 questions in 3 clusters, 4 answers each".

    `clusters` are those of the questions, "" for one of its own, and `answers` the numbers of answers of
    each; what is plain (a question a cluster, one answer) is not said.
    """
    named = set(clusters)
    several = f" in {len(named):,} clusters" if 1 < len(named) < count and "" not in named else ""
    least, most = min(answers, default=1), max(answers, default=1)
    number = f"{least} to {most}" if least < most else str(most)
    return f"{question_count(count)}{several}" + (f", {number} answers each" if most > 1 else "")


def name_list(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - WORST:,} more" if len(names) > WORST else ""
    return ", ".join(names[:WORST]) + more


def known_names(name: str, names: Iterable[str]) -> str:
    """Return the known names, for a message about an unknown one, and a suggestion."""
    ordered = sorted(names)
    more = f" and {len(ordered) - LISTED:,} more" if len(ordered) > LISTED else ""
    return f" (known: {', '.join(ordered[:LISTED]) or 'none'}{more}){close_matches(name, ordered)}"


def close_matches(name: str, names: Collection[str]) -> str:
    """Return a suggestion of similar names; empty where there is none."""
    near = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
