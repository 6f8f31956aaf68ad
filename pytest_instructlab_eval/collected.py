"""What was collected, as far as the gates need to know it; a worker of xdist tells it to the controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_instructlab_eval.items import identity, is_empty, marked_gates, scoring_tests
from pytest_instructlab_eval.scores import plain

__all__ = ["Collected"]


@dataclass(frozen=True)
class Collected:
    """What the gates need to know of a run's tests: the groups of each benchmark, deselected ones too.

    `gates` are those that tests are marked with, by benchmark; `deselected` counts by benchmark, `empty`
    are the benchmarks without a question. `part` says, by benchmark, which of its tests pytest collected
    where it did not collect all, and `tests` are all of the run that this is a shard of.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deselected: Mapping[str, int] = field(default_factory=dict)
    empty: Sequence[str] = ()
    part: Mapping[str, str] = field(default_factory=dict)
    tests: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        items: Sequence[pytest.Item],
        deselected: Sequence[pytest.Item],
        *,
        part: Callable[[pytest.Item], str] = lambda item: "",
        tests: Sequence[str] = (),
    ) -> Collected:
        """Of the tests that may score among a run's items, and among those that it left out.

        `part` says of an item which tests of its file were collected, where not all were.
        """
        groups: dict[str, dict[str, None]] = {}
        gates: dict[str, dict[str, None]] = {}
        asked, parts = set(), {}
        for item in scoring_tests([*items, *deselected]):
            about = identity(item)
            groups.setdefault(about.benchmark, {}).update({about.group: None} if about.group else {})
            gates.setdefault(about.benchmark, {}).update(dict.fromkeys(marked_gates(item)))
            if not is_empty(item):
                asked.add(about.benchmark)
            if which := part(item):
                parts[about.benchmark] = which
        return cls(
            groups={name: list(found) for name, found in groups.items()},
            gates={name: list(found) for name, found in gates.items()},
            deselected=dict(Counter(identity(item).benchmark for item in scoring_tests(deselected))),
            empty=[name for name in groups if name not in asked],
            part=parts,
            tests=tests,
        )

    def to_plain(self) -> dict[str, Any]:
        """As plain data, fit for another process."""
        record: dict[str, Any] = plain(self)
        return record
