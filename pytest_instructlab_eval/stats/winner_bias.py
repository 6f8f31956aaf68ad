"""How much too high the best model's score is, as it was chosen for that score."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterator, Mapping, Sequence

from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.values import Unit, Values, group_by, units_of

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

    shares = [_deviations(benchmarks) for benchmarks in results]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return None
    rows = {key: row for row, key in enumerate(dict.fromkeys(key for share in known for key in share))}
    deviations = np.zeros((len(rows), len(known)))
    for column, share in enumerate(known):
        deviations[[rows[key] for key in share], column] = list(share.values())
    variances, axes = np.linalg.eigh(deviations.T @ deviations)
    drawn = np.random.default_rng(0).standard_normal((DRAWS, len(known)))
    errors = (drawn * np.sqrt(EXTRA * np.maximum(variances, 0))) @ axes.T
    errors = np.concatenate([errors, -errors])
    chosen = np.argmax(np.asarray(scores) + errors, axis=1)
    luck = float(errors[np.arange(len(errors)), chosen].mean())
    return luck * math.sqrt(1 + EXTRA) / EXTRA


def _deviations(results: Mapping[str, Sequence[Result]]) -> dict[Hashable, float] | None:
    """Return how far each cluster moves a model's mean over benchmarks of score / maximum.

    The deviations are from the mean of their part (see `_parts`), with the usual correction for few clusters.
    None where a part is a single cluster, whose spread is unknown.
    """
    deviations: dict[Hashable, float] = {}
    for benchmark, part in results.items():
        values = Values.scored(units_of(part))
        for weight, clusters in _parts(values):
            if len(clusters) == 1:
                return None
            mean = statistics.fmean(value for members in clusters.values() for _, value in members)
            scale = math.sqrt(len(clusters) / (len(clusters) - 1)) * weight / values.maximum / len(results)
            for key, members in clusters.items():
                deviations[benchmark, key] = scale * sum(value - mean for _, value in members)
    return deviations


def _parts(values: Values) -> Iterator[tuple[float, Mapping[Hashable, Sequence[tuple[Unit, float]]]]]:
    """Yield the weight of a value in the mean, and the values that are compared with each other, by cluster.

    These are the questions of a task, which are independent but for those about one passage, and all values
    without a task. Tasks of a single question or passage are compared with each other, since their own spread
    is unknown.
    """

    def cluster(entry: tuple[Unit, float]) -> Hashable:
        unit, _ = entry
        if unit.stratum is not None:
            return (unit.stratum, unit.passage) if unit.passage else unit.key
        return (unit.cluster if values.clustered else "") or unit.key.question

    strata = group_by(values.entries, lambda entry: entry[0].stratum)
    single = strata.pop(None, [])
    weight = 1 / (len(strata) + len(single))
    for task in strata.values():
        clusters = group_by(task, cluster)
        if len(clusters) == 1:
            single.append((task[0][0], statistics.fmean(value for _, value in task)))
        else:
            yield weight / len(task), clusters
    if single:
        yield weight, group_by(single, cluster)
