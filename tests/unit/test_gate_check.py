"""Gates over results: what passes, what fails, what can't be told, what is refused, and what is said."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase as fnmatch

import pytest

from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates, with_default_gates
from pytest_instructlab_eval.gates.figures import Limit, Measurement, mean_of
from pytest_instructlab_eval.gates.gate_report import GateReport
from pytest_instructlab_eval.gates.sure_mean import sure_verdict
from pytest_instructlab_eval.gates.target import Target
from pytest_instructlab_eval.records.evidence import Evidence, ModelReply
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.stats.comparison import Contribution, mean_interval, paired_comparison
from pytest_instructlab_eval.stats.statistics import (
    Interval,
    stratified_wilson_interval,
    wilson_interval,
)
from pytest_instructlab_eval.stats.summary import summarise


def task(subject: str, answers: str, model: str = "lab") -> Result:
    """A result of MMLU: 1 right, 0 wrong, "-" could not be asked."""
    values = {"1": 1.0, "0": 0.0, "-": None}
    samples = [Sample(str(number), values[sign]) for number, sign in enumerate(answers)]
    return Result(
        "mmlu", subject, subject, model, scores=(Score.mean_of(samples, metric="acc"),) if samples else ()
    )


def question(number: int, *turns: float | None, group: str = "writing", model: str = "lab") -> Result:
    """A result of MT-Bench: a rating a turn."""
    scores = [Score(value, f"turn_{turn}", 10.0) for turn, value in enumerate(turns, start=1)]
    return Result("mt_bench", f"{number}-{group}", group, model, "prometheus", tuple(scores))


def pair(file: str, number: int, rating: float, model: str = "lab") -> Result:
    """A result of MT-Bench-Branch: a rating of a pair of a qna file."""
    score = Score(rating, "turn_1", 10.0)
    return Result("mt_bench_branch", f"{file}:{number}", file, model, "prometheus", (score,), cluster=file)


def own(number: int, value: float, maximum: float = 1.0, model: str = "lab") -> Result:
    """A result of a user's own benchmark."""
    return Result("own", str(number), "", model, scores=(Score(value, maximum=maximum),))


def report_of(
    gate: str,
    results: Sequence[Result],
    baseline: Sequence[Result] | None = None,
    *,
    standing: bool = False,
    left_out: Mapping[str, str] | None = None,
) -> GateReport:
    (report,) = evaluate_gates(
        [parse_gate(gate, standing=standing)], results, baseline=baseline, left_out=left_out or {}
    )
    return report


MMLU = [task("anatomy", "1" * 60 + "0" * 40), task("law", "1" * 10 + "0" * 10)]
MT_BENCH = [
    *(question(number, 6.0 + number % 3, 5.0 + number % 2) for number in range(81, 101)),
    *(question(number, 3.0 + number % 2, 2.0, group="coding") for number in range(121, 141)),
]


# --- means ---


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [
        ("mmlu >= 0.55", "passed"),
        ("mmlu >= 55%", "passed"),
        ("mmlu >= 0.56", "failed"),
        ("mmlu > 0.55", "failed"),
        ("mmlu <= 0.55", "passed"),
        ("mmlu < 0.55", "failed"),
        ("mmlu[anatomy] >= 0.6", "passed"),
        ("mmlu[law] >= 0.6", "failed"),
        ("mmlu.acc >= 0.5", "passed"),
        ("mmlu.n >= 120", "passed"),
        ("mmlu.n > 120", "failed"),
    ],
)
def test_a_mean_meets_its_limit_or_does_not(gate: str, verdict: str) -> None:
    assert report_of(gate, MMLU).verdict == verdict


@pytest.mark.parametrize(
    ("gate", "label"),
    [("mt_bench", "mean"), ("mt_bench.turn_2", "turn_2"), ("mt_bench[coding]", "coding")],
)
def test_a_mean_is_that_of_the_table(gate: str, label: str) -> None:
    (summary,) = summarise(MT_BENCH)
    rows = {row.label: row for row in (summary.overall, *summary.metrics, *summary.groups)}
    found = report_of(f"{gate} >= 1", MT_BENCH)
    assert (found.value, found.n) == (rows[label].value, rows[label].n)


