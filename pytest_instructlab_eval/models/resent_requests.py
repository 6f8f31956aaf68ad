"""Requests that were sent again after a failure, which reports count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

Cause = tuple[str, str]
"""A server, as messages name it, and what it did: "status 500"."""


def resent_notes(resent: Mapping[Cause, int]) -> list[str]:
    """Return a sentence for each server to which requests were sent again, the commonest cause first."""
    by_server: dict[str, Counter[str]] = {}
    for (server, cause), count in sorted(resent.items()):
        by_server.setdefault(server, Counter())[cause] += count
    notes = []
    for server, causes in by_server.items():
        if total := causes.total():
            times = "once" if total == 1 else f"{total:,} times"
            after = ", ".join(f"{count:,} after {cause}" for cause, count in causes.most_common())
            notes.append(f"requests to {server} were sent again {times}: {after}")
    return notes
