"""The requests in a journal's files by their keys: where each reply is, not the replies themselves."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_instructlab_eval.data.typed_json import MisfitError, read_as
from pytest_instructlab_eval.records.journal_folder import read_head
from pytest_instructlab_eval.records.journal_lines import MOST_IN_A_LINE, key_in, read_line
from pytest_instructlab_eval.records.run import ModelAdaptation

OFFSET_BITS, LENGTH_BITS = 48, MOST_IN_A_LINE.bit_length()


FoundRecord = tuple[dict[str, object], list[ModelAdaptation]]
"""The record of a request, and the adaptations that its file notes."""


class JournalIndex:
    """An index of the lines of journal files.

    `left_out` is the number of lines that are damaged or were changed. A key's last line counts.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._files: list[Path] = []
        # A key's first 8 bytes, and the number of a file, a line's offset and its length in one number: with
        # two numbers an entry, 200,000 requests need half the memory. `find` looks at the whole key.
        self._locations: dict[int, int] = {}
        self._descriptors: dict[int, int] = {}  # by file
        self._adaptations: list[list[ModelAdaptation]] = []  # by file

    def __len__(self) -> int:
        return len(self._locations)

    def find(self, key: bytes) -> FoundRecord | None:
        """Return the record of a key; None where there is none, or where its line has changed since."""
        location = self._locations.get(_key_number(key))
        if location is None:
            return None
        location, length = divmod(location, 1 << LENGTH_BITS)
        number, offset = divmod(location, 1 << OFFSET_BITS)
        try:
            if number not in self._descriptors:  # opened once for all its replies
                self._descriptors[number] = os.open(self._files[number], os.O_RDONLY)
            record = read_line(os.pread(self._descriptors[number], length, offset))
        except OSError:
            record = None
        if record is None or key_in(record) != key:
            self.leave_out(key)
            return None
        return record, self._adaptations[number]

    def leave_out(self, key: bytes) -> None:
        """Count the line of a key as damaged, and do not find it again."""
        if self._locations.pop(_key_number(key), None) is not None:
            self.left_out += 1

    def close(self) -> None:
        """Close the files, and forget their lines."""
        self._locations.clear()
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def add(self, path: Path) -> None:
        """Add the lines of a file; without a first line that can be read, all are left out.

        Raises DataError as `read_head`.
        """
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
                        location = ((number << OFFSET_BITS) + offset << LENGTH_BITS) + len(line)
                        self._add_record(record, location, self._adaptations[number])
                    elif line.endswith(b"\n"):  # the last line may be torn, since its process was ended
                        self.left_out += 1
                    offset += len(line)
        except OSError:
            self.left_out += 1

    def _add_record(
        self, record: dict[str, object], location: int, adaptations: list[ModelAdaptation]
    ) -> None:
        key = key_in(record)
        if key is not None:
            if record.get("unrated") is True:
                self._locations.pop(_key_number(key), None)
            else:
                self._locations[_key_number(key)] = location
            return
        try:
            adaptations.append(read_as(ModelAdaptation, record.get("adaptation")))
        except MisfitError:
            self.left_out += 1


def _key_number(key: bytes) -> int:
    return int.from_bytes(key[:8], "big")
