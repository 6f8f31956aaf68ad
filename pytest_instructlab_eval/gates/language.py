"""The gates' small language: `SELECTOR OP NUMBER [surely]`, parsed into frozen objects.

SELECTOR    BENCHMARK [GROUP] .METRIC .FIGURE, all but the benchmark optional, in this order
BENCHMARK   letters, digits, "_" and "-", or a JSON string in double quotes; METRIC likewise
GROUP       any text in brackets; in double quotes if it contains brackets or quotes
FIGURE      drop, error_rate, unscored_rate or n; without one, the mean
OP          >=, >, <= or <; only <= for a drop
NUMBER      a decimal number or a percentage
surely      only after a mean: its whole interval must meet the limit, not only the mean
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
SURELY = re.compile(r"surely\b")
WORD = re.compile(r"[\w.+-]+|[<>=!~]+|\S")
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Selector:
    """The figure that is gated: of a benchmark, or of one of its groups or metrics."""

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
    """Return a name in the gates' language: in double quotes where it needs them."""
    if bare.fullmatch(name) and name == name.strip() and name not in reserved:
        return name
    return json.dumps(name, ensure_ascii=False)


@dataclass(frozen=True)
class Gate:
    """One condition; `percent` says that the limit 0.5 was written as 50%.

    `surely` says that the whole interval of the mean must meet the limit. `text` is the gate as the user
    wrote it, its canonical form by default. A `standing` gate, of the ini
    file or a marker, applies to the runs that have its benchmark; any other gate must be evaluated. Equal
    gates may differ in `text` and `standing`.
    """

    selector: Selector
    operator: Operator
    limit: float
    percent: bool = False
    text: str = field(default="", compare=False)
    standing: bool = field(default=False, compare=False)
    surely: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text.strip() or str(self))

    def __str__(self) -> str:
        number = repr(self.limit).removesuffix(".0")
        if self.percent:  # Decimal, as 0.07 * 100 is 7.000000000000001
            number = format(Decimal(repr(self.limit)).scaleb(2), "f") + "%"
        return f"{self.selector} {self.operator} {number}{' surely' if self.surely else ''}"

    @property
    def from_above(self) -> bool:
        """True if the limit is an upper one."""
        return self.operator in ("<=", "<")

    def holds(self, value: float) -> bool:
        """Return whether the value meets the limit."""
        return OPERATORS[self.operator](value, self.limit)

    @property
    def expected(self) -> str:
        """The operator, before the limit, in a sentence: "surely >="."""
        return f"surely {self.operator}" if self.surely else self.operator


def parse_gate(text: str, *, benchmarks: Collection[str] | None = None, standing: bool = False) -> Gate:
    """Return the gate of a text; `benchmarks` are the allowed names, None for any.

    Raises ConfigurationError, which quotes the text and gives the column (from 1).
    """
    parser = _Parser(text)
    selector = parser.selector(benchmarks)
    sign = parser.operator(selector.figure)
    limit, percent = parser.limit(selector.figure)
    surely = parser.surely(selector.figure)
    if parser.rest():
        raise parser.error("the end of the gate")
    return Gate(selector, sign, limit, percent, text, standing, surely)


