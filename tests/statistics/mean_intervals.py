"""How often the interval of a mean of ratings, and of a difference of two runs' means, holds the true one.

`python -m tests.statistics.mean_intervals` prints the table of `docs/explanations/statistics.md`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence

import numpy as np

from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.comparison import mean_difference, mean_interval
from pytest_instructlab_eval.stats.statistics import Interval
from tests.statistics.drop_gates import CEILING, HIGHEST, UNEVEN_FILES, Ratings

ONE_LARGE = (60, *(2,) * 11)

SCENARIOS = {
    "80 questions": Ratings((1,) * 80),
    "15 files of 5": Ratings((5,) * 15),
    "12 uneven files, 2 to 40": Ratings(UNEVEN_FILES),
    "one file of 60 and 11 of 2": Ratings(ONE_LARGE),
    "15 files of 5, near 10": Ratings((5,) * 15, **CEILING),
    "8 files of 5, near 10": Ratings((5,) * 8, **CEILING),
    "15 files of 5, mean 9.7": Ratings((5,) * 15, level=10.4, spread=0.5, noise=0.7),
    "12 uneven files, near 10": Ratings(UNEVEN_FILES, **CEILING),
}


def results(ratings: Sequence[float], sizes: Sequence[int]) -> list[Result]:
    """Return the results of a run; a file of questions is a cluster."""
    files = np.repeat(np.arange(len(sizes)), sizes)
    clustered = max(sizes) > 1
    return [
        Result("own", f"question {number}", "", "model", scores=(Score(rating, maximum=HIGHEST),),
               cluster=f"file {file}" if clustered else "")
        for number, (file, rating) in enumerate(zip(files.tolist(), ratings, strict=True))
    ]  # fmt: skip


def held(intervals: Sequence[Interval | None], truth: float) -> float:
    """Return the share of intervals that hold the truth, of those that there are."""
    found = [interval for interval in intervals if interval is not None]
    return sum(low <= truth <= high for low, high in found) / len(found) if found else math.nan


def mean_coverage(model: Ratings, runs: int) -> float:
    """Return how often the interval of the mean holds the true mean."""
    single = Ratings((1,) * 200_000, model.level, model.spread, model.shared, model.noise)
    truth = float(single.draw(np.random.default_rng(0), 1, 0.0)[0].mean())
    drawn, _ = model.draw(np.random.default_rng(1), runs, 0.0)
    return held([mean_interval(results(run, model.sizes)) for run in drawn.tolist()], truth)


def difference_coverage(model: Ratings, runs: int) -> float:
    """Return how often the interval of the difference of two runs over other questions holds 0."""
    sides = [model.draw(np.random.default_rng(seed), runs, 0.0)[0].tolist() for seed in (1, 2)]
    found = [
        mean_difference(results(mine, model.sizes), results(other, model.sizes))
        for mine, other in zip(*sides, strict=True)
    ]
    return held([None if one is None else one.interval() for one in found], 0.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    options = parser.parse_args()
    measures: list[Callable[[Ratings, int], float]] = [mean_coverage, difference_coverage]
    print("| scenario | the mean is in its interval, % | the unpaired difference is, % |")
    print("| --- | --- | --- |")
    for name, model in SCENARIOS.items():
        shares = (f"{100 * measure(model, options.runs):.1f}" for measure in measures)
        print(f"| {name} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
