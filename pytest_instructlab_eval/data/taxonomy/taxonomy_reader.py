"""`Taxonomy`: the qna.yaml files at any Git ref, without a checkout, or of the working tree as it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_instructlab_eval.data.taxonomy.files import (
    QNA,
    TaxonomyEntry,
    TaxonomySource,
    WorkingTree,
    qna_entries,
    taxonomy_entries,
)
from pytest_instructlab_eval.data.taxonomy.qna import KNOWLEDGE, QnaFile, parse_qna
from pytest_instructlab_eval.data.taxonomy.repository import CommitFiles, Repository
from pytest_instructlab_eval.data.taxonomy.unread_files import is_companion, unread_reasons
from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.escaping import printable_name

MOST_TOTAL = 64 * 2**20  # bytes of all files
MOST_NAMED = 10  # files in one message


@dataclass(frozen=True)
class Survey:
    """The qna.yaml files of a taxonomy, or of a branch's changes; knowledge is among them.

    `removed` are those that the branch no longer has. `unread` says, by path, why a file that looks like
    questions is not read.
    """

    files: tuple[str, ...]
    removed: tuple[str, ...]
    unread: Mapping[str, str]

    @property
    def knowledge(self) -> int:
        """Return how many of the files are of knowledge."""
        return sum(path.startswith(f"{KNOWLEDGE}/") for path in self.files)


class Taxonomy:
    """A folder of `qna.yaml` files, usually a Git repository or a folder inside one.

    Raises ConfigurationError where it is no folder that can be read.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
            raise ConfigurationError(
                f"{printable_name(str(folder))} is not a folder that can be read; give the taxonomy's folder"
            )
        self._folder = folder

    def read(
        self,
        ref: str | None = None,
        *,
        include_knowledge: bool = False,
        only: Collection[str] | None = None,
        may_be_empty: bool = False,
    ) -> list[QnaFile]:
        """Return the files at a ref, or in the working tree, by path; as InstructLab, without knowledge.

        `only` names the paths to take, as `changed` gives them. Raises DataError where files can't be
        read, naming up to ten of them, and, unless it `may_be_empty`, where there are none.
        """
        with self._source(ref) as source:
            entries = qna_entries(source, include_knowledge)
            selected = entries if only is None else {path: entries[path] for path in entries if path in only}
            files = self._parsed(source, selected.values(), ref)
        if not entries and only is None and not may_be_empty:
            hint = (
                f"files in docs, scripts and hidden folders do not count, nor do those in {KNOWLEDGE} "
                "unless they are asked for"
            )
            if ref is None and (self._folder / "HEAD").is_file() and (self._folder / "objects").is_dir():
                hint = "it is a bare repository, which has no working tree: name a branch"
            raise DataError(f"{self._named(ref)} has no {QNA} with questions; {hint}")
        return files

    def changed(self, base: str, ref: str | None = None) -> list[str]:
        """Return the paths at a ref, or in the working tree, that are new or differ, as in a pull request.

        What they are compared with is the merge base of `base` and the ref (of the working tree:
        its HEAD). Files of knowledge are among them, files that moved too, removed ones are not.
        """
        return list(self.survey(ref, base).files)

    def survey(self, ref: str | None = None, base: str | None = None) -> Survey:
        """Return what a ref, or the working tree, has; with a `base`, what it adds and changes."""
        if base is None:
            with self._source(ref) as source:
                return Survey(
                    tuple(qna_entries(source, True)), (), unread_reasons(source, taxonomy_entries(source))
                )
        with Repository.of(self._folder) as repository:
            before = CommitFiles(repository, _fork(repository, base, ref))
            source = (
                WorkingTree(self._folder) if ref is None else CommitFiles(repository, repository.resolve(ref))
            )
            old, new = qna_entries(before, True), qna_entries(source, True)
            files = [entry.path for entry in _changed(source, new.values(), old)]
            others = (e for e in taxonomy_entries(source) if e.path not in new and not is_companion(e))
            meant = _changed(source, others, {entry.path: entry for entry in taxonomy_entries(before)})
            removed = tuple(path for path in old if path not in new)
            return Survey(tuple(files), removed, unread_reasons(source, meant, alone=not files))

    def fork(self, base: str, ref: str | None = None) -> str:
        """Return the id of the commit where a ref, or the working tree's HEAD, left `base`."""
        with Repository.of(self._folder) as repository:
            return _fork(repository, base, ref)

    def resolve(self, ref: str) -> str:
        """Return the id of the commit that a branch, a tag or anything else that Git takes for one names."""
        with Repository.of(self._folder) as repository:
            return repository.resolve(ref)

    def folder_in_repository(self) -> str:
        """Return the folder's path inside its Git repository, with slashes.

        It is empty for the repository's top, and for a folder that is in no repository.
        """
        try:
            with Repository.of(self._folder) as repository:
                return "/".join(repository.prefix)
        except ConfigurationError:
            return ""

    @contextlib.contextmanager
    def _source(self, ref: str | None) -> Iterator[TaxonomySource]:
        if ref is None:
            yield WorkingTree(self._folder)
            return
        with Repository.of(self._folder) as repository:
            yield CommitFiles(repository, repository.resolve(ref))

    def _parsed(
        self, source: TaxonomySource, entries: Iterable[TaxonomyEntry], ref: str | None
    ) -> list[QnaFile]:
        files: list[QnaFile] = []
        problems: list[str] = []
        total = 0
        for entry in entries:
            try:
                data = source.data(entry)
                total += len(data)
                files.append(parse_qna(data, entry.path, commit=source.commit, blob=entry.id))
            except DataError as error:
                problems.append(str(error))
            if total > MOST_TOTAL:
                raise DataError(f"{self._named(ref)} has more than {MOST_TOTAL:,} bytes of {QNA}")
        if len(problems) > 1:
            more = len(problems) - MOST_NAMED
            problems = [f"{len(problems)} files cannot be read", *problems[:MOST_NAMED]]
            problems += [f"and {more} more"] if more > 0 else []
        if problems:
            raise DataError(f"{self._named(ref)}: " + "\n  ".join(problems))
        return files

    def _named(self, ref: str | None) -> str:
        at = "" if ref is None else f" at {printable_name(ref)}"
        return f"the taxonomy {printable_name(str(self._folder))}{at}"


def _changed(
    source: TaxonomySource, entries: Iterable[TaxonomyEntry], earlier: Mapping[str, TaxonomyEntry]
) -> list[TaxonomyEntry]:
    return [entry for entry in entries if not source.same(entry, earlier.get(entry.path))]


def _fork(repository: Repository, base: str, ref: str | None) -> str:
    return repository.merge_base(repository.resolve(base), repository.resolve("HEAD" if ref is None else ref))
