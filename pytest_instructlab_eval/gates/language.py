"""The gates' small language: `SELECTOR OP NUMBER`, parsed into frozen objects.

SELECTOR    BENCHMARK [GROUP] .METRIC .FIGURE, all but the benchmark optional, in this order
BENCHMARK   letters, digits, "_" and "-", or a text in double quotes (as JSON has it); METRIC likewise
GROUP       any text in brackets; in double quotes where it has brackets or quotes itself
FIGURE      drop, error_rate, unscored_rate or n; the mean where none is named
OP          >=, >, <= or <; a drop has but <=
NUMBER      a decimal number or a percentage
"""

from __future__ import annotations

import difflib
import json
import math
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

from pytest_instructlab_eval.errors import ConfigurationError

__all__ = ["FIGURES", "OPERATORS", "Figure", "Gate", "Operator", "Selector", "close_matches", "parse_gate"]

Operator = Literal[">=", ">", "<=", "<"]
Figure = Literal["mean", "drop", "error_rate", "unscored_rate", "n"]

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip
FIGURES = tuple(name for name in get_args(Figure) if name != "mean")

NAME = re.compile(r"[\w-]+")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
BARE_GROUP = re.compile(r'[^][\x00-\x1f\x7f"]+')
COMPARISON = re.compile(r"[<>=!~]+")
NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,4}))?\s*(%?)")
FOUND = re.compile(r"[\w.+-]+|[<>=!~]+|\S")
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Selector:
    """What is gated: a figure of a benchmark, or of one group or metric of it."""

    benchmark: str
    group: str | None = None
    metric: str | None = None
    figure: Figure = "mean"

    def __str__(self) -> str:
        group = "" if self.group is None else f"[{_group(self.group)}]"
        metric = "" if self.metric is None else f".{_name(self.metric, reserved=FIGURES)}"
        figure = "" if self.figure == "mean" else f".{self.figure}"
        return f"{_name(self.benchmark)}{group}{metric}{figure}"


@dataclass(frozen=True)
class Gate:
    """One condition; `limit` is a share (0.5) where `percent` says that it was written as one (50%).

    `text` is the gate as the user wrote it, its canonical form by default. A `standing` gate is there for
    every run, whether or not it has what is gated; one that was asked for this run must be evaluated.
    Equal gates may differ in these two.
    """

    selector: Selector
    operator: Operator
    limit: float
    percent: bool = False
    text: str = field(default="", compare=False)
    standing: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text.strip() or str(self))

    def __str__(self) -> str:
        number = f"{_percentage(self.limit)}%" if self.percent else repr(self.limit).removesuffix(".0")
        return f"{self.selector} {self.operator} {number}"

    def holds(self, value: float) -> bool:
        """Whether the value meets the limit."""
        return OPERATORS[self.operator](value, self.limit)


def parse_gate(text: str, *, benchmarks: Collection[str] | None = None, standing: bool = False) -> Gate:
    """The gate that a text means; `benchmarks` are the known names, None where any name may do.

    Raises ConfigurationError, which quotes the text and names the column (from 1).
    """
    scanner = _Scanner(text)
    selector = _selector(scanner, benchmarks)
    sign = _operator(scanner, selector)
    limit, percent = _number(scanner, selector)
    if scanner.rest():
        raise scanner.error("the end of the gate")
    return Gate(selector, sign, limit, percent, text, standing)


def close_matches(name: str, known: Collection[str]) -> str:
    """A question that names what may have been meant; empty where nothing is near."""
    near = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


class _Scanner:
    """A text and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def rest(self) -> str:
        """What is yet to be read, without space before it."""
        self._skip()
        return self.text[self.place :]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What the pattern matches at this place, read; None where it doesn't."""
        self._skip()
        found = pattern.match(self.text, self.place)
        if found:
            self.place = found.end()
        return found

    def takes(self, sign: str) -> bool:
        """Whether the sign stands at this place; then it is read."""
        return self.take(re.compile(re.escape(sign))) is not None

    def error(self, expected: str, place: int | None = None) -> ConfigurationError:
        """What to raise at this place, or at an earlier one."""
        if place is not None:
            self.place = place
        self._skip()
        found = FOUND.match(self.text, self.place)
        seen = repr(found.group()) if found else "the end"
        return self.refusal(f"expected {expected} (found {seen})", self.place)

    def refusal(self, reason: str, place: int) -> ConfigurationError:
        """What to raise about a place."""
        return ConfigurationError(f"gate {self.text!r}: column {place + 1}: {reason}")

    def _skip(self) -> None:
        spaces = SPACE.match(self.text, self.place)
        self.place = spaces.end() if spaces else self.place