def test_a_metric_of_a_group_has_its_own_mean() -> None:
    assert report_of("mt_bench[coding].turn_2 >= 1", MT_BENCH).value == 2.0


def test_a_mean_that_fails_says_the_figure_the_limit_the_interval_and_the_questions() -> None:
    found = report_of("mt_bench[coding] >= 4", MT_BENCH)
    assert found.message == (
        "expected >= 4, got 2.75 (95 % interval 2.63 to 2.87, 20 questions); "
        "lowest scores: 122-coding (2.5), 124-coding (2.5), 126-coding (2.5), 128-coding (2.5), "
        "130-coding (2.5)"
    )
    assert found.worst[0] == Contribution("122-coding", 2.5)


def test_a_mean_that_passes_says_so_in_short() -> None:
    found = report_of("mmlu[anatomy] >= 0.5", MMLU)
    assert found.message == "expected >= 0.5, got 0.6000 (95 % interval 0.5020 to 0.6906, 100 questions)"


def test_what_is_too_high_names_the_highest() -> None:
    found = report_of("mt_bench <= 4", MT_BENCH)
    assert (
        "expected <= 4, got 4.49 (95 % interval 3.92 to 5.07, 40 questions); highest scores: 83-writing (7)"
        in found.message
    )


def test_the_interval_of_one_task_is_wilsons_and_of_several_that_of_strata() -> None:
    assert report_of("mmlu[law] >= 0", MMLU).interval == wilson_interval(10, 20)
    assert report_of("mmlu >= 0", MMLU).interval == stratified_wilson_interval([60, 10], [100, 20])


def test_the_worst_of_several_tasks_are_tasks_and_of_one_its_questions() -> None:
    assert report_of("mmlu >= 0.9", MMLU).worst == (Contribution("law", 0.5), Contribution("anatomy", 0.6))
    assert report_of("mmlu[law] >= 0.9", MMLU).worst[0] == Contribution("law:10", 0.0)


def test_the_interval_of_a_benchmark_of_right_and_wrong_tests_is_wilsons() -> None:
    results = [own(number, float(number < 7)) for number in range(10)]
    assert report_of("own >= 0.5", results).interval == wilson_interval(7, 10)


def test_a_mean_recorded_without_its_questions_has_the_interval_of_its_standard_error() -> None:
    score = Score(0.5, n=100, stderr=0.05)
    found = report_of("own >= 0.5", [Result("own", "a", "", "lab", scores=(score,))])
    assert found.interval == pytest.approx((0.402, 0.598), abs=1e-3)


def test_the_interval_of_too_few_questions_can_not_be_measured() -> None:
    found = report_of("mt_bench >= 1", MT_BENCH[:3])
    assert found.interval is None
    assert "got 6.33 (no 95 % interval, 3 questions)" in found.message


def test_the_pairs_of_a_qna_file_are_one_cluster_and_within_one_file_questions_are() -> None:
    files = [pair(f"{name}.yaml", n, float(n)) for name in "abcde" for n in range(1, 9)]
    assert report_of("mt_bench_branch >= 1", files).interval is None  # five files
    assert report_of("mt_bench_branch[a.yaml] >= 1", files).interval is not None  # eight questions


def test_ratings_of_one_cluster_count_as_one_in_a_benchmark_of_ones_own() -> None:
    """Twelve passages of ten questions each, which a model understands or doesn't."""
    ratings = [(passage, number, float(passage % 5 + 1)) for passage in range(12) for number in range(10)]

    def interval(cluster: Callable[[int], str]) -> Interval:
        results = [
            Result(
                "own",
                f"{passage}-{number}",
                "",
                "lab",
                scores=(Score(value, maximum=5),),
                cluster=cluster(passage),
            )
            for passage, number, value in ratings
        ]
        found = report_of("own >= 1", results).interval
        assert found is not None
        return found

    alone, together = interval(lambda _: ""), interval(lambda passage: f"passage{passage}")
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(3.6, abs=0.2)


