"""The facts about collected tests that the gates need; an xdist worker sends them to the controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.run import PlannedTest
from pytest_instructlab_eval.session.items import (
    ROLES,
    identity_of,
    is_empty,
    model_roles,
    questions_of_item,
    run_roles,
    scoring_tests,
)
from pytest_instructlab_eval.session.marker import marked_gates, marker_problem


@dataclass(frozen=True)
class CollectedTests:
    """The facts about a run's tests that the gates need: the groups of each benchmark, with deselected ones.

    `gates` are those of markers, by benchmark, `deselected` has the number of deselected questions by
    benchmark, and `empty` the benchmarks without a question. `part` describes, by benchmark, the collected
    tests where pytest did not collect all. `tests` are all tests of the run that this is a shard of.
    `unselected` are, by benchmark, the groups without a selected test, with "" where the benchmark has none.
    `judged` are the benchmarks of tests that request a model and a judge. `roles` has, by benchmark and
    group, the number of selected tests that request these fixtures: "served_model", "judge", both with a
    blank between them, or none. `planned` are the tests that the run will ask. `problem` is that of a marker.
    With --eval-reuse-verdict there are the `digest` of the tests and their questions, and why it may not be
    of all that they depend on (`uninspected`).
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gates: Mapping[str, Sequence[str]] = field(default_factory=dict)
    deselected: Mapping[str, int] = field(default_factory=dict)
    empty: Sequence[str] = ()
    part: Mapping[str, str] = field(default_factory=dict)
    unselected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tests: Sequence[str] = ()
    judged: Sequence[str] = ()
    planned: Sequence[PlannedTest] = ()
    roles: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    problem: str | None = None
    digest: str = ""
    uninspected: str | None = None

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
        """Return the facts about the scoring tests among the selected and the deselected items.

        `missing` are tests that were not collected; `which` describes those that were.
        """
        chosen, left = _ScoringTests(items), _ScoringTests(deselected)
        every, run = chosen | left, chosen.parts()
        groups, with_questions, parts = every.groups(), every.asked(), _ScoringTests(missing).groups()
        return cls(
            groups=groups,
            gates=every.gates(),
            deselected=left.questions(),
            empty=[name for name in groups if name not in with_questions],
            part={name: which for name in groups if name in parts},
            unselected=_by_benchmark(part for part in left.parts() if part not in run),
            tests=tests,
            judged=chosen.judged(),
            planned=chosen.planned(),
            roles=chosen.roles(),
            problem=chosen.problem(),
        )

    def requested(self, benchmark: str, group: str | None = None) -> Counter[str]:
        """Return the number of selected tests of a benchmark, or of its group, by requested fixtures."""
        counts: Counter[str] = Counter()
        for name, numbers in self.roles.get(benchmark, {}).items():
            if group in (None, name):
                counts.update(numbers)
        return counts

    @property
    def asks(self) -> bool:
        """True if any of the tests requests a model or a judge of the run."""
        counts = (of_group for groups in self.roles.values() for of_group in groups.values())
        return any(fixtures for of_group in counts for fixtures in of_group)

    @classmethod
    def from_plain(cls, record: Mapping[str, Any]) -> CollectedTests:
        """Return the facts of `to_plain`, as a worker has sent them."""
        return cls(**{**record, "planned": [PlannedTest(*test) for test in record["planned"]]})

    def to_plain(self) -> dict[str, object]:
        """Return the facts as plain data, for another process."""
        record: dict[str, object] = plain_data(self)
        return record


class _ScoringTests:
    """The scoring tests among a run's items, each with its identity."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._about = {item: identity_of(item) for item in scoring_tests(items)}

    def __or__(self, other: _ScoringTests) -> _ScoringTests:
        joined = _ScoringTests(())
        joined._about = self._about | other._about
        return joined

    def groups(self) -> dict[str, list[str]]:
        """Return the groups of each benchmark, which may be none."""
        groups = _by_benchmark((about.benchmark, about.group) for about in self._about.values())
        return {name: [group for group in names if group] for name, names in groups.items()}

    def gates(self) -> dict[str, list[str]]:
        """Return the gates of the tests' markers, by benchmark."""
        return _by_benchmark(
            (about.benchmark, gate) for item, about in self._about.items() for gate in marked_gates(item)
        )

    def judged(self) -> list[str]:
        """Return the benchmarks of the tests that request a model and a judge, and have a question."""
        return sorted(
            {about.benchmark for item, about in self._about.items() if model_roles([item]) == {*ROLES}}
        )

    def roles(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the number of tests by benchmark, group and the run's models that they request."""
        counts: dict[str, dict[str, Counter[str]]] = {}
        for item, about in self._about.items():
            if not is_empty(item):
                of_group = counts.setdefault(about.benchmark, {}).setdefault(about.group, Counter())
                of_group[" ".join(run_roles(item))] += 1
        return {name: {group: dict(of) for group, of in groups.items()} for name, groups in counts.items()}

    def asked(self) -> set[str]:
        """Return the benchmarks that have a question."""
        return {about.benchmark for item, about in self._about.items() if not is_empty(item)}

    def questions(self) -> dict[str, int]:
        """Return the number of questions of each benchmark, for any number of models."""
        return Counter(
            name for name, _ in {(about.benchmark, about.question) for about in self._about.values()}
        )

    def parts(self) -> dict[tuple[str, str], None]:
        """Return a pair for each whole benchmark, with "" as the group, and one for each of its groups."""
        pairs = [(about.benchmark, group) for about in self._about.values() for group in ("", about.group)]
        return dict.fromkeys(pairs)

    def planned(self) -> list[PlannedTest]:
        """Return what is known of each test that asks a question, before it is asked."""
        tests = []
        for item, about in self._about.items():
            if is_empty(item):
                continue
            questions = questions_of_item(item)
            test = PlannedTest(
                about.benchmark,
                about.question,
                about.group,
                about.cluster,
                about.model,
                questions[0][0].requests if questions else None,
                is_task=any(benchmark.of_tasks for _, benchmark in questions),
                is_judged="judge" in model_roles([item]),
                is_repeated=any(benchmark.with_repeats is not None for _, benchmark in questions),
            )
            tests.append(test)
        return tests

    def problem(self) -> str | None:
        """Return the problem of the first invalid marker."""
        return next(filter(None, map(marker_problem, self._about)), None)


def _by_benchmark(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the texts of each benchmark, without repetitions."""
    by_benchmark: dict[str, dict[str, None]] = {}
    for benchmark, text in pairs:
        by_benchmark.setdefault(benchmark, {})[text] = None
    return {benchmark: list(texts) for benchmark, texts in by_benchmark.items()}
