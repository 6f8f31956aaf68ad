"""The log records that runs make ahead of their turn: kept from the item at hand, told with their own."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable

import pytest

from pytest_instructlab_eval.escaping import escape_text
from pytest_instructlab_eval.session.engine import RecordRouter
from pytest_instructlab_eval.session.pytest_internals import log_handlers


def route_log_records(config: pytest.Config) -> None:
    """Keep the records of runs ahead from the item that pytest happens to be at, until the run ends."""
    router = RecordRouter()
    logging.getLogger().addHandler(router)
    config.add_cleanup(lambda: logging.getLogger().removeHandler(router))
    for handler in log_handlers(config):
        handler.addFilter(router.is_foreign)


def replay_log_records(config: pytest.Config, records: Iterable[logging.LogRecord]) -> None:
    """Tell the records of a run with the item at hand."""
    for record in list(records):
        with contextlib.suppress(Exception):  # of a record that can't be formatted, its handler tells
            if (text := record.getMessage()) != escape_text(text):
                record.msg, record.args = escape_text(text), None
        for handler in log_handlers(config):
            if record.levelno >= handler.level:
                handler.handle(record)