def test_right_and_wrong_pairs_of_several_qna_files_are_no_independent_answers() -> None:
    def graded(file: str, number: int) -> Result:
        score = Score(float(number < 4))
        return Result("mt_bench_branch", f"{file}:{number}", file, "lab", scores=(score,), cluster=file)

    files = [graded(f"{name}.yaml", number) for name in "abcdef" for number in range(ord(name) - 94)]
    found = report_of("mt_bench_branch >= 0.5", files).interval
    assert found is not None
    assert found != wilson_interval(sum(result.value or 0 for result in files), len(files))


def test_of_nothing_there_is_no_interval() -> None:
    assert mean_interval([question(81, None)]) is None


def test_where_nothing_was_scored_the_gate_fails() -> None:
    found = report_of("mt_bench >= 1", [question(81, None, None)])
    assert (found.verdict, found.value) == ("failed", None)
    assert found.message == "expected >= 1, got no value (0 errors, 2 unscored)"


def test_each_model_has_a_report() -> None:
    results = [task("law", "11"), task("law", "00", model="other")]
    found = evaluate_gates([parse_gate("mmlu >= 0.5")], results)
    assert [(report.model, report.verdict) for report in found] == [("lab", "passed"), ("other", "failed")]


# --- rates ---


@pytest.mark.parametrize(
    ("gate", "value", "verdict"),
    [
        ("mmlu.error_rate <= 0", 0.02, "failed"),
        ("mmlu.error_rate <= 2%", 0.02, "passed"),
        ("mmlu.unscored_rate <= 0", 0.0, "passed"),
    ],
)
def test_a_rate_is_a_share_of_all_that_was_asked(gate: str, value: float, verdict: str) -> None:
    found = report_of(gate, [task("anatomy", "1" * 49 + "-"), task("law", "1" * 49 + "-")])
    assert (found.value, found.verdict) == (value, verdict)
    assert found.interval == wilson_interval(100 * value, 100)


def test_a_rate_names_what_it_is_about() -> None:
    results = [question(81, None, 4.0), question(82, 5.0, 5.0)]
    found = report_of("mt_bench.unscored_rate <= 0", results)
    assert found.message == (
        "expected <= 0, got 0.2500 (1 of 4 without a usable rating, 95 % interval 0.0267 to 0.8021); "
        "affected: 81-writing (4)"
    )


def test_the_turns_of_a_question_count_as_one_in_the_interval_of_a_rate() -> None:
    results = [question(number, 4.0, None) for number in range(10)]
    assert report_of("mt_bench.unscored_rate <= 1", results).interval == wilson_interval(5, 10)


def test_a_rate_of_one_metric_leaves_the_others_out() -> None:
    assert report_of("mt_bench.turn_2.unscored_rate <= 0", [question(81, None, 4.0)]).value == 0.0


def test_a_test_that_ended_early_is_an_error() -> None:
    ended = Result("mt_bench", "82-writing", "writing", "lab", error="away")
    found = report_of("mt_bench.error_rate <= 0", [question(81, 4.0), ended])
    assert (found.verdict, found.value) == ("failed", 0.5)
    assert "affected: 82-writing (no score)" in found.message


def test_the_rate_of_nothing_fails() -> None:
    found = report_of("own.error_rate <= 0", [Result("own", "a", "", "lab")])
    assert (found.verdict, found.message) == (
        "failed",
        "expected <= 0, got no value (no question was asked); 0 of 1 tests recorded a score",
    )


def test_every_benchmark_has_its_default_gates() -> None:
    assert [gate.text for gate in with_default_gates([], ["mmlu", "mt_bench"])] == [
        "mmlu.error_rate <= 0",
        "mmlu.unscored_rate <= 0.05",
        "mt_bench.error_rate <= 0",
        "mt_bench.unscored_rate <= 0.05",
    ]