def _selector(scanner: _Scanner, benchmarks: Collection[str] | None) -> Selector:
    scanner.rest()
    start = scanner.place
    benchmark = _read_name(scanner, "the name of a benchmark")
    if benchmarks is not None and benchmark not in benchmarks:
        reason = f"there is no benchmark {benchmark!r}{close_matches(benchmark, benchmarks)}"
        raise scanner.refusal(f"{reason} (known: {', '.join(sorted(benchmarks)) or 'none'})", start)
    group = _read_group(scanner) if scanner.takes("[") else None
    metric, figure = _metric_and_figure(scanner)
    if scanner.rest().startswith("["):
        raise scanner.error(
            f"an operator; a group stands right after its benchmark, as in {benchmark}[coding]"
        )
    return Selector(benchmark, group, metric, figure)


def _metric_and_figure(scanner: _Scanner) -> tuple[str | None, Figure]:
    if not scanner.takes("."):
        return None, "mean"
    figure = _read_figure(scanner)
    if figure is not None:
        return None, figure
    metric = _read_name(scanner, f"a metric, or one of {', '.join(FIGURES)}")
    if not scanner.takes("."):
        return metric, "mean"
    figure = _read_figure(scanner)
    if figure is None:
        raise scanner.error(f"one of {', '.join(FIGURES)}")
    return metric, figure


def _read_figure(scanner: _Scanner) -> Figure | None:
    before = scanner.place
    found = scanner.take(NAME)
    name: Any = found.group() if found else None
    if name in FIGURES:
        figure: Figure = name
        return figure
    scanner.place = before
    return None


def _read_name(scanner: _Scanner, expected: str) -> str:
    if scanner.rest().startswith('"'):
        return _read_quoted(scanner)
    found = scanner.take(NAME)
    if not found:
        raise scanner.error(expected)
    return found.group()


def _read_group(scanner: _Scanner) -> str:
    if scanner.rest().startswith('"'):
        group = _read_quoted(scanner)
    else:
        found = scanner.take(BARE_GROUP)
        if not found:
            raise scanner.error(
                "the name of a group, in double quotes where it has brackets or quotes itself"
            )
        group = found.group().strip()
    if not scanner.takes("]"):
        raise scanner.error("] after the group, whose name must be in double quotes where it has brackets")
    return group


def _read_quoted(scanner: _Scanner) -> str:
    start = scanner.place
    found = scanner.take(QUOTED)
    if not found:
        raise scanner.error("a text that ends with a double quote", start)
    try:
        return str(json.loads(found.group(), strict=False))
    except ValueError:
        raise scanner.refusal(
            'a backslash in quotes stands before " or \\, or as JSON has it', start
        ) from None


def _operator(scanner: _Scanner, selector: Selector) -> Operator:
    scanner.rest()
    start = scanner.place
    found = scanner.take(COMPARISON)
    sign: Any = found.group() if found else None
    allowed = ["<="] if selector.figure == "drop" else list(OPERATORS)
    if sign not in allowed:
        expected = (
            "<=, as a drop is bounded from above" if len(allowed) == 1 else f"one of {', '.join(allowed)}"
        )
        raise scanner.error(expected, start)
    known: Operator = sign
    return known


def _number(scanner: _Scanner, selector: Selector) -> tuple[float, bool]:
    scanner.rest()
    start = scanner.place
    found = scanner.take(NUMBER)
    if not found:
        raise scanner.error("a number such as 0.5 or 50%", start)
    mantissa, exponent, sign = found.groups()
    if sign and selector.figure == "n":
        raise scanner.error("a count, which is no percentage", start)
    limit = float(f"{mantissa}e{int(exponent or 0) - (2 if sign else 0)}")
    if not math.isfinite(limit):
        raise scanner.error("a finite number", start)
    return limit, bool(sign)


def _name(name: str, reserved: Collection[str] = ()) -> str:
    return name if NAME.fullmatch(name) and name not in reserved else _quoted(name)


def _group(group: str) -> str:
    return group if BARE_GROUP.fullmatch(group) and group == group.strip() else _quoted(group)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _percentage(share: float) -> str:
    """The share times 100, exactly as its decimal digits have it."""
    return format(Decimal(repr(share)).scaleb(2), "f")
