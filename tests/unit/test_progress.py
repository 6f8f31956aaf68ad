"""How far a run is, in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_instructlab_eval.models.endpoint import Traffic
from pytest_instructlab_eval.session import progress as module
from pytest_instructlab_eval.session.progress import Progress, duration_text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (45.4, "45 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_duration_is_told_as_people_say_it(seconds: float, words: str) -> None:
    assert duration_text(seconds) == words


def expecting(*requests: int | None) -> Progress:
    progress = Progress()
    for count in requests:
        progress.expect(count)
    return progress


def test_what_is_done_is_told_with_what_is_needed_the_rates_and_the_rest() -> None:
    line = expecting(1500, 500).line(500, 10_000, 10.0)
    assert line == "500 of 2,000 requests; 50.0 requests/s, 1,000 tokens/s; 30 s left"


def test_where_the_need_is_not_known_neither_the_whole_nor_the_rest_is_told() -> None:
    assert expecting(1500, None).line(500, 0, 10.0) == "500 requests; 50.0 requests/s, 0 tokens/s"


def test_a_question_that_turns_out_to_be_asked_more_often_makes_the_whole_larger() -> None:
    question = SimpleNamespace(requests=6)
    progress = expecting(4)
    progress.follow(cast(Any, question))
    assert progress.line(5, 0, 1.0).startswith("5 of 10 requests")
    question.requests = 26
    assert progress.line(5, 0, 1.0) == "5 of 30 requests; 5.0 requests/s, 0 tokens/s; 5 s left"
    question.requests = None
    assert progress.line(5, 0, 1.0) == "5 requests; 5.0 requests/s, 0 tokens/s"


def test_at_the_start_there_is_no_rate() -> None:
    assert expecting(10).line(0, 0, 0.0) == "0 of 10 requests; 0.0 requests/s, 0 tokens/s"


def test_when_all_is_done_nothing_is_left() -> None:
    assert "left" not in expecting(10).line(10, 0, 1.0)
    assert "left" not in expecting(10).line(11, 0, 1.0)


def test_more_than_was_expected_is_told_without_the_whole() -> None:
    assert expecting(4).line(9, 0, 1.0) == "9 requests; 9.0 requests/s, 0 tokens/s"


class Reporter:
    """As much of pytest's terminal reporter as is used."""

    def __init__(self, isatty: bool = False) -> None:
        self.isatty = isatty
        self.lines: list[str] = []

    def ensure_newline(self) -> None:
        pass

    def write_line(self, line: str) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        pass


def config(reporter: Reporter | None, verbose: int = 0) -> pytest.Config:
    plugins = {"terminalreporter": reporter}
    return cast(
        "pytest.Config",
        SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=plugins.get), getoption=lambda name: verbose),
    )


def traffic(requests: int) -> list[Traffic]:
    return [Traffic(requests, 7 * requests)] * 2


def test_in_a_log_a_line_is_told_once_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Any = SimpleNamespace(monotonic=lambda: clock.now, now=100.0)
    monkeypatch.setattr(module, "time", clock)
    progress, reporter = expecting(100), Reporter()
    for now in (100.0, 110.0, 131.0, 140.0, 162.0):
        clock.now = now
        progress.show(config(reporter), traffic(10))
    assert [line.partition(";")[0] for line in reporter.lines] == [
        "instructlab-eval: 20 of 100 requests",
        "instructlab-eval: 20 of 100 requests",
    ]


def test_a_quiet_run_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_INTERVAL", 0.0)
    progress, reporter = Progress(), Reporter()
    progress.show(config(reporter, verbose=-1), traffic(1))
    assert reporter.lines == []


def test_without_a_reporter_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_INTERVAL", 0.0)
    Progress().show(config(None), traffic(1))