def test_a_gate_of_the_user_takes_the_place_of_a_default() -> None:
    mine = parse_gate("mmlu.error_rate <= 1%")
    group = parse_gate("mmlu[law].unscored_rate <= 0")
    assert [gate.text for gate in with_default_gates([mine, group], ["mmlu"])] == [
        "mmlu.error_rate <= 1%",
        "mmlu[law].unscored_rate <= 0",
        "mmlu.unscored_rate <= 0.05",
    ]


def test_of_several_gates_on_one_figure_in_one_direction_the_last_holds() -> None:
    texts = ["mmlu >= 0.5", "mmlu <= 0.9", "mmlu[law] >= 0.1", "mmlu > 0.6"]
    held = with_default_gates(map(parse_gate, texts), [])
    assert [gate.text for gate in held] == ["mmlu > 0.6", "mmlu <= 0.9", "mmlu[law] >= 0.1"]


# --- drops ---


def noisy(drop: float, *, count: int = 80, model: str = "lab") -> list[Result]:
    """MT-Bench whose ratings are a little other than the base's, and lower by `drop`."""
    draw = random.Random(model)
    return [
        question(number, *(round(6 + number % 4 - drop + draw.gauss(0, 0.6), 1) for _ in (1, 2)), model=model)
        for number in range(count)
    ]


BASE = noisy(0.0, model="base")


@pytest.mark.parametrize(
    ("drop", "gate", "verdict"),
    [
        (0.0, "mt_bench.drop <= 0", "inconclusive"),
        (0.0, "mt_bench.drop <= 0.5", "passed"),
        (1.0, "mt_bench.drop <= 0", "failed"),
        (1.0, "mt_bench.drop <= 0.5", "failed"),
        (1.0, "mt_bench.drop <= 1", "inconclusive"),
        (1.0, "mt_bench.drop <= 1.5", "passed"),
        (1.0, "mt_bench.turn_2.drop <= 0", "failed"),
        (1.0, "mt_bench[writing].drop <= 0", "failed"),
        (-1.0, "mt_bench.drop <= 0", "passed"),
        (-1.0, "mt_bench.drop <= -0.5", "passed"),
        (0.0, "mt_bench.drop <= -0.5", "failed"),
    ],
)
def test_a_drop_has_three_verdicts(drop: float, gate: str, verdict: str) -> None:
    assert report_of(gate, noisy(drop), BASE).verdict == verdict


def test_a_drop_that_fails_says_the_figure_the_limit_the_interval_and_what_could_have_been_seen() -> None:
    found = report_of("mt_bench.drop <= 0.5", noisy(1.0), BASE)
    assert found.value is not None
    assert found.interval is not None
    assert found.minimum_detectable_drop is not None
    assert found.message.startswith(
        f"expected <= 0.5, got {found.value:.2f} (80 questions against base); the 95 % interval "
        f"({found.interval.low:.2f} to {found.interval.high:.2f}) is above the limit 0.5; with this many "
        f"questions a drop of {found.minimum_detectable_drop:.2f} fails this gate in 80 % of runs; "
        "largest drops: "
    )
    assert f"; largest drops: {found.worst[0]}, {found.worst[1]}, " in found.message


def test_the_questions_that_dropped_most_come_first() -> None:
    worst = report_of("mt_bench.drop <= 0.5", noisy(1.0), BASE).worst
    falls = [(entry.baseline or 0.0) - (entry.value or 0.0) for entry in worst]
    assert len(falls) == 5
    assert falls == sorted(falls, reverse=True)


def test_the_same_scores_have_not_dropped_however_few_they_are() -> None:
    found = report_of("mt_bench.drop <= 0", MT_BENCH[:2], MT_BENCH[:2])
    assert (found.verdict, found.value, found.interval) == ("passed", 0.0, None)
    assert (
        found.message == "expected <= 0, got 0.00 (2 questions against the baseline, all with the same score)"
    )


