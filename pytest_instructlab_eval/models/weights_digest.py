"""A digest of a model's folder: of its weights, its tokenizer and its configuration."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pytest_instructlab_eval.data.text_files import read_text, replace_text
from pytest_instructlab_eval.data.typed_json import MisfitError, read_as
from pytest_instructlab_eval.errors import DataError

SUFFIXES = frozenset(
    {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".json", ".model", ".txt", ".jinja", ".tiktoken", ".py"}
)
"""Of the files that vLLM and transformers read of a model; the others are notes and logs."""
CACHE_FILE = "digests.json"
MOST_BYTES = 2**24  # of the cache file, which has some hundred bytes a file
MOST_ENTRIES = 10_000
BLOCK = 2**20
READERS = 4  # files that are read at once: hashing runs without the interpreter's lock
SETTLED = 2 * 10**9  # ns since the last change; a file system's times may be as coarse

State = tuple[int, int, int]
"""The size of a file, and the times (ns) at which its content and its entry last changed."""

UNSETTLED: State = (-1, -1, -1)


def folder_digest(folder: Path, cache_folder: Path) -> str | None:
    """Return a digest of the files of a model's folder; None where there is none, or one cannot be read.

    Files whose size and times are those of an earlier call are not read again: `cache_folder`, the user's,
    keeps their digests. A copy of the folder elsewhere has the same digest.
    """
    cache = cache_folder / CACHE_FILE
    try:
        files = sorted(_model_files(folder))
        cached = _read_cache(cache)
        with ThreadPoolExecutor(READERS) as readers:
            entries = dict(
                zip(
                    map(str, files),
                    readers.map(lambda path: _file_entry(path, cached.get(str(path))), files),
                    strict=True,
                )
            )
    except OSError:
        return None
    if not files:
        return None
    if any(cached.get(path) != entry for path, entry in entries.items()):
        newest = dict(list({**cached, **entries}.items())[-MOST_ENTRIES:])
        with contextlib.suppress(OSError, UnicodeError):  # without a cache all is read again
            cache_folder.mkdir(parents=True, exist_ok=True)
            replace_text(cache, json.dumps(newest))
    named = [[str(path.relative_to(folder.absolute())), entries[str(path)][1]] for path in files]
    return f"sha256:{hashlib.sha256(json.dumps(named).encode('utf-8', 'surrogateescape')).hexdigest()}"


Entry = tuple[State, str]
"""The state and the digest of a file."""


def _model_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a model, those of hidden folders left out; raises OSError."""

    def fail(error: OSError) -> None:
        raise error

    for root, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(root, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and path.is_file():
                yield path.absolute()


def _file_entry(path: Path, cached: Entry | None) -> Entry:
    """Return the state and the digest of a file, which is read where it is not as it was; raises OSError."""
    state = _state(path)
    if cached is not None and cached[0] == state:
        return cached
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
    # A change so soon after the last one may leave the times as they are: such a file is read again.
    is_settled = _state(path) == state and time.time_ns() - state[1] > SETTLED
    return (state if is_settled else UNSETTLED), whole.hexdigest()


def _state(path: Path) -> State:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read_cache(path: Path) -> Mapping[str, Entry]:
    """Return the digests of earlier calls; nothing that is not as this module writes it."""
    entries: dict[str, Entry] = {}
    with contextlib.suppress(DataError, ValueError, RecursionError, OSError):
        document = json.loads(read_text(path, MOST_BYTES))
        for name, entry in document.items() if isinstance(document, dict) else ():
            with contextlib.suppress(MisfitError):
                entries[name] = read_as(tuple[State, str], entry)
    return entries
