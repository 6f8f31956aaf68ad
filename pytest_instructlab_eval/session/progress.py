"""How far a run is, while pytest waits: a live line on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_instructlab_eval.session.pytest_internals import terminal_file, uncaptured_output

if TYPE_CHECKING:
    import pytest

    from pytest_instructlab_eval.models.endpoint import Traffic

LOG_INTERVAL = 30.0  # seconds between two lines where the output is no terminal
LIVE_INTERVAL = 0.5


class Progress:
    """Counts what is done of what is known to be needed, and says so."""

    def __init__(self) -> None:
        self.expected = 0
        self.unknown = False
        self._started: float | None = None
        self._said = 0.0
        self._shown = False

    def expect(self, requests: int | None) -> None:
        """Add to the requests that will be needed; None where their number can't be known."""
        if requests is None:
            self.unknown = True
        else:
            self.expected += requests

    def start(self) -> None:
        """Begin to measure: the first request goes out."""
        if self._started is None:
            self._started = self._said = time.monotonic()

    def line(self, requests: int, tokens: int, seconds: float) -> str:
        """Return the progress in words."""
        rate = requests / seconds if seconds > 0 else 0.0
        parts = [
            f"{requests:,} of {self.expected:,} requests"
            if max(requests, 1) <= self.expected and not self.unknown  # a judge may be asked once more
            else f"{requests:,} requests"
        ]
        parts.append(f"{rate:,.1f} requests/s, {tokens / seconds if seconds > 0 else 0:,.0f} tokens/s")
        rest = self.expected - requests
        if not self.unknown and rate > 0 and rest > 0:
            parts.append(f"{duration_text(rest / rate)} left")
        return "; ".join(parts)

    def show(self, config: pytest.Config, traffic: Iterable[Traffic]) -> None:
        """Say it where it is time to: to be called while nothing else is written."""
        self.start()
        now = time.monotonic()
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or config.getoption("verbose") < 0:
            return
        live = bool(getattr(reporter, "isatty", False))
        if now - self._said < (LIVE_INTERVAL if live else LOG_INTERVAL):
            return
        self._said = now
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
        """Take the live line away, before anything else is written."""
        if self._shown:
            self._shown = False
            with uncaptured_output(config):
                self._write_live(config, "", hide=True)

    def _write_live(self, config: pytest.Config, text: str, *, hide: bool = False) -> None:
        """Write below the line that pytest is at, and put the cursor back where it was."""
        writer = config.get_terminal_writer()
        column = writer.width_of_current_line
        shown = text[: max(0, writer.fullwidth - 2)]
        file = terminal_file(config)
        file.write(f"\n\r\x1b[2K{shown}\x1b[1A\x1b[{column + 1}G")
        file.flush()
        self._shown = not hide


def duration_text(seconds: float) -> str:
    """Return seconds as people say them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