def test_the_same_scores_do_not_meet_a_limit_that_asks_for_better() -> None:
    assert report_of("mt_bench.drop <= -0.1", MT_BENCH, MT_BENCH).verdict == "failed"


def test_a_drop_by_the_same_everywhere_is_seen_from_six_questions_on() -> None:
    base, lower = [question(n, 9.0) for n in range(6)], [question(n, 1.0) for n in range(6)]
    assert report_of("mt_bench.drop <= 0", lower, base).verdict == "failed"
    assert report_of("mt_bench.drop <= 0", lower[:5], base[:5]).verdict == "inconclusive"


@pytest.mark.parametrize(("before", "after"), [((9, 8), (1, 1)), ((9, 9), (9, 1)), ((9, 9), (1, 1))])
def test_a_drop_by_the_same_on_the_average_of_each_questions_turns_is_seen(
    before: tuple[float, float], after: tuple[float, float]
) -> None:
    base, lower = [question(n, *before) for n in range(80)], [question(n, *after) for n in range(80)]
    found = report_of("mt_bench.drop <= 0", lower, base)
    assert found.verdict == "failed"
    assert found.interval is not None
    assert found.interval.low < (found.value or 0) < found.interval.high


def test_too_few_questions_are_inconclusive_and_say_why() -> None:
    found = report_of("mt_bench.drop <= 0", noisy(5.0, count=4), noisy(0.0, count=4, model="base"))
    assert (found.verdict, found.interval, found.minimum_detectable_drop) == ("inconclusive", None, None)
    assert "; inconclusive: too few independent questions for a 95 % interval" in found.message


def test_the_drop_of_tasks_is_the_difference_of_their_unweighted_means() -> None:
    before = [task("anatomy", "1" * 90 + "0" * 10, "base"), task("law", "1" * 10 + "0" * 10, "base")]
    assert report_of("mmlu.drop <= 0", MMLU, before).value == pytest.approx((0.3 + 0.0) / 2)


@pytest.mark.parametrize(
    ("losses", "gains", "verdict", "p_value"),
    [
        (4, 0, "inconclusive", "0.08"),  # z = (4 - 0.5) / 2
        (6, 0, "failed", "0.025"),
        (15, 4, "failed", "0.016"),
        (12, 9, "inconclusive", "0.59"),
        (4, 15, "passed", "0.016"),
    ],
)
def test_the_verdict_on_answers_without_a_margin_is_mcnemars(
    losses: int, gains: int, verdict: str, p_value: str
) -> None:
    before = task("law", "1" * losses + "0" * gains + "1" * 60, "base")
    after = task("law", "0" * losses + "1" * gains + "1" * 60)
    found = report_of("mmlu.drop <= 0", [after], [before])
    assert found.verdict == verdict
    assert f"{losses} answers became wrong and {gains} became right (McNemar p = {p_value})" in found.message


def test_answers_of_several_tasks_have_no_mcnemar_as_it_would_weight_them_otherwise() -> None:
    before = [task("anatomy", "1" * 100, "base"), task("law", "1" * 20, "base")]
    found = report_of("mmlu.drop <= 0", MMLU, before)
    assert "50 answers became wrong and 0 became right;" in found.message
    assert [entry.question for entry in found.worst] == ["law", "anatomy"]


def test_the_questions_that_one_side_lacks_are_listed_and_left_out() -> None:
    ours = [*noisy(0.0)[:60], question(900, 1.0, 1.0), question(901, None, 5.0)]
    base = [*BASE[:60], question(901, 5.0, 5.0, model="base"), question(902, 9.0, 9.0, model="base")]
    found = report_of("mt_bench.drop <= 1", ours, base)
    assert found.n == 61
    assert found.unpaired == ("900-writing", "901-writing", "902-writing")
    assert "not compared (no score in the baseline): 900-writing" in found.message
    assert "not compared (no score in this run): 901-writing, 902-writing" in found.message


