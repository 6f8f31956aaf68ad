"""The log records of runs ahead of their turn: hidden from the current item, shown with their own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable

import pytest

from pytest_instructlab_eval.escaping import escape_text
from pytest_instructlab_eval.session.engine import RecordRouter
from pytest_instructlab_eval.session.pytest_internals import log_handlers


def route_log_records(config: pytest.Config) -> None:
    """Hide the log records of runs ahead from the current item, until pytest's run ends."""
    router = RecordRouter()
    logging.getLogger().addHandler(router)
    config.add_cleanup(lambda: logging.getLogger().removeHandler(router))
    for handler in log_handlers(config):
        handler.addFilter(router.is_foreign)


def replay_log_records(config: pytest.Config, records: Iterable[logging.LogRecord]) -> None:
    """Show the records of a run with the current item."""
    for record in list(records):
        with contextlib.suppress(Exception):  # the handler reports a record that cannot be formatted
            if (text := record.getMessage()) != escape_text(text):
                record.msg, record.args = escape_text(text), None
        for handler in log_handlers(config):
            if record.levelno >= handler.level:
                handler.handle(record)
