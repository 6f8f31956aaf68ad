"""`record_score`: the recorder of the scores of a test, and the texts of its failures."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from pytest_instructlab_eval.errors import ItemError
from pytest_instructlab_eval.escaping import escape_text
from pytest_instructlab_eval.records.scores import Score

ROUNDING = 1e-9
NO_MAXIMA: Mapping[str, float] = {}
EVIDENCE = ("question", "answer", "judgment")


class Recorder:
    """A recorder of the scores of one test.

    `maximum` is that of a bare number, and `maxima` has those of metrics that have their own.
    """

    def __init__(self, maximum: float = 1.0, maxima: Mapping[str, float] = NO_MAXIMA) -> None:
        self.scores: list[Score] = []
        self.closed = False
        self._maximum = maximum
        self._maxima = maxima

    def __call__(
        self,
        score: Score | float | None,
        *,
        metric: str = "score",
        maximum: float | None = None,
        explanation: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a `Score`, or a number and its metadata; None is *unscored*.

        It may be called several times with different metrics, such as the turns of a conversation. The texts
        "question", "answer" and "judgment" of `metadata` are shown when the test fails. Raises TypeError
        for a value that is not a number, ValueError for a number below 0 or above the maximum, and
        RuntimeError after the end of the test.
        """
        __tracebackhide__ = True
        if self.closed:
            raise RuntimeError("record_score was called after the test's end; call it in the test itself")
        if not isinstance(score, Score):
            score = Score(
                _score_number(score),
                metric,
                self._maxima.get(metric, self._maximum) if maximum is None else maximum,
                explanation=explanation,
                metadata=dict(metadata or {}),
            )
        if score.value is not None and not -ROUNDING <= score.value <= score.maximum + ROUNDING:
            raise ValueError(
                f"expected a score from 0 to {score.maximum:g} (got {score.value:g}); set another maximum "
                "with max_score in the marker, or record_score(..., maximum=...)"
            )
        self.scores.append(score)

    def raise_errors(self) -> None:
        """Raise ItemError, which fails the test, if a score has an error."""
        reasons = [f"{score.metric}: {score.error}" for score in self.scores if score.error]
        if reasons:
            raise ItemError(describe_failure("\n".join(reasons), self.scores))


def _score_number(value: Any) -> float | None:
    __tracebackhide__ = True
    if value is None:
        return None
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("record_score got a coroutine: write `await` before the call that makes it")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"record_score takes a number, a Score, or None for no score (got {value!r})"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"a score must be a finite number (got {number}); record None for no score")
    return number


def describe_failure(reason: str, scores: list[Score], prompt: str = "") -> str:
    """Return the text of a failing test: the reason, the question, the answer and the judgment."""
    parts = [escape_text(reason)]
    data = [score.data for score in scores]
    if prompt and not any("question" in texts for texts in data):
        parts.append(f"question:\n{_indented(prompt)}")
    for score, texts in zip(scores, data, strict=True):
        value = "no score" if score.value is None else f"{score.value:g} of {score.maximum:g}"
        parts.append(f"{score.metric}: {value}")
        shown = [(name, str(texts[name])) for name in EVIDENCE if texts.get(name)]
        parts += [f"{name}:\n{_indented(text)}" for name, text in shown]
    return "\n".join(parts)


def without_traceback(failure: Any) -> Any:
    """Return what pytest shows of a failure (an ExceptionInfo) without its traceback: the message."""
    shown = failure.getrepr(style="value", chain=False)
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.message = str(failure.value).partition("\n")[0]
    return shown


def _indented(text: str, most: int = 2000) -> str:
    shown = text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"
    return "\n".join(f"    {line}" for line in escape_text(shown).splitlines())
