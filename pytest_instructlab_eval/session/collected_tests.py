"""What was collected, as far as the gates need to know it; a worker of xdist tells it to the controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from pytest_instructlab_eval.records.scores import plain_data
from pytest_instructlab_eval.session.items import ROLES, identity_of, is_empty, model_roles, scoring_tests
from pytest_instructlab_eval.session.marker import marked_gates, marker_problem


@dataclass(frozen=True)
class CollectedTests:
    """What the gates need to know of a run's tests: the groups of each benchmark, deselected ones too.

    `gates` are those that tests are marked with, by benchmark; `deselected` counts by benchmark, `empty`
    are the benchmarks without a question. `part` says, by benchmark, which of its tests pytest collected
    where it did not collect all, and `tests` are all of the run that this is a shard of. `unselected` are,
    by benchmark, the groups of which no test is run, "" where none of the benchmark is. `judged` are the
    benchmarks of tests that ask for a model and a judge. `problem` is what is wrong with a marker.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deselected: Mapping[str, int] = field(default_factory=dict)
    empty: Sequence[str] = ()
    part: Mapping[str, str] = field(default_factory=dict)
    unselected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tests: Sequence[str] = ()
    judged: Sequence[str] = ()
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
    ) -> CollectedTests:
        """Return what is to be known of the tests that may score among a run's items and those it left out.

        `missing` are tests beside which only those were collected that `which` says.
        """
        chosen, left = _ScoringTests(items), _ScoringTests(deselected)
        every, run = chosen | left, chosen.places()
        groups, asked, parts = every.groups(), every.asked(), _ScoringTests(missing).groups()
        return cls(
            groups=groups,
            gates=every.gates(),
            deselected=left.questions(),
            empty=[name for name in groups if name not in asked],
            part={name: which for name in groups if name in parts},
            unselected=_by_benchmark(place for place in left.places() if place not in run),
            tests=tests,
            judged=chosen.judged(),
            problem=chosen.problem(),
        )

    def to_plain(self) -> dict[str, object]:
        """Return it as plain data, fit for another process."""
        record: dict[str, object] = plain_data(self)
        return record


class _ScoringTests:
    """The tests that may score among a run's items, each with what it is about."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._about = {item: identity_of(item) for item in scoring_tests(items)}

    def __or__(self, other: _ScoringTests) -> _ScoringTests:
        joined = _ScoringTests(())
        joined._about = self._about | other._about
        return joined

    def groups(self) -> dict[str, list[str]]:
        """Return the groups of each benchmark; it may have none."""
        found = _by_benchmark((about.benchmark, about.group) for about in self._about.values())
        return {name: [group for group in groups if group] for name, groups in found.items()}

    def gates(self) -> dict[str, list[str]]:
        """Return the gates of the tests' markers, of each benchmark that has some."""
        return _by_benchmark(
            (about.benchmark, gate) for item, about in self._about.items() for gate in marked_gates(item)
        )

    def judged(self) -> list[str]:
        """Return the benchmarks of the tests that ask for a model and a judge, and have a question."""
        return sorted(
            {about.benchmark for item, about in self._about.items() if model_roles([item]) == {*ROLES}}
        )

    def asked(self) -> set[str]:
        """Return the benchmarks that have a question."""
        return {about.benchmark for item, about in self._about.items() if not is_empty(item)}

    def questions(self) -> dict[str, int]:
        """Return the number of questions of each benchmark, whichever models they are put to."""
        return Counter(
            name for name, _ in {(about.benchmark, about.question) for about in self._about.values()}
        )

    def places(self) -> dict[tuple[str, str], None]:
        """Return each benchmark as a whole, and each of its groups."""
        found = [(about.benchmark, group) for about in self._about.values() for group in ("", about.group)]
        return dict.fromkeys(found)

    def problem(self) -> str | None:
        """Return what is wrong with the first marker that can't be meant."""
        return next(filter(None, map(marker_problem, self._about)), None)


def _by_benchmark(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return what stands beside each benchmark, each text once."""
    found: dict[str, dict[str, None]] = {}
    for benchmark, text in pairs:
        found.setdefault(benchmark, {})[text] = None
    return {benchmark: list(texts) for benchmark, texts in found.items()}