def test_what_neither_side_has_a_score_for_is_not_listed() -> None:
    both = [*MT_BENCH, question(900, None, None)]
    assert report_of("mt_bench.drop <= 1", both, both).unpaired == ()


def test_many_questions_that_are_left_out_are_counted() -> None:
    found = report_of("mt_bench.drop <= 1", MT_BENCH, MT_BENCH[:10])
    assert "91-writing, 92-writing, 93-writing, 94-writing, 95-writing and 25 more" in found.message
    assert len(found.unpaired) == 30


def test_the_correlation_of_the_two_models_is_reported() -> None:
    correlation = report_of("mt_bench.drop <= 1", noisy(0.5), BASE).correlation
    assert correlation is not None
    assert 0.5 < correlation < 1


def test_a_drop_is_measured_against_the_model_of_the_same_name() -> None:
    baseline = [*noisy(0.0), *noisy(5.0, model="other")]
    assert report_of("mt_bench.drop <= 0.5", noisy(0.0), baseline).value == 0.0


def test_a_question_that_occurs_twice_is_paired_with_its_own() -> None:
    twice = [own(1, 0.2), own(1, 0.8), own(2, 0.5)]
    assert report_of("own.drop <= 0", twice, twice).verdict == "passed"
    comparison = paired_comparison(twice, twice)
    assert comparison is not None
    assert len(comparison.pairs) == 3


def test_samples_that_are_more_than_right_or_wrong_are_compared_by_test() -> None:
    def graded(number: int, shift: float) -> Result:
        samples = [Sample(str(n), 0.3 + n / 10 - shift * (1 + number % 3)) for n in range(4)]
        return Result("own", str(number), "", "lab", scores=(Score.mean_of(samples, metric="f1"),))

    found = report_of(
        "own.drop <= 0", [graded(n, 0.05) for n in range(12)], [graded(n, 0.0) for n in range(12)]
    )
    assert (found.verdict, found.n) == ("failed", 48)
    assert found.value == pytest.approx(0.1)


# --- refusals ---


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("mmlu_pro >= 0.5",
         "this run has no result of mmlu_pro (known: mmlu, mt_bench); did you mean mmlu?"),
        ("mmlu[anatmy] >= 0.5",
         "mmlu has no group 'anatmy' in this run (known: anatomy, law); did you mean anatomy?"),
        ("mt_bench.turn_3 >= 5",
         "mt_bench has no metric 'turn_3' in this run (known: turn_1, turn_2); "
         "did you mean turn_2 or turn_1?"),
        ("mmlu >= 50",
         "expected a limit from 0 to 1 (got 50; 50 % is written 0.5 or 50%)"),
        ("mmlu >= -0.5", "expected a limit from 0 to 1 (got -0.5)"),
        ("mt_bench >= 11", "expected a limit from 0 to 10 (got 11)"),
        ("mt_bench >= 50%", "mt_bench has scores up to 10; write the limit as a score, not as a percentage"),
        ("mmlu.drop <= 0",
         "a drop needs an earlier run to compare with; name one with --eval-baseline"),
    ],
)  # fmt: skip
def test_a_gate_that_is_not_about_this_run_is_refused_with_what_is_there(gate: str, message: str) -> None:
    found = report_of(gate, [*MMLU, *MT_BENCH])
    assert (found.verdict, found.message) == ("refused", message)


def test_of_many_groups_ten_are_listed() -> None:
    results = [task(f"task{number:02}", "10") for number in range(14)]
    assert "task09 and 4 more)" in report_of("mmlu[law] >= 0.5", results).message


LEFT_OUT = {"mmlu": "55 questions of mmlu were deselected"}


@pytest.mark.parametrize("gate", ["mmlu >= 0", "mmlu.n >= 0", "mmlu.drop <= 0", "mmlu[history] >= 0"])
def test_a_gate_over_a_part_of_a_benchmark_is_skipped_and_says_why(gate: str) -> None:
    found = report_of(gate, MMLU, MMLU, left_out=LEFT_OUT)
    assert (found.verdict, found.message) == ("skipped", LEFT_OUT["mmlu"])


