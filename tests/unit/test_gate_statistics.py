"""Statistics of means and of paired differences: against scipy and statsmodels, and by simulation."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
import scipy  # its parts are loaded when they are asked for; statsmodels is imported in the tests that use it
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_instructlab_eval.stats.paired_answers import PairedAnswers
from pytest_instructlab_eval.stats.statistics import (
    Interval,
    bounded_interval,
    cluster_interval,
    clustered_standard_error,
    correlation,
    even_interval,
    holm,
    jackknife_error,
    margin_verdict,
    minimum_detectable_effect,
    p_value,
    standard_error,
    stratified_wilson_interval,
    t_interval,
    welch_degrees_of_freedom,
    wilson_interval,
)

RUNS = 1000  # simulated pairs of runs
NOISE = 3 * math.sqrt(0.05 * 0.95 / RUNS)  # three standard errors of a share of 5 % of them
FINITE = st.floats(-100, 100)
CLUSTERS = st.lists(st.lists(FINITE, min_size=1, max_size=3), min_size=2, max_size=14)


# --- the standard error ---


@given(st.lists(FINITE, min_size=2, max_size=20))
def test_the_standard_error_of_a_mean_is_scipys(values: list[float]) -> None:
    assert standard_error(values) == pytest.approx(float(scipy.stats.sem(values)), abs=1e-9)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_of_fewer_than_two_values_there_is_no_standard_error(values: list[float]) -> None:
    assert standard_error(values) is None


@given(st.lists(FINITE, min_size=2, max_size=20))
def test_for_clusters_of_one_it_is_the_standard_error_of_the_mean(values: list[float]) -> None:
    expected = statistics.stdev(values) / math.sqrt(len(values))
    found = clustered_standard_error([[value] for value in values])
    assert jackknife_error([[value] for value in values]) == pytest.approx(expected, abs=1e-9)
    if found is None:
        assert expected == pytest.approx(0.0, abs=1e-8), "equal scores do not show how far others would be"
    else:
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("clusters", [[], [[1.0]], [[1.0, 2.0, 3.0]]])
def test_for_fewer_than_two_clusters_it_is_none(clusters: list[list[float]]) -> None:
    assert clustered_standard_error(clusters) is None


def test_for_two_clusters_it_is_as_worked_out_by_hand() -> None:
    # mean 4; deviations by cluster (-3 - 1) and (1 + 3): sqrt(2 / 1 * (16 + 16)) / 4
    assert clustered_standard_error([[1.0, 3.0], [5.0, 7.0]]) == 2.0


def test_it_is_that_of_statsmodels_for_a_regression_on_a_constant() -> None:
    from statsmodels.regression.linear_model import OLS

    clusters = [[1.0, 2.5], [4.0], [3.0, 3.5, 9.0], [0.0, 1.0], [7.0]]
    values = [value for cluster in clusters for value in cluster]
    groups = np.repeat(np.arange(len(clusters)), [len(cluster) for cluster in clusters])
    model = OLS(values, np.ones(len(values)))
    # statsmodels' own correction has (N - 1) / (N - 1) beside G / (G - 1) for a constant alone
    fitted = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert clustered_standard_error(clusters) == pytest.approx(float(fitted.bse[0]))


def test_values_that_agree_within_their_clusters_count_less_than_independent_ones() -> None:
    clustered = clustered_standard_error([[1.0, 1.0], [9.0, 9.0], [5.0, 5.0]])
    apart = clustered_standard_error([[1.0], [1.0], [9.0], [9.0], [5.0], [5.0]])
    assert clustered is not None
    assert apart is not None
    assert clustered > apart


@given(st.lists(st.lists(FINITE, min_size=1, max_size=3), min_size=2, max_size=8), FINITE)
def test_it_does_not_change_when_all_values_are_shifted(clusters: list[list[float]], shift: float) -> None:
    shifted = [[value + shift for value in cluster] for cluster in clusters]
    assert clustered_standard_error(shifted) == pytest.approx(clustered_standard_error(clusters), abs=1e-6)


# --- intervals of a mean ---


def test_the_t_interval_is_scipys() -> None:
    expected = scipy.stats.t.interval(0.9, 7, loc=3.0, scale=0.5)
    assert t_interval(3.0, 0.5, 7, confidence=0.9) == pytest.approx(expected)


def test_the_t_interval_of_endless_degrees_of_freedom_is_the_normal_one() -> None:
    assert t_interval(0.0, 1.0, math.inf) == pytest.approx(scipy.stats.norm.interval(0.95))


def test_ten_clusters_have_the_t_interval_of_their_standard_error() -> None:
    clusters = [[float(number), float(number**2)] for number in range(10)]
    stderr = clustered_standard_error(clusters)
    mean = statistics.fmean(value for cluster in clusters for value in cluster)
    assert stderr is not None
    assert cluster_interval(clusters) == pytest.approx(t_interval(mean, stderr, 9))


def test_clusters_of_unequal_size_count_as_fewer() -> None:
    one_large = [[0.0, 1.0] * 20, *([float(number)] for number in range(12))]
    stderr = clustered_standard_error(one_large)
    assert stderr is not None
    interval = cluster_interval(one_large)
    assert interval is not None
    assert interval.high - interval.low > 2 * t_interval(0, stderr, 12).high


def test_six_clusters_have_the_lowest_and_highest_of_their_means() -> None:
    clusters = [[1.0, 3.0], [4.0], [5.0], [6.0], [7.0], [10.0, 8.0]]
    assert cluster_interval(clusters) == Interval(2.0, 9.0)


def test_seven_clusters_have_the_third_typical_value_from_either_end() -> None:
    # floor(0.025 * 128) = 3; the lowest means of sets are 0 of {0}, 1/2 of {0, 1} and 1 of {1}, {0, 2}, …
    assert cluster_interval([[float(number)] for number in range(7)]) == Interval(1.0, 5.0)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_interval_of_fewer_than_six_clusters_can_not_be_measured(count: int) -> None:
    assert cluster_interval([[float(number), 0.5] for number in range(count)]) is None


@pytest.mark.parametrize("count", [6, 9, 10, 80])
def test_values_without_spread_have_no_interval_rather_than_one_of_no_width(count: int) -> None:
    assert cluster_interval([[0.5, 0.5]] * count) is None
    assert cluster_interval([[0.0, 1.0]] * count) is None


@given(CLUSTERS)
def test_the_interval_of_clusters_has_a_width_and_holds_their_mean(clusters: list[list[float]]) -> None:
    interval = cluster_interval(clusters)
    if interval is not None:
        mean = statistics.fmean(value for cluster in clusters for value in cluster)
        assert interval.low - 1e-9 <= mean <= interval.high + 1e-9
        assert interval.low <= interval.high


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("count", [6, 20, 200])
def test_an_effect_that_is_the_same_everywhere_has_an_interval_of_a_width_that_excludes_none(
    count: int, size: int
) -> None:
    found = even_interval([[-2.0] * size] * count)
    assert found is not None
    assert found.low < -2 < found.high < 0
    assert found.high + 2 == pytest.approx(-2 - found.low)
    assert found.high + 2 < 12 / count, "it shrinks with the number of clusters, not with its root"


def test_an_effect_that_only_rounding_keeps_from_none_is_none() -> None:
    assert even_interval([[0.1, 0.2, -0.3]] * 20) == Interval(0.0, 0.0)


def test_an_effect_that_is_the_same_in_five_clusters_can_be_chance() -> None:
    assert even_interval([[1.0]] * 5) is None
    assert even_interval([[1.0]] * 20, confidence=1 - 1e-9) is None


def test_the_degrees_of_freedom_of_a_difference_are_welchs() -> None:
    ours, theirs = [1.0, 4.0, 2.0, 8.0, 5.0], [3.0, 3.5, 4.0]
    errors = [standard_error(side) or 0.0 for side in (ours, theirs)]
    expected = scipy.stats.ttest_ind(ours, theirs, equal_var=False).df
    assert welch_degrees_of_freedom(list(zip(errors, [4.0, 2.0], strict=True))) == pytest.approx(expected)
    assert welch_degrees_of_freedom([(0.0, 4.0), (0.0, 0.0), (1e-95, 3.0)]) == math.inf


def test_scores_that_are_all_equal_have_an_interval_of_a_width_and_no_standard_error() -> None:
    clusters = [[7.0]] * 80
    assert clustered_standard_error(clusters) is None
    found = bounded_interval(clusters, 10.0)
    assert found is not None
    others = 1 - 0.05 ** (1 / 80)  # of so many others, none of 80 is one in 5 % of runs
    assert found == pytest.approx((7 - 7 * others, 7 + 3 * others))
    assert bounded_interval([[10.0]] * 6, 10.0) == pytest.approx((10 * 0.05 ** (1 / 6), 10.0))
    assert bounded_interval([[10.0]] * 5, 10.0) is None


@given(st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=3), min_size=1, max_size=14))
def test_the_interval_of_scores_on_a_scale_stays_on_it_and_holds_their_mean(
    clusters: list[list[float]],
) -> None:
    interval = bounded_interval(clusters, 10.0)
    mean = statistics.fmean(value for cluster in clusters for value in cluster)
    assert (interval is None) == (len(clusters) < 6)
    if interval is not None:
        assert -1e-9 <= interval.low <= mean + 1e-9
        assert mean - 1e-9 <= interval.high <= 10 + 1e-9
        assert interval.high > interval.low or mean in (0.0, 10.0)


def test_the_jackknifes_error_is_that_of_the_means_without_one_cluster_each() -> None:
    clusters = [[1.0, 2.5], [4.0], [3.0, 3.5, 9.0], [0.0, 1.0], [7.0]]
    values = [value for cluster in clusters for value in cluster]
    without = [
        statistics.fmean(value for other in clusters if other is not cluster for value in other)
        for cluster in clusters
    ]
    expected = math.sqrt(4 / 5 * sum((mean - statistics.fmean(values)) ** 2 for mean in without))
    assert jackknife_error(clusters) == pytest.approx(expected)
    assert jackknife_error([[1.0]]) is None


@given(CLUSTERS)
def test_the_order_of_clusters_makes_no_difference(clusters: list[list[float]]) -> None:
    assert cluster_interval(clusters[::-1]) == (
        None if (interval := cluster_interval(clusters)) is None else pytest.approx(interval, abs=1e-6)
    )


@pytest.mark.parametrize(("successes", "count"), [(0, 5), (5, 5), (3, 10), (70, 100), (1, 1)])
def test_wilsons_interval_is_that_of_statsmodels(successes: int, count: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    expected = proportion_confint(successes, count, method="wilson")
    assert wilson_interval(successes, count) == pytest.approx(expected, abs=1e-12)


def test_wilsons_interval_of_all_right_has_a_width() -> None:
    assert wilson_interval(4, 4).low < 0.6
    assert wilson_interval(4, 4).high == 1.0


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_one_stratum_is_wilsons(answers: tuple[int, int]) -> None:
    successes, count = answers
    assert stratified_wilson_interval([successes], [count]) == pytest.approx(
        wilson_interval(successes, count), abs=1e-12
    )


def test_the_interval_of_strata_is_never_narrower_than_their_summed_variances_make_it() -> None:
    successes, counts = [600, 1500, 300], [1000, 2000, 1500]
    shares = np.divide(successes, counts)
    stderr = math.sqrt(float((shares * (1 - shares) / counts).sum())) / 3
    normal = t_interval(float(shares.mean()), stderr, math.inf)
    low, high = stratified_wilson_interval(successes, counts)
    assert 1.0 <= (high - low) / (normal.high - normal.low) < 1.2


def test_the_interval_of_strata_that_are_all_right_has_a_width() -> None:
    interval = stratified_wilson_interval([3] * 57, [3] * 57)
    assert 0.97 < interval.low < 0.98
    assert interval.high == 1.0


@pytest.mark.parametrize("counts", [[1] * 57, [3] * 57, list(range(5, 62)), [150] * 57])
def test_the_interval_of_strata_holds_the_true_mean_in_95_percent_of_runs(counts: list[int]) -> None:
    random = np.random.default_rng(7)
    truth = random.uniform(0.3, 0.95, 57)
    inside = 0
    for right in random.binomial(counts, truth, (RUNS, 57)).tolist():
        interval = stratified_wilson_interval(right, counts)
        inside += interval.low <= truth.mean() <= interval.high
    assert inside / RUNS >= 0.95 - NOISE


# --- differences ---


def test_the_correlation_is_scipys() -> None:
    ours, theirs = [1.0, 4.0, 2.0, 8.0], [2.0, 3.0, 2.5, 9.0]
    assert correlation(ours, theirs) == pytest.approx(scipy.stats.pearsonr(ours, theirs).statistic)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [([], []), ([1.0, 2.0], [1.0, 2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([0, 0, 1e-184], [1, 2, 3])],
)
def test_scores_that_do_not_vary_have_no_correlation(ours: list[float], theirs: list[float]) -> None:
    assert correlation(ours, theirs) is None
    assert correlation(theirs, ours) is None


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(-0.2, 0.05), "passed"),
        (Interval(-0.2, 0.1), "passed"),
        (Interval(0.05, 0.2), "inconclusive"),
        (Interval(0.1, 0.2), "inconclusive"),
        (Interval(0.11, 0.2), "failed"),
    ],
)
def test_a_verdict_is_read_off_the_interval(interval: Interval, verdict: str) -> None:
    assert margin_verdict(interval, 0.1) == verdict


def test_the_p_value_of_a_t_interval_is_that_of_the_t_test() -> None:
    values = [0.3, 1.2, -0.4, 2.2, 0.9, 1.1, 0.2, 1.9, 0.7, 0.8, -0.1]
    found = p_value(lambda level: cluster_interval([[value] for value in values], level), 0.1)
    assert found == pytest.approx(scipy.stats.ttest_1samp(values, 0.1).pvalue, rel=1e-4)


def test_the_p_value_of_few_clusters_is_that_of_all_sign_flips() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, -0.5, 2.5]
    signs = 1 - 2 * ((np.arange(2**7)[:, None] >> np.arange(7)) & 1)
    exact = 2 * float(np.mean(signs @ np.array(values) >= sum(values)))
    found = p_value(lambda level: cluster_interval([[value] for value in values], level), 0.0)
    assert found == pytest.approx(exact, rel=1e-4)


def test_what_is_not_above_the_margin_has_a_p_value_of_one() -> None:
    assert p_value(lambda level: t_interval(-0.1, 0.05, 9, level), 0.0) == 1.0
    assert p_value(lambda _: None, 0.0) == 1.0


@pytest.mark.parametrize("p_values", [[0.2], [0.01, 0.04, 0.03], [0.5, 0.001, 0.9, 0.001, 0.02]])
def test_holms_p_values_are_those_of_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_of_no_p_values_none_are_adjusted() -> None:
    assert holm([]) == []


# --- what a run could have seen ---


def test_the_minimum_detectable_effect_has_the_power_that_statsmodels_gives_it() -> None:
    from statsmodels.stats.power import TTestPower

    effect = minimum_detectable_effect(1 / math.sqrt(200), 199)
    power = TTestPower().power(effect, 200, 0.05, alternative="two-sided")
    assert power == pytest.approx(0.8, abs=0.005)


# --- simulated pairs of runs ---


def ratings(drop: float, seed: int, questions: int = 80) -> Iterable[list[list[float]]]:
    """The differences of two models' MT-Bench ratings, two turns a question, of pairs of runs.

    Ratings are whole numbers from 1 to 10. The turns of a question differ alike, as its topic suits one
    model more than the other; on average the candidate is `drop` lower, in such steps.
    """
    random = np.random.default_rng(seed)
    quality = random.normal(5.5, 1.5, (RUNS, questions, 1))
    suits = random.normal(0, 0.8, (RUNS, questions, 1))
    shape = (RUNS, questions, 2)
    theirs = np.clip(np.rint(quality + random.normal(0, 1, shape)), 1, 10)
    ours = np.clip(np.rint(quality - drop + suits + random.normal(0, 1, shape)), 1, 10)
    differences: list[list[list[float]]] = (theirs - ours).tolist()
    return differences


def verdicts_on_ratings(runs: Iterable[list[list[float]]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for clusters in runs:
        interval = cluster_interval(clusters)
        found["inconclusive" if interval is None else margin_verdict(interval, 0.0)] += 1
    return found


@pytest.mark.parametrize("questions", [6, 8, 80])
def test_without_a_true_drop_of_ratings_a_gate_on_it_fails_in_at_most_5_percent(questions: int) -> None:
    found = verdicts_on_ratings(ratings(0.0, seed=questions, questions=questions))
    assert 0 < found["failed"] <= (0.05 + NOISE) * RUNS


Changes = tuple[NDArray[np.int64], NDArray[np.int64]]
FEWER = 300  # runs
MOST = 0.025 * FEWER + 3 * math.sqrt(0.025 * FEWER)  # with three standard errors
ONE_TASK, MANY_TASKS = [300], [10, 20, 40, 100, 200]


def answers(drop: float, counts: list[int], seed: int) -> Changes:
    """Answers turned wrong and turned right, a row a pair of runs, a column a task; a fifth of them change.

    Tasks differ: in some the candidate is better, in others worse, and on average by `drop`.
    """
    random = np.random.default_rng(seed)
    drops = drop + np.linspace(-0.1, 0.1, len(counts)) * (len(counts) > 1)
    changing = np.maximum(0.2, np.abs(drops))
    lost = random.binomial(counts, (changing + drops) / 2, (RUNS, len(counts)))
    share = (changing - drops) / 2 / (1 - (changing + drops) / 2)
    return lost, random.binomial(counts - lost, share)


def verdicts_on_answers(changes: Changes, counts: list[int], margin: float = 0.0) -> Counter[str]:
    pairs = zip(changes[0][:FEWER].tolist(), changes[1][:FEWER].tolist(), strict=True)
    return Counter(margin_verdict(PairedAnswers(*pair, counts).interval(), margin) for pair in pairs)


@pytest.mark.parametrize("counts", [[20], ONE_TASK, MANY_TASKS], ids=["few", "one task", "many tasks"])
def test_without_a_true_drop_of_answers_a_gate_on_it_fails_in_at_most_2_5_percent(counts: list[int]) -> None:
    found = verdicts_on_answers(answers(0.0, counts, seed=1), counts)
    assert 0 < found["failed"] <= MOST


@pytest.mark.parametrize("counts", [ONE_TASK, MANY_TASKS], ids=["one task", "many tasks"])
def test_a_true_drop_of_just_the_margin_fails_or_passes_in_at_most_2_5_percent_each(
    counts: list[int],
) -> None:
    found = verdicts_on_answers(answers(0.08, counts, seed=6), counts, margin=0.08)
    assert max(found["failed"], found["passed"]) <= MOST
