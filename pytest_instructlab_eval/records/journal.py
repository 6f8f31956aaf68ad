"""The journal of one process: the finished requests of earlier runs, and those of this run as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pytest_instructlab_eval.records.journal_folder import journal_files
from pytest_instructlab_eval.records.journal_index import FoundRecord, JournalIndex
from pytest_instructlab_eval.records.journal_lines import utc_now, write_line
from pytest_instructlab_eval.records.journal_writer import JournalWriter
from pytest_instructlab_eval.records.run import JournalUse, ModelAdaptation


class Journal:
    """The journal in a folder, as one process uses it.

    `process` tells its file from those of other processes, and `head` returns what the file's first line
    says. With `reuse`, requests of earlier runs are found. `adaptations` are those that shaped the replies
    which were found; `problem` says why nothing more can be written.
    """

    def __init__(
        self,
        folder: Path,
        process: str,
        *,
        reuse: bool = False,
        head: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self.adaptations: dict[tuple[str, str, str], ModelAdaptation] = {}
        self.problem: str | None = None
        self._folder = folder
        self._earlier = journal_files(folder) if reuse else []
        self._index = JournalIndex()
        for path in self._earlier:
            self._index.add(path)
        self._writer = JournalWriter(folder, process, head)
        self._reused = self._asked = 0
        self._first = self._last = ""
        self._noted: set[tuple[str, str, str]] = set()

    @property
    def use(self) -> JournalUse:
        """How many requests were found in the journal, of how many in all."""
        return JournalUse(
            self._reused, self._reused + self._asked, self._first, self._last, self._index.left_out
        )

    def look_again(self) -> None:
        """Find what other processes of this run have written until now, since one of them has died."""
        own = [] if self._writer.path is None else [self._writer.path]
        left_out = self._index.left_out  # of a file that is being written, the last line may be torn
        skipped = {*self._earlier, *own}
        for path in journal_files(self._folder):
            if path not in skipped:
                self._index.add(path)
        self._index.left_out = left_out

    def find(self, key: bytes) -> FoundRecord | None:
        """Return the record of an earlier request; None where there is none."""
        return self._index.find(key)

    def count_reused(self, found: FoundRecord) -> None:
        """Count a record that was found as used, and take over the adaptations that shaped it."""
        record, adaptations = found
        self._reused += 1
        time = str(record.get("time", ""))
        self._first = min(self._first or time, time)
        self._last = max(self._last, time)
        for entry in adaptations:
            if (entry.role, entry.model) == (record.get("role"), record.get("model")):
                self.adaptations.setdefault((entry.role, entry.model, entry.name), entry)

    def leave_out(self, key: bytes) -> None:
        """Count a record that was found as damaged."""
        self._index.leave_out(key)

    def add(
        self, key: bytes, record: Mapping[str, object], adaptations: Iterable[ModelAdaptation] = ()
    ) -> None:
        """Append a finished request, and the adaptations of requests so far.

        Raises OSError where that cannot be written. A reply that JSON cannot hold is not kept.
        """
        self._asked += "repeats" not in record
        try:
            line = write_line({"key": key.hex(), "time": utc_now(), **record})
        except (TypeError, ValueError):  # a log-likelihood that is not finite
            return
        for entry in adaptations:
            about = (entry.role, entry.model, entry.name)
            if about not in self._noted:
                self._noted.add(about)
                self._write(write_line({"adaptation": vars(entry)}))
        self._write(line)

    def discard(self, key: bytes) -> None:
        """Note that a reply is not to be used again; raises OSError where that cannot be written."""
        self._write(write_line({"key": key.hex(), "time": utc_now(), "unrated": True}))

    def close(self) -> None:
        """Bring everything to the disk, and close all files."""
        self._writer.close()
        self._index.close()

    def _write(self, line: bytes) -> None:
        try:
            self._writer.write(line)
        except OSError as error:
            self.problem = (
                f"the journal in {self._folder} cannot be written ({error.strerror}), so the run ends; "
                "make room there, and go on with --eval-resume: all that was finished is kept"
            )
            raise
