"""How much too high the best model's score is, as it was chosen for that score."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.values import Unit, Values, group_by, units_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 5_000  # each is used with both signs
EXTRA = 0.5  # the variance that is added to the scores', as a multiple of it


def selection_bias(
    scores: Sequence[float], results: Sequence[Mapping[str, Sequence[Result]]]
) -> float | None:
    """Return how much the highest score exceeds the true score of its model, on the average: an estimate.

    `scores` has the score of each model, `results` its results by benchmark. The errors of the scores are
    taken as normal, with the covariance that the questions show. None where that cannot be measured.

    Errors of `EXTRA` times that covariance are drawn and added to the scores, and a model is chosen by the
    sums. The mean drawn error of the chosen model, times (1 + EXTRA) / EXTRA, is an unbiased estimate of the
    bias of such a choice, whose errors are sqrt(1 + EXTRA) times as large as the scores' own ("Data fission",
    Leiner and others, JASA 120, 2025). Divided by that root, it is right where all models are equal, and
    rather too large where one leads. A plain bootstrap takes leads by chance for true ones, and would find
    1 / sqrt(2) of the bias of equal models.
    """
    import numpy as np

    shares = [_deviations_of_shares(benchmarks) for benchmarks in results]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return None
    rows = {key: row for row, key in enumerate(dict.fromkeys(key for share in known for key in share))}
    deviations = np.zeros((len(rows), len(known)))
    for column, share in enumerate(known):
        deviations[[rows[key] for key in share], column] = list(share.values())
    errors = math.sqrt(EXTRA) * _drawn(deviations.T @ deviations)
    chosen = np.argmax(np.asarray(scores) + errors, axis=1)
    luck = float(errors[np.arange(len(errors)), chosen].mean())
    return luck * math.sqrt(1 + EXTRA) / EXTRA


def _drawn(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normal errors of this covariance, a row a draw; their mean is 0."""
    import numpy as np

    values, vectors = np.linalg.eigh(covariance)
    standard = np.random.default_rng(0).standard_normal((DRAWS, len(values)))
    errors = (standard * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return np.concatenate([errors, -errors])


def _deviations_of_shares(results: Mapping[str, Sequence[Result]]) -> dict[Hashable, float] | None:
    """Return how far each cluster moves the mean over benchmarks of score / maximum; None where unknown."""
    parts: dict[Hashable, float] = {}
    for benchmark, part in results.items():
        values = Values.scored(units_of(part))
        deviations = _deviations(values)
        if deviations is None:
            return None
        scale = values.maximum * len(results)
        parts.update({(benchmark, key): moved / scale for key, moved in deviations.items()})
    return parts


def _deviations(values: Values) -> dict[Hashable, float] | None:
    """Return how far each independent part moves the mean; None where there is only one.

    A part is a question of a task, and otherwise a cluster. The questions of a task are compared with the
    task's mean; those that are the only ones of their task are compared with each other.
    """
    strata = group_by(values.entries, lambda entry: entry[0].stratum)
    tasks = [part for stratum, part in strata.items() if stratum is not None]
    weight = 1 / (len(tasks) + len(strata.get(None, ())))
    others = [*strata.get(None, ()), *(part[0] for part in tasks if len(part) == 1)]
    deviations: dict[Hashable, float] = {}
    for part, share in [*((part, weight / len(part)) for part in tasks if len(part) > 1), (others, weight)]:
        moved = _moved(part, values.clustered)
        if len(moved) == 1:
            return None
        deviations.update({key: share * far for key, far in moved.items()})
    return deviations


def _moved(entries: Sequence[tuple[Unit, float]], clustered: bool) -> dict[Hashable, float]:
    """Return the sum of each cluster's deviations from the mean, with the correction for few clusters."""
    if not entries:
        return {}
    mean = statistics.fmean(value for _, value in entries)
    clusters = group_by(entries, lambda entry: _cluster(entry[0], clustered))
    correction = math.sqrt(len(clusters) / (len(clusters) - 1)) if len(clusters) > 1 else 1.0
    return {key: correction * sum(value - mean for _, value in part) for key, part in clusters.items()}


def _cluster(unit: Unit, clustered: bool) -> Hashable:
    if unit.stratum is not None:
        return unit.key
    return (unit.cluster if clustered else "") or unit.key.question
