"""Writes one process's file of a journal: each line at once, and on disk within a second."""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from pytest_instructlab_eval.records.journal_lines import SCHEMA, utc_now, write_line

SYNC_INTERVAL = 0.5  # seconds between two calls of fsync, which would hold up the requests' thread
LONGEST_SYNC = 5.0  # seconds that the end of a run waits for a disk


class JournalWriter:
    """A file in the folder of a journal, made for the first line.

    `head` returns what its first line says beside the schema. What was written is safe from the end of the
    process at once, as the system has it, and from a loss of power once it is on disk.
    """

    def __init__(self, folder: Path, process: str, head: Callable[[], Mapping[str, object]]) -> None:
        self.path: Path | None = None
        self._folder = folder
        self._process = process
        self._head = head
        self._descriptor: int | None = None
        self._size = 0
        self._error: OSError | None = None
        self._has_news = False
        self._closed = threading.Event()
        self._syncing = threading.Thread(target=self._sync, name="instructlab-eval-journal", daemon=True)

    def write(self, line: bytes) -> None:
        """Append a line; raises OSError, now and from then on, where it cannot be written.

        After `close` nothing is written: whatever comes then is a result that nobody uses.
        """
        if self._closed.is_set():
            return
        if self._error is not None:
            raise self._error
        try:
            if self._descriptor is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H-%M-%S-%fZ")
                self.path = self._folder / f"{now}-{self._process}-{os.getpid()}.jsonl"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
                self._descriptor = os.open(self.path, flags, 0o666)
                self._syncing.start()
                line = write_line({"schema": SCHEMA, "started": utc_now(), **self._head()}) + line
            self._append(self._descriptor, line)
        except OSError as error:
            self._error = error
            raise
        self._has_news = True

    def close(self) -> None:
        """Bring all lines to the disk, and close the file."""
        self._closed.set()
        if self._descriptor is None:
            return
        self._syncing.join(LONGEST_SYNC)
        if not self._syncing.is_alive():
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _append(self, descriptor: int, line: bytes) -> None:
        """Write a line whole, or nothing of it."""
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._size)
            raise
        self._size += len(line)

    def _sync(self) -> None:
        """Bring new lines to the disk from time to time, and once more at the end."""
        ended = False
        while not ended:
            ended = self._closed.wait(SYNC_INTERVAL)
            if self._has_news and self._descriptor is not None:
                self._has_news = False
                try:
                    os.fsync(self._descriptor)
                except OSError as error:
                    self._error = error
