"""The words in which gates are told: numbers, intervals, limits and lists of names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_instructlab_eval.stats.statistics import Interval

WORST = 5  # questions named behind a verdict
LISTED = 10  # names listed where one is unknown

LIMITS: Mapping[str, tuple[str, str]] = {
    ">=": ("at least {} is asked", "below the {} that is asked"),
    ">": ("more than {} is asked", "not above the {} that is to be exceeded"),
    "<=": ("{} is allowed", "above the {} that is allowed"),
    "<": ("less than {} is asked", "not below the {} that is to be stayed below"),
}
"""How a limit is told by its operator: where it is met, and where it isn't."""


def number_text(value: float, digits: int) -> str:
    """Return a value with the digits that its unit deserves."""
    return f"{value:,.{digits}f}"


def interval_text(interval: Interval | None, digits: int) -> str:
    """Return an interval with its ends, or that there is none."""
    if interval is None:
        return "its 95 % interval can't be measured"
    return f"95 % interval {number_text(interval.low, digits)} to {number_text(interval.high, digits)}"


def question_count(count: int) -> str:
    """Return how many questions there are."""
    return "1 question" if count == 1 else f"{count:,} questions"


def limit_reason(operator: str, limit: float, *, holds: bool) -> str:
    """Return what was asked of a value, and on which side of it the value is."""
    return LIMITS[operator][0 if holds else 1].format(f"{limit:g}")


def name_list(names: Sequence[str]) -> str:
    """Return the first of the names, and how many more there are."""
    more = f" and {len(names) - WORST:,} more" if len(names) > WORST else ""
    return ", ".join(names[:WORST]) + more


def known_names(name: str, names: Iterable[str]) -> str:
    """Return what there is in place of an unknown name, and what may have been meant."""
    ordered = sorted(names)
    more = f" and {len(ordered) - LISTED:,} more" if len(ordered) > LISTED else ""
    return f" (there is {', '.join(ordered[:LISTED]) or 'none'}{more}){close_matches(name, ordered)}"


def close_matches(name: str, names: Collection[str]) -> str:
    """Return a question that names what may have been meant; empty where nothing is near."""
    near = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
