"""The geometry of the page's charts, which its template draws as SVG: positions and sizes."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.stats.statistics import Interval

WIDTH = 100.0  # of an axis, in units of the drawing


@dataclass(frozen=True)
class Axis:
    """A horizontal axis from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float]) -> Axis:
        """Return an axis that has all the values inside, with some room."""
        low, high = min(values), max(values)
        room = 0.15 * (high - low) or max(0.05 * abs(high), 0.05)
        return cls(low - room, high + room)

    def at(self, value: float) -> float:
        """Return the position of a value, 0 to `WIDTH`."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(WIDTH * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class Mark:
    """A value with its interval on an axis; `low` and `width` are None without an interval."""

    at: float
    low: float | None = None
    width: float | None = None

    @classmethod
    def on(cls, axis: Axis, value: float, interval: Interval | None) -> Mark:
        """Return the mark of a value."""
        if interval is None:
            return cls(axis.at(value))
        low, high = axis.at(interval.low), axis.at(interval.high)
        return cls(axis.at(value), low, round(max(0.6, high - low), 2))


@dataclass(frozen=True)
class LimitChart:
    """A gate's value and interval against its limit; the values from `bad` on, `bad_width` wide, fail it."""

    mark: Mark
    limit: float
    bad: float
    bad_width: float

    @classmethod
    def of(cls, value: float, interval: Interval | None, limit: float, *, from_above: bool) -> LimitChart:
        """Return the chart of a value that a limit holds `from_above` or from below."""
        axis = Axis.around([value, limit, *(interval or ())])
        at = axis.at(limit)
        bad, bad_width = (at, WIDTH - at) if from_above else (0.0, at)
        return cls(Mark.on(axis, value, interval), at, bad, round(bad_width, 2))


@dataclass(frozen=True)
class Radar:
    """The groups of a benchmark around a circle: rings, spokes, and a polygon for each side.

    `labels` are positions with the anchor of their text; `polygons` are lists of points, None where a side
    lacks a group.
    """

    rings: tuple[float, ...]
    spokes: tuple[tuple[float, float], ...]
    labels: tuple[tuple[float, float, str], ...]
    polygons: tuple[str | None, ...]

    @classmethod
    def of(cls, shares: Sequence[Sequence[float | None]]) -> Radar:
        """Return the radar of each side's scores, as shares of the scale (0 to 1)."""
        count = len(shares[0])
        ends, labels, polygons = [], [], []
        for number in range(count):
            turn = 2 * math.pi * number / count - math.pi / 2
            x, y = math.cos(turn), math.sin(turn)  # on radius 1, the first at the top
            ends.append((x, y))
            anchor = "middle" if abs(x) < 0.2 else "start" if x > 0 else "end"
            labels.append((round(58 * x, 1), round(57 * y + 2, 1), anchor))
        for side in shares:
            points = [
                f"{50 * share * x:.2f},{50 * share * y:.2f}"
                for share, (x, y) in zip(side, ends, strict=True)
                if share is not None
            ]
            polygons.append(" ".join(points) if len(points) == count else None)
        return cls(
            (12.5, 25.0, 37.5, 50.0),
            tuple((round(50 * x, 2), round(50 * y, 2)) for x, y in ends),
            tuple(labels),
            tuple(polygons),
        )


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram: its label, and each side's share of its values (0 to 1) and their number."""

    label: str
    shares: tuple[float, ...]
    counts: tuple[int, ...]


MOST_BARS = 20


def histogram(sides: Sequence[Sequence[float]], maximum: float) -> list[Bar]:
    """Return the bars of each side's values: one for each whole number of a small scale, else ten.

    A value beyond the bars is in the nearest.
    """
    if maximum == int(maximum) and 2 < maximum <= MOST_BARS:
        low = 0 if min(itertools.chain(*sides), default=1.0) < 0.5 else 1
        labels = list(map(str, range(low, int(maximum) + 1)))

        def place(value: float) -> int:
            return math.floor(value + 0.5) - low
    else:
        labels = [f"{maximum * number / 10:g} to {maximum * (number + 1) / 10:g}" for number in range(10)]

        def place(value: float) -> int:
            return math.floor(10 * value / maximum)

    counts = []
    for side in sides:
        in_bars = Counter(min(len(labels) - 1, max(0, place(value))) for value in side)
        counts.append([in_bars[bar] for bar in range(len(labels))])
    columns = zip(labels, zip(*_heights(counts), strict=True), zip(*counts, strict=True), strict=True)
    return [Bar(*column) for column in columns]


def _heights(counts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return the heights of each side's bars: their shares of its values, the largest of all as 1."""
    shares = [[number / (sum(side) or 1) for number in side] for side in counts]
    most = max(itertools.chain(*shares), default=0.0) or 1.0
    return [[round(share / most, 4) for share in side] for side in shares]
