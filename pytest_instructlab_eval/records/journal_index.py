"""The requests in a journal's files by their keys: where each reply is, not the replies themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pytest_instructlab_eval.data.typed_json import MisfitError, read_as
from pytest_instructlab_eval.records.journal_folder import read_head
from pytest_instructlab_eval.records.journal_lines import MOST_IN_A_LINE, key_in, read_line
from pytest_instructlab_eval.records.run import ModelAdaptation

Location = tuple[int, int, int]
"""The number of a file, and a line's offset and length in it, in bytes."""


FoundRecord = tuple[dict[str, object], list[ModelAdaptation]]
"""The record of a request, and the adaptations that its file notes."""


class JournalIndex:
    """An index of the lines of journal files.

    `left_out` is the number of lines that are damaged or were changed. A key's last line counts.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._files: list[Path] = []
        self._locations: dict[bytes, Location] = {}
        self._adaptations: list[list[ModelAdaptation]] = []  # by file

    def __len__(self) -> int:
        return len(self._locations)

    def add(self, files: Iterable[Path], *, but: Collection[Path] = ()) -> None:
        """Add the lines of these files, but those of `but`; raises DataError as `read_head`."""
        for path in files:
            if path not in but:
                self._add(path)

    def find(self, key: bytes) -> FoundRecord | None:
        """Return the record of a key; None where there is none, or where its line has changed since."""
        location = self._locations.get(key)
        if location is None:
            return None
        number, offset, length = location
        try:
            with self._files[number].open("rb", buffering=0) as file:
                file.seek(offset)
                record = read_line(file.read(length) or b"")
        except OSError:
            record = None
        if record is None or key_in(record) != key:
            self.leave_out(key)
            return None
        return record, self._adaptations[number]

    def leave_out(self, key: bytes) -> None:
        """Count the line of a key as damaged, and do not find it again."""
        if self._locations.pop(key, None) is not None:
            self.left_out += 1

    def _add(self, path: Path) -> None:
        """Add the lines of a file; without a first line that can be read, all are left out."""
        number, usable = len(self._files), read_head(path) is not None
        self._files.append(path)
        self._adaptations.append([])
        try:
            with path.open("rb") as file:
                offset = len(file.readline(MOST_IN_A_LINE))
                if not usable:
                    self.left_out += 1
                while line := file.readline(MOST_IN_A_LINE):
                    record = read_line(line) if usable else None
                    if record is not None:
                        self._add_record(record, (number, offset, len(line)))
                    elif line.endswith(b"\n"):  # the last line may be torn, since its process was ended
                        self.left_out += 1
                    offset += len(line)
        except OSError:
            self.left_out += 1

    def _add_record(self, record: dict[str, object], location: Location) -> None:
        key = key_in(record)
        if key is not None:
            if record.get("unrated") is True:
                self._locations.pop(key, None)
            else:
                self._locations[key] = location
            return
        try:
            self._adaptations[location[0]].append(read_as(ModelAdaptation, record.get("adaptation")))
        except MisfitError:
            self.left_out += 1
