"""The confidence that decides each of several gated drops, so that chance alone rarely turns a run red."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pytest_instructlab_eval.stats.statistics import CONFIDENCE, Interval, margin_verdict

_K = TypeVar("_K", bound=Hashable)


class MeasuredDrop(Protocol):
    """A drop with its intervals and p values, such as `Comparison`."""

    def interval(self, confidence: float = ...) -> Interval | None:
        """Return the interval of the drop, None where it has none."""

    def p_value(self, margin: float) -> float:
        """Return the p value of a drop of at most the margin."""


@dataclass(frozen=True)
class GatedDrop:
    """A drop and the limit of its gate."""

    drop: MeasuredDrop
    limit: float

    @property
    def p_value(self) -> float:
        """The p value of a drop within the limit."""
        return self.drop.p_value(self.limit)

    def fails(self, confidence: float) -> bool:
        """Return whether the interval lies above the limit."""
        interval = self.drop.interval(confidence)
        return interval is not None and margin_verdict(interval, self.limit) == "failed"


def family_confidence(members: int) -> float:
    """Return the confidence that decides one of so many drops: each has a part of the error (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(members, 1)


def family_confidences(drops: Mapping[_K, GatedDrop]) -> dict[_K, float]:
    """Return the confidence of the interval that decides each drop.

    All drops of a run are one family, whatever they are of: of two gates on the same questions, too, each
    can fail by chance. The drop with the i-th smallest p value of K is decided at 1 - alpha / (K - i + 1),
    alpha = 1 - CONFIDENCE, as long as its interval lies above the limit. The first one that does not sets the
    confidence of all others. Where no drop is truly above its limit, any fails in at most alpha / 2 of runs
    (Holm, Scandinavian Journal of Statistics 6, 1979). A single drop is decided at CONFIDENCE.
    """
    failing: dict[_K, float] = {}
    # Only what fails at CONFIDENCE can fail at a higher one, so only these need p values.
    suspects = [key for key, drop in drops.items() if len(drops) > 1 and drop.fails(CONFIDENCE)]
    for key in sorted(suspects, key=lambda key: drops[key].p_value):
        level = family_confidence(len(drops) - len(failing))
        if not drops[key].fails(level):
            break
        failing[key] = level
    return {key: failing.get(key, family_confidence(len(drops) - len(failing))) for key in drops}