class _Parser:
    """A parser of one gate: its text, its position, and a method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def rest(self) -> str:
        """Return the unread rest, without space before it."""
        self._skip()
        return self.text[self.position :]

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Read and return a match of the pattern; read nothing and return None where there is none."""
        self._skip()
        match = pattern.match(self.text, self.position)
        if match:
            self.position = match.end()
        return match

    def takes(self, sign: str) -> bool:
        """Read the sign if it comes next, and return whether it did."""
        return self.take(re.compile(re.escape(sign))) is not None

    def error(self, expected: str, position: int | None = None) -> ConfigurationError:
        """Return the error that something else was expected here, or at an earlier position."""
        if position is not None:
            self.position = position
        self._skip()
        word = WORD.match(self.text, self.position)
        got = repr(word.group()) if word else "the end"
        return self.refusal(f"expected {expected} (got {got})", self.position)

    def refusal(self, reason: str, position: int) -> ConfigurationError:
        """Return the error about a position."""
        return ConfigurationError(f"gate {self.text!r}: column {position + 1}: {reason}")

    def _skip(self) -> None:
        spaces = SPACE.match(self.text, self.position)
        self.position = spaces.end() if spaces else self.position

    def selector(self, benchmarks: Collection[str] | None) -> Selector:
        """Read BENCHMARK [GROUP] .METRIC .FIGURE."""
        self._skip()
        start = self.position
        benchmark = self.name("the name of a benchmark")
        if benchmarks is not None and benchmark not in benchmarks:
            reason = f"there is no benchmark {benchmark!r}{close_matches(benchmark, benchmarks)}"
            raise self.refusal(f"{reason} (known: {', '.join(sorted(benchmarks)) or 'none'})", start)
        group = self.group() if self.takes("[") else None
        metric, figure = self.metric_and_figure()
        if self.rest().startswith("["):
            raise self.error(
                f"an operator; write a group right after its benchmark, as in {benchmark}[coding]"
            )
        return Selector(benchmark, group, metric, figure)

    def metric_and_figure(self) -> tuple[str | None, Figure]:
        """Read .METRIC .FIGURE, both optional."""
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
        """Read a figure and return it; where no figure comes next, return None and read nothing."""
        before = self.position
        word = self.take(NAME)
        figure = FIGURES.get(word.group()) if word else None
        if figure is None:
            self.position = before
        return figure

    def name(self, expected: str) -> str:
        """Read a name, bare or in double quotes."""
        if self.rest().startswith('"'):
            return self.quoted()
        word = self.take(NAME)
        if not word:
            raise self.error(expected)
        return word.group()

    def group(self) -> str:
        """Read the rest of [GROUP], after its opening bracket."""
        if self.rest().startswith('"'):
            group = self.quoted()
        elif bare := self.take(BARE_GROUP):
            group = bare.group().strip()
        else:
            raise self.error("the name of a group, in double quotes if it contains brackets or quotes")
        if not self.takes("]"):
            raise self.error("] after the group, whose name needs double quotes if it contains brackets")
        return group

    def quoted(self) -> str:
        """Read a text in double quotes."""
        start = self.position
        quoted = self.take(QUOTED)
        if not quoted:
            raise self.error("a closing double quote", start)
        try:
            return str(json.loads(quoted.group(), strict=False))
        except ValueError:
            raise self.refusal(
                'expected a JSON string: write \\" for a quote and \\\\ for \\', start
            ) from None

    def operator(self, figure: Figure) -> Operator:
        """Read an operator that the figure allows."""
        self._skip()
        start = self.position
        word = self.take(COMPARISON)
        for sign in OPERATORS:
            if word and sign == word.group() and (sign == "<=" or not figure.compares):
                return sign
        if figure.compares:
            raise self.error(f"<=, the only operator for a {figure.name}", start)
        raise self.error(f"one of {', '.join(OPERATORS)}", start)

    def limit(self, figure: Figure) -> tuple[float, bool]:
        """Read a number and return it, with whether it is a percentage."""
        self._skip()
        start = self.position
        number = self.take(NUMBER)
        if not number:
            raise self.error("a number such as 0.5 or 50%", start)
        mantissa, exponent, sign = number.groups()
        if sign and figure.unit == "count":
            raise self.error("a count, not a percentage", start)
        limit = float(f"{mantissa}e{int(exponent or 0) - (2 if sign else 0)}")
        if not math.isfinite(limit):
            raise self.error("a finite number", start)
        return limit, bool(sign)

    def surely(self, figure: Figure) -> bool:
        """Read the word at the end, and return whether it is there."""
        self._skip()
        start = self.position
        if not self.take(SURELY):
            return False
        if figure != MEAN:
            raise self.error("the end of the gate, as only a mean may have to meet its limit surely", start)
        return True
