"""Scales of ratings: numbers from one to another, or two words."""

from __future__ import annotations

import math
from dataclasses import dataclass

LIMIT = 1000  # a rating has at most three digits before the point


@dataclass(frozen=True)
class Scale:
    """The ratings that a judge may give: the numbers from `lowest` to `highest`.

    Where there are `words`, the first stands for the lowest rating and the second for the highest, and there
    is nothing between. A score is a number either way, and its maximum is the highest rating. Raises
    ValueError for a number below 0 or of more than three digits, for other than two words, and for a word
    shorter than its number.
    """

    lowest: float
    highest: float
    words: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest < LIMIT:
            raise ValueError(
                f"expected a scale that goes up from 0 or more to less than {LIMIT:,} (got {self.lowest:g} "
                f"to {self.highest:g})"
            )
        if self.words is not None and len(self.words) != 2:
            raise ValueError(
                f"expected two words, for the lowest and the highest rating (got {len(self.words)})"
            )
        for word, number in self.numbers.items():
            if not word.isalpha() or len(word) < len(number):
                raise ValueError(
                    f"expected a word of at least {len(number)} letters as a rating (got {word!r})"
                )

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
        """Return the words that ask a judge for a rating, with an example."""
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
        """Return the number of each word, by the word in small letters; empty for a scale of numbers."""
        values = (f"{self.lowest:g}", f"{self.highest:g}")
        return dict(zip(map(str.casefold, self.words), values, strict=True)) if self.words else {}


ONE_TO_TEN = Scale(1, 10)
ONE_TO_FIVE = Scale(1, 5)
ZERO_TO_ONE = Scale(0, 1)
PASS_OR_FAIL = Scale(0, 1, ("fail", "pass"))
