"""What a judge rates on: numbers from one to another, or two words."""

from __future__ import annotations

import math
from dataclasses import dataclass

LIMIT = 1000  # a rating has at most three digits before the point


@dataclass(frozen=True)
class Scale:
    """Ratings from `lowest` to `highest`, or the `words` that stand for these two, and nothing between.

    A score is a number either way, and its maximum the highest rating. Raises ValueError for numbers below 0
    or with more than three digits, and for a word that is shorter than its number.
    """

    lowest: float
    highest: float
    words: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest < LIMIT:
            raise ValueError(
                f"a scale goes up, from 0 or more to less than {LIMIT:,} (got {self.lowest:g} to "
                f"{self.highest:g})"
            )
        for word, number in self.numbers.items():
            if not word.isalpha() or len(word) < len(number):
                raise ValueError(f"a rating is a word of at least {len(number)} letters (got {word!r})")

    def __str__(self) -> str:
        if self.words is None:
            return f"from {self.lowest:g} to {self.highest:g}"
        return f"of {self.words[1]} or {self.words[0]}"

    def __contains__(self, rating: float) -> bool:
        if self.words is None:
            return self.lowest <= rating <= self.highest
        return rating in (self.lowest, self.highest)

    @property
    def instruction(self) -> str:
        """How a judge is asked for a rating, with an example."""
        if self.words is not None:  # a judge that copies the example says the worst
            return f"a rating {self} in double square brackets, such as: Rating: [[{self.words[0]}]]"
        middle = (self.lowest + self.highest) / 2
        example = math.floor(middle) if math.floor(middle) > self.lowest else middle
        return (
            f"a rating from {self.lowest:g} (useless) to {self.highest:g} (flawless) in double square "
            f"brackets, such as: Rating: [[{example:g}]]"
        )

    @property
    def numbers(self) -> dict[str, str]:
        """The number that each word stands for, by the word in small letters; empty where there are none."""
        values = (f"{self.lowest:g}", f"{self.highest:g}")
        return dict(zip(map(str.casefold, self.words), values, strict=True)) if self.words else {}


ONE_TO_TEN = Scale(1, 10)
ONE_TO_FIVE = Scale(1, 5)
ZERO_TO_ONE = Scale(0, 1)
PASS_OR_FAIL = Scale(0, 1, ("fail", "pass"))