@pytest.mark.parametrize("gate", ["mmlu.error_rate <= 0", "mmlu.unscored_rate <= 0"])
def test_rates_are_about_what_ran_whatever_was_left_out(gate: str) -> None:
    assert report_of(gate, MMLU, left_out=LEFT_OUT).verdict == "passed"


def test_what_was_left_out_of_another_benchmark_makes_no_difference() -> None:
    assert report_of("mmlu >= 0", MMLU, left_out={"mt_bench": "not run"}).verdict == "passed"


def test_a_gate_of_a_benchmark_that_was_left_out_whole_is_skipped() -> None:
    found = report_of("mt_bench.error_rate <= 0", MMLU, left_out={"mt_bench": "mt_bench is not in this run"})
    assert (found.verdict, found.message) == ("skipped", "mt_bench is not in this run")


@pytest.mark.parametrize(
    ("gate", "baseline", "message"),
    [
        ("mmlu.drop <= 0", None, "a drop needs an earlier run to compare with; *"),
        (
            "mmlu.drop <= 0",
            MT_BENCH,
            "the baseline has no results of mmlu; save one that has them with --eval-save-baseline",
        ),
        ("mmlu[history] >= 0", MMLU, "mmlu has no group 'history' in this run *"),
        ("own.error_rate <= 0", MMLU, "this run has no result of own (known: mmlu)"),
    ],
)
def test_what_a_run_does_not_have_is_a_refusal_but_no_reason_for_a_standing_gate_to_fail(
    gate: str, baseline: Sequence[Result] | None, message: str
) -> None:
    asked, standing = (report_of(gate, MMLU, baseline, standing=kind) for kind in (False, True))
    assert (asked.verdict, standing.verdict) == ("refused", "skipped")
    assert asked.message == standing.message
    assert fnmatch(asked.message, message)


def test_a_branch_may_have_none_but_new_questions_and_any_other_run_may_not() -> None:
    gate, old = "mt_bench_branch.drop <= 0", [pair("old", 1, 5.0)]
    new = [dataclasses.replace(pair("new", 1, 5.0), content="1")]
    told = "no question of mt_bench_branch has both the same content and a score in the baseline"
    for ours, standing, verdict in (
        (new, True, "skipped"),
        (new, False, "refused"),
        (old[:0], True, "skipped"),
    ):
        found = report_of(gate, ours, old, standing=standing)
        assert found.verdict == verdict
        assert ours == [] or found.message == told
    other = report_of("mmlu.drop <= 0", MMLU, [task("history", "1")], standing=True)
    assert other.verdict == "refused", "questions that were renamed hide a drop"


def test_a_metric_that_a_benchmark_never_has_is_refused_in_a_standing_gate_too() -> None:
    assert report_of("mmlu.accuracy >= 0", MMLU, standing=True).verdict == "refused"


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        (MT_BENCH, "the baseline has no results of mmlu; save one that has them with --eval-save-baseline"),
        (
            [task("art", "11", "base")],
            "no question of mmlu has both the same content and a score in the baseline",
        ),
        (
            [task("law", "11", "base"), task("law", "11", "old")],
            "the baseline has mmlu of several models (base, old), but none of lab",
        ),
    ],
)
def test_a_baseline_that_can_not_be_compared_with_is_refused(baseline: list[Result], message: str) -> None:
    found = report_of("mmlu.drop <= 0", MMLU, baseline)
    assert (found.verdict, found.message) == ("refused", message)


def test_scores_of_several_scales_are_refused() -> None:
    found = report_of("own >= 0.5", [own(1, 0.5), own(2, 5.0, maximum=10.0)])
    assert found.verdict == "refused"
    assert found.message == "own has scores on several scales (up to 1, 10); gate one of its metrics"


def test_reports_come_in_the_order_of_their_gates() -> None:
    gates: list[Gate] = [parse_gate(text) for text in ("mt_bench >= 1", "nothing >= 1", "mmlu >= 0")]
    assert [report.gate for report in evaluate_gates(gates, [*MMLU, *MT_BENCH])] == gates


