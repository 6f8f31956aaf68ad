"""Files that look like questions and are not read: their name, place or kind is wrong."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Iterable, Mapping

from pytest_instructlab_eval.data.taxonomy.files import LEFT_OUT, QNA, Kind, TaxonomyEntry, TaxonomySource
from pytest_instructlab_eval.data.taxonomy.qna import KNOWLEDGE, parse_qna
from pytest_instructlab_eval.errors import DataError

CONTENT_FOLDERS = ("compositional_skills", "foundational_skills", KNOWLEDGE)
WRONG_PLACE = f"it must lie in a folder below {', '.join(CONTENT_FOLDERS[:-1])} or {CONTENT_FOLDERS[-1]}"
WRONG: Mapping[Kind, str] = {
    "file": f"its name must be {QNA}",
    "link": f"it is a symbolic link; a {QNA} must be a regular file",
    "other": "it is a submodule or not a regular file; add the files themselves",
}

# What lies beside a qna.yaml and holds no questions: who wrote it, notes, documents, pictures.
NOTE = re.compile(
    r".*attribut.*|\W*(read\W?me|licen[cs]e|copying|notice|authors?\b|contributing|codeowners).*",
    re.IGNORECASE | re.DOTALL,
)
DOCUMENT = re.compile(r".*\.(md|markdown|rst|pdf)|\.[^.]*", re.IGNORECASE | re.DOTALL)  # or hidden: .gitkeep
PICTURE = re.compile(r".*\.(png|jpe?g|gif|svg|webp)", re.IGNORECASE | re.DOTALL)
QNA_LIKE = re.compile(r"^[\W_]*qna|(?<![^\W\d_])q[\W_]?n[\W_]?a(?![^\W\d_])")  # at the start, or as a word
YAML = re.compile(r".*\.ya?ml\W*", re.IGNORECASE | re.DOTALL)
QUESTIONS = re.compile(rb"""^[ \t\-{"']*seed_examples["']?[ \t]*:""", re.MULTILINE)


def unread_reasons(
    source: TaxonomySource, entries: Iterable[TaxonomyEntry], *, alone: bool = False
) -> dict[str, str]:
    """Return why each of these files that looks like questions is not read, by its path.

    Where they are `alone`, all that a branch adds or changes, whatever its content folders get is meant to be
    read, but for attributions, notes, documents and pictures.
    """
    survey = _UnreadFiles(source, alone)
    reasons = ((entry.path, survey.reason(entry)) for entry in entries if not entry.problem)
    return {path: reason for path, reason in sorted(reasons) if reason is not None}


def is_companion(entry: TaxonomyEntry) -> bool:
    """Return whether a file may lie beside a qna.yaml: its attribution, notes, a document, a picture."""
    if NOTE.fullmatch(entry.name) or PICTURE.fullmatch(entry.name):
        return True
    return DOCUMENT.fullmatch(entry.name) is not None and not _says_qna(entry.name)


class _UnreadFiles:
    """Looks at the files of a source; in what it adds, where that is `alone`."""

    def __init__(self, source: TaxonomySource, alone: bool) -> None:
        self._source = source
        self._alone = alone
        self._known: dict[tuple[str, bool], bool] = {}  # a Git object may lie at any number of paths

    def reason(self, entry: TaxonomyEntry) -> str | None:
        """Return why a file that looks like questions is not read; None for any other."""
        top = entry.path.partition("/")[0] if "/" in entry.path else None
        if entry.name == QNA:
            return WRONG_PLACE if top is None or top in LEFT_OUT else None
        if top in LEFT_OUT or is_companion(entry):
            return None
        return WRONG[entry.kind] if self._is_meant(entry, top in CONTENT_FOLDERS) else None

    def _is_meant(self, entry: TaxonomyEntry, in_content: bool) -> bool:
        """Return whether its name, place or content is that of questions.

        Content is what has seed_examples, and outside the content folders a whole qna.yaml.
        """
        if _says_qna(entry.name):
            return True
        if in_content and (self._alone or YAML.fullmatch(entry.name)):
            return True
        if entry.kind != "file":
            return False
        key = (entry.id or entry.path, in_content)
        if key not in self._known:
            self._known[key] = False
            with contextlib.suppress(DataError):  # too large to be a qna.yaml, or it cannot be read
                data = self._source.data(entry)
                self._known[key] = QUESTIONS.search(data) is not None and (
                    in_content or bool(parse_qna(data, entry.path).pairs)
                )
        return self._known[key]


def _says_qna(name: str) -> bool:
    """Return whether a name is meant for qna.yaml: `qna.yml`, `Qna.yaml`, `qna (1).yaml`, `q_n_a.txt`."""
    return QNA_LIKE.search(unicodedata.normalize("NFKC", name).casefold()) is not None
