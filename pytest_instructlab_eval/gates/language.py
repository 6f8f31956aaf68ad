"""The gates' small language: `SELECTOR OP NUMBER`, parsed into frozen objects.

SELECTOR    BENCHMARK [GROUP] .METRIC .FIGURE, all but the benchmark optional, in this order
BENCHMARK   letters, digits, "_" and "-", or a text in double quotes (as JSON has it); METRIC likewise
GROUP       any text in brackets; in double quotes where it has brackets or quotes itself
FIGURE      drop, error_rate, unscored_rate or n; the mean where none is named
OP          >=, >, <= or <; a drop has but <=
NUMBER      a decimal number or a percentage
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates.figures import FIGURES, MEAN, Figure
from pytest_instructlab_eval.gates.sentences import close_matches

Operator = Literal[">=", ">", "<=", "<"]

OPERATORS: Mapping[Operator, Callable[[float, float], bool]] = {
    ">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt,
}  # fmt: skip

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
    figure: Figure = MEAN

    def __str__(self) -> str:
        group = "" if self.group is None else f"[{_quoted_name(self.group, BARE_GROUP)}]"
        metric = "" if self.metric is None else f".{_quoted_name(self.metric, NAME, reserved=FIGURES)}"
        figure = "" if self.figure == MEAN else f".{self.figure.name}"
        return f"{_quoted_name(self.benchmark, NAME)}{group}{metric}{figure}"

    @property
    def target(self) -> str:
        """The selector without its figure."""
        return str(replace(self, figure=MEAN))


def _quoted_name(name: str, bare: re.Pattern[str], reserved: Collection[str] = ()) -> str:
    """Return a name as the language has it: in double quotes unless it can stand bare."""
    if bare.fullmatch(name) and name == name.strip() and name not in reserved:
        return name
    return json.dumps(name, ensure_ascii=False)


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
        number = repr(self.limit).removesuffix(".0")
        if self.percent:  # times 100, exactly as its decimal digits have it
            number = format(Decimal(repr(self.limit)).scaleb(2), "f") + "%"
        return f"{self.selector} {self.operator} {number}"

    @property
    def from_above(self) -> bool:
        """Whether the limit is the most that is allowed."""
        return self.operator in ("<=", "<")

    def holds(self, value: float) -> bool:
        """Return whether the value meets the limit."""
        return OPERATORS[self.operator](value, self.limit)


def parse_gate(text: str, *, benchmarks: Collection[str] | None = None, standing: bool = False) -> Gate:
    """Return the gate that a text means; `benchmarks` are the known names, None where any name may do.

    Raises ConfigurationError, which quotes the text and names the column (from 1).
    """
    parser = _Parser(text)
    selector = parser.selector(benchmarks)
    sign = parser.operator(selector.figure)
    limit, percent = parser.limit(selector.figure)
    if parser.rest():
        raise parser.error("the end of the gate")
    return Gate(selector, sign, limit, percent, text, standing)


class _Parser:
    """A text and how far it has been read; a method a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def rest(self) -> str:
        """Return what is yet to be read, without space before it."""
        self._skip()
        return self.text[self.place :]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return what the pattern matches at this place, read; None where it doesn't."""
        self._skip()
        found = pattern.match(self.text, self.place)
        if found:
            self.place = found.end()
        return found

    def takes(self, sign: str) -> bool:
        """Return whether the sign stands at this place; then it is read."""
        return self.take(re.compile(re.escape(sign))) is not None

    def error(self, expected: str, place: int | None = None) -> ConfigurationError:
        """Return what to raise at this place, or at an earlier one."""
        if place is not None:
            self.place = place
        self._skip()
        found = FOUND.match(self.text, self.place)
        seen = repr(found.group()) if found else "the end"
        return self.refusal(f"expected {expected} (found {seen})", self.place)

    def refusal(self, reason: str, place: int) -> ConfigurationError:
        """Return what to raise about a place."""
        return ConfigurationError(f"gate {self.text!r}: column {place + 1}: {reason}")

    def _skip(self) -> None:
        spaces = SPACE.match(self.text, self.place)
        self.place = spaces.end() if spaces else self.place

    def selector(self, benchmarks: Collection[str] | None) -> Selector:
        """Read BENCHMARK [GROUP] .METRIC .FIGURE."""
        self._skip()
        start = self.place
        benchmark = self.name("the name of a benchmark")
        if benchmarks is not None and benchmark not in benchmarks:
            reason = f"there is no benchmark {benchmark!r}{close_matches(benchmark, benchmarks)}"
            raise self.refusal(f"{reason} (known: {', '.join(sorted(benchmarks)) or 'none'})", start)
        group = self.group() if self.takes("[") else None
        metric, figure = self.metric_and_figure()
        if self.rest().startswith("["):
            raise self.error(
                f"an operator; a group stands right after its benchmark, as in {benchmark}[coding]"
            )
        return Selector(benchmark, group, metric, figure)

    def metric_and_figure(self) -> tuple[str | None, Figure]:
        """Read .METRIC .FIGURE, neither of which must be there."""
        if not self.takes("."):
            return None, MEAN
        if figure := self.figure():
            return None, figure
        metric = self.name(f"a metric, or one of {', '.join(FIGURES)}")
        if not self.takes("."):
            return metric, MEAN
        if figure := self.figure():
            return metric, figure
        raise self.error(f"one of {', '.join(FIGURES)}")

    def figure(self) -> Figure | None:
        """Read a figure; nothing is read where there is none of this name."""
        before = self.place
        found = self.take(NAME)
        figure = FIGURES.get(found.group()) if found else None
        if figure is None:
            self.place = before
        return figure

    def name(self, expected: str) -> str:
        """Read a name, bare or in double quotes."""
        if self.rest().startswith('"'):
            return self.quoted()
        found = self.take(NAME)
        if not found:
            raise self.error(expected)
        return found.group()

    def group(self) -> str:
        """Read the rest of [GROUP]."""
        if self.rest().startswith('"'):
            group = self.quoted()
        elif found := self.take(BARE_GROUP):
            group = found.group().strip()
        else:
            raise self.error("the name of a group, in double quotes where it has brackets or quotes itself")
        if not self.takes("]"):
            raise self.error("] after the group, whose name must be in double quotes where it has brackets")
        return group

    def quoted(self) -> str:
        """Read a text in double quotes."""
        start = self.place
        found = self.take(QUOTED)
        if not found:
            raise self.error("a text that ends with a double quote", start)
        try:
            return str(json.loads(found.group(), strict=False))
        except ValueError:
            raise self.refusal(
                'a backslash in quotes stands before " or \\, or as JSON has it', start
            ) from None

    def operator(self, figure: Figure) -> Operator:
        """Read an operator that the figure can have."""
        self._skip()
        start = self.place
        found = self.take(COMPARISON)
        for sign in OPERATORS:
            if found and sign == found.group() and (sign == "<=" or not figure.compares):
                return sign
        if figure.compares:
            raise self.error(f"<=, as a {figure.name} is bounded from above", start)
        raise self.error(f"one of {', '.join(OPERATORS)}", start)

    def limit(self, figure: Figure) -> tuple[float, bool]:
        """Read a number, and whether it is a percentage."""
        self._skip()
        start = self.place
        found = self.take(NUMBER)
        if not found:
            raise self.error("a number such as 0.5 or 50%", start)
        mantissa, exponent, sign = found.groups()
        if sign and figure.unit == "count":
            raise self.error("a count, which is no percentage", start)
        limit = float(f"{mantissa}e{int(exponent or 0) - (2 if sign else 0)}")
        if not math.isfinite(limit):
            raise self.error("a finite number", start)
        return limit, bool(sign)