# --- means that must meet their limits surely ---


@pytest.mark.parametrize(
    ("gate", "verdict", "reason"),
    [
        ("mmlu >= 0.5 surely", "passed", "meets the limit 0.5"),
        ("mmlu >= 0.75 surely", "inconclusive", "contains the limit 0.75"),
        ("mmlu >= 0.9 surely", "failed", "is below the limit 0.9"),
        ("mmlu <= 0.9 surely", "passed", "meets the limit 0.9"),
        ("mmlu < 0.5 surely", "failed", "is above the limit 0.5"),
    ],
)
def test_the_interval_decides_a_gate_that_must_hold_surely(gate: str, verdict: str, reason: str) -> None:
    found = report_of(gate, [task("law", "1" * 80 + "0" * 20)])
    low, high = wilson_interval(80, 100)
    sure = f"the 95 % interval ({low:.4f} to {high:.4f}) {reason}"
    assert found.verdict == verdict
    expected = f"expected surely {gate.split()[1]} {gate.split()[2]}, got 0.8000 (95 % interval "
    assert found.message.startswith(expected)
    assert f"; {'inconclusive: ' if verdict == 'inconclusive' else ''}{sure}" in found.message


def test_a_mean_without_an_interval_is_not_sure() -> None:
    found = report_of("own >= 0.5 surely", [own(number, 0.7) for number in range(5)])
    assert found.verdict == "inconclusive"
    assert "inconclusive: too few independent questions for a 95 % interval" in found.message


@pytest.mark.parametrize(("confidence", "level"), [(0.95, "95 %"), (0.9875, "98.75 %")])
def test_the_interval_that_is_said_is_of_the_confidence_that_decides(confidence: float, level: str) -> None:
    gate = parse_gate("mmlu >= 0.7 surely")
    found = mean_of(Target("mmlu", (task("law", "1" * 80 + "0" * 20),)), Limit(0.7, False, confidence))
    assert found.interval is not None
    assert found.interval == pytest.approx(wilson_interval(80, 100, confidence))
    assert f"{level} interval {found.interval.low:.4f} to " in found.about
    _, (reason,) = sure_verdict(gate, found, confidence)
    assert f"the {level} interval ({found.interval.low:.4f} to " in reason
    _, (reason,) = sure_verdict(gate, Measurement("", 0.8), confidence)
    assert reason.endswith(f"for a {level} interval")


def test_equal_scores_are_surely_above_what_is_far_below_them() -> None:
    ratings = [own(number, 9.0, maximum=10.0) for number in range(80)]
    assert report_of("own >= 8 surely", ratings).verdict == "passed"
    assert report_of("own >= 8.9 surely", ratings).verdict == "inconclusive"


def test_a_sentence_says_clusters_and_answers_where_they_are_not_the_plain_case() -> None:
    files = [pair(f"file{number % 3}/qna.yaml", number, 5.0 + number % 2) for number in range(15)]
    assert "15 questions in 3 clusters)" in report_of("mt_bench_branch >= 5", files).message
    one_file = [pair("file/qna.yaml", number, 5.0 + number % 2) for number in range(15)]
    assert "15 questions)" in report_of("mt_bench_branch >= 5", one_file).message
    evidence = Evidence(replies=(ModelReply("a"),) * 4)
    repeated = [
        dataclasses.replace(
            result, scores=tuple(dataclasses.replace(score, evidence=evidence) for score in result.scores)
        )
        for result in files
    ]
    message = report_of("mt_bench_branch.drop <= 0.5", repeated, repeated).message
    assert "15 questions in 3 clusters, 4 answers each against the baseline" in message


def test_so_few_answers_that_no_drop_fails_the_gate_are_said() -> None:
    found = report_of("mmlu.drop <= 0", [task("law", "110")], [task("law", "111", "base")])
    assert "with so few questions no drop fails this gate in 80 % of runs" in found.message
