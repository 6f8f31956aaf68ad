"""The progress of a run while pytest waits: a live line on a terminal, occasional lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_instructlab_eval.session.pytest_internals import terminal_file, uncaptured_output

if TYPE_CHECKING:
    import pytest

    from pytest_instructlab_eval.models.endpoint import Traffic
    from pytest_instructlab_eval.suites.benchmark import Question

LOG_INTERVAL = 30.0  # seconds between two lines if the output is not a terminal
LIVE_INTERVAL = 0.5


class Progress:
    """A counter of expected requests, which shows the progress.

    `replayed` of them are not asked, as a journal has their replies.
    """

    def __init__(self) -> None:
        self.replayed = 0
        self._questions: list[Question] = []
        self._others = 0
        self._unknown = False
        self._started: float | None = None
        self._last_shown = 0.0
        self._shown = False

    def expect(self, requests: int | None) -> None:
        """Add to the expected requests; None where their number is unknown."""
        if requests is None:
            self._unknown = True
        else:
            self._others += requests

    def expect_in_all(self, requests: int | None) -> None:
        """Replace the expected requests by this number, None where it is unknown."""
        self._questions, self._others, self._unknown = [], requests or 0, requests is None

    def follow(self, question: Question) -> None:
        """Add the requests of a question, whose number may change while it is asked."""
        self._questions.append(question)

    @property
    def expected(self) -> int | None:
        """The number of expected requests as far as it is known now; None where it is unknown."""
        requests = [question.requests for question in self._questions]
        known = [count for count in requests if count is not None]
        return None if self._unknown or len(known) < len(requests) else self._others + sum(known)

    def start(self) -> None:
        """Start the clock, at the first request."""
        if self._started is None:
            self._started = self._last_shown = time.monotonic()

    def line(self, requests: int, tokens: int, seconds: float) -> str:
        """Return the text of the progress."""
        expected = None if self.expected is None else max(0, self.expected - self.replayed)
        rate = requests / seconds if seconds > 0 else 0.0
        parts = [
            f"{requests:,} of {expected:,} requests"
            if expected is not None and max(requests, 1) <= expected  # judges may get repeated requests
            else f"{requests:,} requests"
        ]
        parts.append(f"{rate:,.1f} requests/s, {tokens / seconds if seconds > 0 else 0:,.0f} tokens/s")
        if expected is not None and rate > 0 and expected > requests:
            parts.append(f"{duration_text((expected - requests) / rate)} left")
        return "; ".join(parts)

    def show(self, config: pytest.Config, traffic: Iterable[Traffic]) -> None:
        """Show the progress if the interval has passed; call this only while nothing else is written."""
        self.start()
        now = time.monotonic()
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or config.getoption("verbose") < 0:
            return
        live = bool(getattr(reporter, "isatty", False))
        if now - self._last_shown < (LIVE_INTERVAL if live else LOG_INTERVAL):
            return
        self._last_shown = now
        counts = list(traffic)
        text = self.line(
            sum(count.requests for count in counts),
            sum(count.tokens for count in counts),
            now - (self._started or now),
        )
        with uncaptured_output(config):
            if live:
                self._write_live(config, text)
            else:
                reporter.ensure_newline()
                reporter.write_line(f"instructlab-eval: {text}")
                reporter.flush()

    def hide(self, config: pytest.Config) -> None:
        """Remove the live line, before anything else is written."""
        if self._shown:
            self._shown = False
            with uncaptured_output(config):
                self._write_live(config, "", hide=True)

    def _write_live(self, config: pytest.Config, text: str, *, hide: bool = False) -> None:
        """Write the text below pytest's current line, and move the cursor back."""
        writer = config.get_terminal_writer()
        column = writer.width_of_current_line
        shown = text[: max(0, writer.fullwidth - 2)]
        file = terminal_file(config)
        file.write(f"\n\r\x1b[2K{shown}\x1b[1A\x1b[{column + 1}G")
        file.flush()
        self._shown = not hide


def duration_text(seconds: float) -> str:
    """Return a duration as text: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
