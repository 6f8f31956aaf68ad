"""The files of a taxonomy that are read, and the working tree as a source of them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, Protocol

from pytest_instructlab_eval.data.taxonomy.qna import KNOWLEDGE, MOST_BYTES
from pytest_instructlab_eval.data.text_files import read_bytes
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import printable_name

QNA = "qna.yaml"
LEFT_OUT = frozenset({"docs", "scripts", QNA})  # of the top level, where InstructLab takes folders alone
MOST_ENTRIES = 200_000  # a few small Git objects can stand for billions of files and folders
MOST_FILES = 10_000  # InstructLab's own taxonomy has 151
MOST_PATH = 1024  # characters
DEEPEST = 32  # folders
TOO_LARGE = f"is larger than {MOST_BYTES:,} bytes, the limit for a {QNA}"

Kind = Literal["folder", "file", "link", "other"]


@dataclass(frozen=True)
class TaxonomyEntry:
    """One name in a folder; `id` is its Git object, `problem` why it must not be read."""

    path: str
    kind: Kind
    id: str | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_hidden(self) -> bool:
        """Return whether its name begins with a dot and is that of a file or folder."""
        return self.name.startswith(".") and self.name not in {".", ".."}

    @property
    def flaw(self) -> str | None:
        """Return why it must not be read, from any source; None where it may be."""
        if self.problem:
            return self.problem
        if len(self.path) > MOST_PATH:
            return f"has a path of more than {MOST_PATH:,} characters"
        if self.kind == "folder" and self.path.count("/") >= DEEPEST:
            return f"is more than {DEEPEST} folders deep"
        if self.name == QNA and self.kind == "link":
            return f"is a symbolic link; a {QNA} must be a regular file"
        if self.name == QNA and self.kind == "other":
            return f"is not a regular file; a {QNA} must be one"
        return None


class TaxonomySource(Protocol):
    """A source of files: a commit or the working tree."""

    commit: str | None

    def root(self) -> TaxonomyEntry:
        """Return the taxonomy's own folder, whose path is empty."""

    def children(self, folder: TaxonomyEntry) -> list[TaxonomyEntry]:
        """Return what a folder holds."""

    def data(self, entry: TaxonomyEntry) -> bytes:
        """Return a file's bytes; raises DataError where it can't or must not be read."""

    def same(self, entry: TaxonomyEntry, committed: TaxonomyEntry | None) -> bool:
        """Return whether a file is as it was in a commit."""


def taxonomy_entries(source: TaxonomySource, left_out: Collection[str] = ()) -> Iterator[TaxonomyEntry]:
    """Yield every file and link outside the top-level folders of these names and the hidden ones."""
    root = source.root()
    folders = [root]
    seen = 0
    while folders:
        folder = folders.pop()
        children = source.children(folder)
        seen += len(children)
        if seen > MOST_ENTRIES:
            raise DataError(f"the taxonomy has more than {MOST_ENTRIES:,} files and folders")
        for child in children:
            if folder is root and (child.is_hidden or child.path in left_out):
                continue
            if flaw := child.flaw:
                yield dataclasses.replace(child, problem=flaw)
            elif child.kind == "folder":
                folders.append(child)
            else:
                yield child


def qna_entries(source: TaxonomySource, knowledge: bool) -> dict[str, TaxonomyEntry]:
    """Return every qna.yaml that is read, and everything that must be refused, sorted by path."""
    left_out = LEFT_OUT if knowledge else LEFT_OUT | {KNOWLEDGE}
    selected: dict[str, TaxonomyEntry] = {}
    for entry in taxonomy_entries(source, left_out):
        if entry.problem or entry.name == QNA:
            selected[entry.path] = entry
        if len(selected) > MOST_FILES:
            raise DataError(f"the taxonomy has more than {MOST_FILES:,} files named {QNA}")
    return dict(sorted(selected.items()))


def refuse_file(entry: TaxonomyEntry, problem: str) -> NoReturn:
    """Raise DataError with a sentence that begins with the path."""
    raise DataError(f"{printable_name(entry.path[:MOST_PATH]) or 'the top folder'} {problem}")


def child_path(folder: TaxonomyEntry, name: str) -> str:
    """Return the path of a name in a folder."""
    return f"{folder.path}/{name}" if folder.path else name


# --- the working tree ---


class WorkingTree:
    """The files as they lie in a folder; symbolic links are not followed."""

    commit: str | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))

    def root(self) -> TaxonomyEntry:
        """See `TaxonomySource`."""
        return TaxonomyEntry("", "folder")

    def children(self, folder: TaxonomyEntry) -> list[TaxonomyEntry]:
        """See `TaxonomySource`; the repository's own folder is no part of the taxonomy."""
        try:
            with os.scandir(self._folder / folder.path) as listing:
                return [self._entry(folder, entry) for entry in listing if entry.name != ".git"]
        except OSError as error:
            refuse_file(folder, f"cannot be read ({error.strerror})")

    def _entry(self, folder: TaxonomyEntry, listed: os.DirEntry[str]) -> TaxonomyEntry:
        path = child_path(folder, listed.name)
        if listed.is_symlink():
            target = Path(os.path.realpath(listed.path))
            leads_out = target.is_dir() and not target.is_relative_to(self._folder)
            problem = "is a symbolic link to a folder outside the taxonomy" if leads_out else None
            return TaxonomyEntry(path, "link", problem=problem)
        if listed.is_dir(follow_symlinks=False):
            return TaxonomyEntry(path, "folder")
        return TaxonomyEntry(path, "file" if listed.is_file(follow_symlinks=False) else "other")

    def data(self, entry: TaxonomyEntry) -> bytes:
        """See `TaxonomySource`."""
        if entry.problem:
            refuse_file(entry, entry.problem)
        return read_bytes(
            self._folder / entry.path, MOST_BYTES, location=printable_name(entry.path), kind=f"a {QNA}"
        )

    def same(self, entry: TaxonomyEntry, committed: TaxonomyEntry | None) -> bool:
        """See `TaxonomySource`."""
        if committed is None:
            return False
        try:
            data = self.data(entry)
        except DataError:
            return False
        # Git may have written the file out with the line ends of this system.
        return committed.id in {_blob_id(data), _blob_id(data.replace(b"\r\n", b"\n"))}


def _blob_id(data: bytes) -> str:
    """Return the id that Git has for content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects."""
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()
