"""The lines of a journal's files: a JSON object each, which ends with a checksum of itself."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import re
import time
from collections.abc import Mapping

from pytest_instructlab_eval.escaping import escape_json

SCHEMA = 1
MOST_IN_A_LINE = 2**28  # bytes; a reply has at most 16 MiB unless the user allows more
TIME = "%Y-%m-%dT%H:%M:%SZ"
SUM = b',"sum":"'  # stands before the checksum
END = re.compile(rb',"sum":"([0-9a-f]{16})"\}\n?\Z')
KEY = re.compile(r"[0-9a-f]{64}")

# `json.dumps` would make an encoder for each line.
AS_IT_IS = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
ESCAPED = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def write_line(record: Mapping[str, object]) -> bytes:
    """Return the line of a record, with its checksum and a newline.

    Raises ValueError for a number that JSON lacks (NaN, infinity), and TypeError for an object that it lacks.
    """
    try:
        body = escape_json(AS_IT_IS.encode(record)).encode()[:-1]
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
        body = escape_json(ESCAPED.encode(record)).encode()[:-1]
    return body + SUM + _checksum(body) + b'"}\n'


def read_line(line: bytes) -> dict[str, object] | None:
    """Return the record of a line; None where the line is torn, changed, or none of a journal."""
    end = END.search(line[-40:])
    if end is None:
        return None
    body = line[: len(line) - len(end[0])]
    if _checksum(body) != end[1]:
        return None
    try:
        record = json.loads(body + b"}")
    except (ValueError, RecursionError):  # written by somebody else
        return None
    return record if isinstance(record, dict) else None


def key_in(record: Mapping[str, object]) -> bytes | None:
    """Return the key of a record; None where it has none."""
    key = record.get("key")
    return bytes.fromhex(key) if isinstance(key, str) and KEY.fullmatch(key) else None


def utc_now() -> str:
    """Return the time in UTC, such as "2026-11-27T09:12:03Z"."""
    return _time_text(int(time.time()))


@functools.lru_cache(maxsize=1)
def _time_text(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime(TIME)


def short_time(text: object) -> str:
    """Return a time of `utc_now` for people, "2026-11-27 09:12"; empty for anything else."""
    try:
        return datetime.datetime.strptime(str(text), TIME).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()
