"""What was collected, as far as the gates need to know it; a worker of xdist tells it to the controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_instructlab_eval.records.scores import plain
from pytest_instructlab_eval.session.items import identity, is_empty, scoring_tests
from pytest_instructlab_eval.session.marker import marked_gates, marker_problem

__all__ = ["Collected"]


@dataclass(frozen=True)
class Collected:
    """What the gates need to know of a run's tests: the groups of each benchmark, deselected ones too.

    `gates` are those that tests are marked with, by benchmark; `deselected` counts by benchmark, `empty`
    are the benchmarks without a question. `part` says, by benchmark, which of its tests pytest collected
    where it did not collect all, and `tests` are all of the run that this is a shard of. `unselected` are,
    by benchmark, the groups of which no test is run, "" where none of the benchmark is. `problem` is what is
    wrong with a marker.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deselected: Mapping[str, int] = field(default_factory=dict)
    empty: Sequence[str] = ()
    part: Mapping[str, str] = field(default_factory=dict)
    unselected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tests: Sequence[str] = ()
    problem: str | None = None

    @classmethod
    def of(
        cls,
        items: Sequence[pytest.Item],
        deselected: Sequence[pytest.Item],
        *,
        tests: Sequence[str] = (),
        missing: Sequence[pytest.Item] = (),
        which: str = "",
    ) -> Collected:
        """Of the tests that may score among a run's items, and among those that it left out.

        `missing` are tests beside which only those were collected that `which` says.
        """
        chosen, left = scoring_tests(items), scoring_tests(deselected)
        groups: dict[str, dict[str, None]] = {}
        gates: dict[str, dict[str, None]] = {}
        known = [(item, identity(item)) for item in (*chosen, *left)]
        for item, about in known:
            groups.setdefault(about.benchmark, {}).update({about.group: None} if about.group else {})
            gates.setdefault(about.benchmark, {}).update(dict.fromkeys(marked_gates(item)))
        asked = {about.benchmark for item, about in known if not is_empty(item)}
        run = {place for item in chosen for place in _places(item)}
        unselected: dict[str, dict[str, None]] = {}
        for benchmark, group in (place for item in left for place in _places(item) if place not in run):
            unselected.setdefault(benchmark, {})[group] = None
        questions_left = {(about.benchmark, about.question) for _, about in known[len(chosen) :]}
        parts = {identity(item).benchmark for item in scoring_tests(missing)}
        return cls(
            groups={name: list(found) for name, found in groups.items()},
            gates={name: list(found) for name, found in gates.items()},
            deselected=dict(Counter(name for name, _ in questions_left)),
            empty=[name for name in groups if name not in asked],
            part={name: which for name in groups if name in parts},
            unselected={name: list(found) for name, found in unselected.items()},
            tests=tests,
            problem=next(filter(None, map(marker_problem, chosen)), None),
        )

    def to_plain(self) -> dict[str, Any]:
        """As plain data, fit for another process."""
        record: dict[str, Any] = plain(self)
        return record


def _places(item: pytest.Function) -> set[tuple[str, str]]:
    """The benchmark as a whole, and its group, that the test is of."""
    about = identity(item)
    return {(about.benchmark, ""), (about.benchmark, about.group)}
