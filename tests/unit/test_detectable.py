"""A drop of ratings that a run could have seen is seen in about 80 % of runs like it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pytest_instructlab_eval.stats import detectable
from pytest_instructlab_eval.stats.detectable import detectable_drop
from pytest_instructlab_eval.stats.paired_answers import PairedAnswers
from pytest_instructlab_eval.stats.statistics import cluster_interval

SCALE = (1.0, 10.0)
Ratings = list[list[float]]


def run(generator: np.random.Generator, sizes: tuple[int, ...], drop: float) -> tuple[Ratings, Ratings]:
    """Ratings of ours and theirs by cluster; what a cluster has in common differs from one to the next."""
    ours, theirs = [], []
    for size in sizes:
        level = generator.normal(6.0, 1.0, size)
        common = generator.normal(0.0, 0.7)
        ours.append(level - drop + common + generator.normal(0.0, 1.0, size))
        theirs.append(level + generator.normal(0.0, 1.0, size))
    return [np.clip(np.round(c), *SCALE).tolist() for c in ours], [
        np.clip(np.round(c), *SCALE).tolist() for c in theirs
    ]


def is_red(ours: Ratings, theirs: Ratings, margin: float) -> bool:
    drops = [[b - a for a, b in zip(*cluster, strict=True)] for cluster in zip(ours, theirs, strict=True)]
    interval = cluster_interval(drops)
    return interval is not None and interval.low > margin


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize(
    "sizes", [(1,) * 80, (5,) * 15, (5,) * 8, (40, 20, 10, *(2,) * 9)], ids=["80", "15x5", "8x5", "uneven"]
)
def test_power_is_about_80_percent(sizes: tuple[int, ...], margin: float) -> None:
    generator = np.random.default_rng(11)
    found = [detectable_drop(*run(generator, sizes, 0.0), SCALE, margin) for _ in range(10)]
    smallest = [drop for drop in found if drop is not None]
    assert len(smallest) == len(found)
    seen = [
        is_red(*run(generator, sizes, drop), margin)
        for drop in itertools.chain.from_iterable(itertools.repeat(smallest, 20))
    ]
    assert 0.70 <= np.mean(seen) <= 0.88


def test_five_clusters_can_show_no_drop() -> None:
    assert detectable_drop(*run(np.random.default_rng(0), (5,) * 5, 0.0), SCALE) is None


def test_the_limit_is_added() -> None:
    ratings = run(np.random.default_rng(0), (1,) * 80, 0.0)
    at_0, at_1 = (detectable_drop(*ratings, SCALE, margin) for margin in (0.0, 1.0))
    assert at_0 is not None
    assert at_1 is not None
    assert 0.9 <= at_1 - at_0 <= 1.1


def test_it_costs_one_draw_of_runs_however_many_drops_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = []
    once = detectable._lower_ends

    def counted(*given: Any) -> Any:
        draws.append(given)
        return once(*given)

    monkeypatch.setattr(detectable, "_lower_ends", counted)
    assert detectable_drop(*run(np.random.default_rng(0), (2,) * 80, 0.0), SCALE, 0.5) is not None
    assert len(draws) == 1
    assert detectable_drop(*run(np.random.default_rng(0), (1,) * 14_042, 0.0), SCALE, 0.5) is not None
    assert len(draws) == 1, "so many clusters need none"


def test_many_answers_need_no_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PairedAnswers, "_simulated_power", None)
    assert PairedAnswers([500], [500], [14_042]).detectable_drop(0.01) == pytest.approx(0.017, abs=0.001)
