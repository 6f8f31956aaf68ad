"""The gates' language: what is a gate, what isn't, and where it goes wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.gates import FIGURES, MEAN, OPERATORS, Gate, Selector, parse_gate

NAMES = st.text(min_size=1, max_size=12)
SELECTORS = st.builds(
    Selector,
    NAMES,
    group=st.none() | NAMES,
    metric=st.none() | NAMES | st.sampled_from(sorted(FIGURES)),
    figure=st.sampled_from([MEAN, FIGURES["error_rate"], FIGURES["unscored_rate"]]),
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("mmlu >= 0.5", Selector("mmlu")),
        ("mt_bench.turn_2 >= 5", Selector("mt_bench", metric="turn_2")),
        ("mt_bench[coding] >= 4", Selector("mt_bench", "coding")),
        ("mt_bench[coding].turn_1 >= 4", Selector("mt_bench", "coding", "turn_1")),
        ("mmlu.drop <= 0.01", Selector("mmlu", figure=FIGURES["drop"])),
        ("mmlu[anatomy].drop <= 0.01", Selector("mmlu", "anatomy", figure=FIGURES["drop"])),
        ("mt_bench.turn_2.drop <= 1", Selector("mt_bench", metric="turn_2", figure=FIGURES["drop"])),
        ("mt_bench_branch.error_rate <= 0", Selector("mt_bench_branch", figure=FIGURES["error_rate"])),
        ("mmlu.unscored_rate <= 0", Selector("mmlu", figure=FIGURES["unscored_rate"])),
        ("mmlu.n >= 1", Selector("mmlu", figure=FIGURES["n"])),
        ('mmlu."n" >= 1', Selector("mmlu", metric="n")),
        ('"my benchmark"."a.b" > 1', Selector("my benchmark", metric="a.b")),
        ("branch[skills/a b/qna.yaml] > 1", Selector("branch", "skills/a b/qna.yaml")),
        ('branch["a[0]/qna.yaml"] > 1', Selector("branch", "a[0]/qna.yaml")),
        ('branch["say \\"x\\""] > 1', Selector("branch", 'say "x"')),
        (r"branch[a\b, ü: 100%] > 1", Selector("branch", r"a\b, ü: 100%")),
    ],
)  # fmt: skip
def test_a_selector_names_a_benchmark_a_group_a_metric_and_a_figure(text: str, selector: Selector) -> None:
    assert parse_gate(text).selector == selector


@pytest.mark.parametrize("operator", OPERATORS)
def test_there_are_four_operators(operator: str) -> None:
    assert parse_gate(f"mmlu {operator} 0.5").operator == operator


@pytest.mark.parametrize(
    ("text", "limit", "percent"),
    [
        ("0.50", 0.5, False),
        ("5", 5.0, False),
        ("-.5", -0.5, False),
        ("+1.", 1.0, False),
        ("1e-3", 0.001, False),
        ("50%", 0.5, True),
        ("0.1 %", 0.001, True),
        ("1e1%", 0.1, True),
    ],
)
def test_a_number_is_decimal_or_a_percentage(text: str, limit: float, percent: bool) -> None:
    gate = parse_gate(f"mmlu >= {text}")
    assert (gate.limit, gate.percent) == (limit, percent)


@pytest.mark.parametrize("text", ["mmlu>=0.5", "  mmlu  >=  0.5  ", "mmlu\t>= .5"])
def test_space_makes_no_difference(text: str) -> None:
    assert parse_gate(text) == Gate(Selector("mmlu"), ">=", 0.5)


def test_a_gate_is_named_as_the_user_wrote_it() -> None:
    assert parse_gate(" mmlu >= 0.50 ").text == "mmlu >= 0.50"
    assert Gate(Selector("mmlu"), ">=", 0.5).text == "mmlu >= 0.5"


@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (">=", False, True, True),
        (">", False, False, True),
        ("<=", True, True, False),
        ("<", True, False, False),
    ],
)
def test_a_gate_holds_on_its_side_of_the_limit(operator: str, below: bool, at: bool, above: bool) -> None:
    gate = parse_gate(f"mmlu {operator} 0.5")
    assert (gate.holds(0.4), gate.holds(0.5), gate.holds(0.6)) == (below, at, above)


@given(SELECTORS, st.sampled_from(sorted(OPERATORS)), FINITE, st.booleans())
def test_what_a_gate_is_written_as_means_the_gate(
    selector: Selector, operator: str, limit: float, percent: bool
) -> None:
    gate = Gate(selector, operator, limit, percent)  # type: ignore[arg-type]
    if percent and abs(limit) > 1e300:  # its percentage would be no finite number
        return
    assert parse_gate(str(gate)) == gate


@given(NAMES, st.none() | NAMES, FINITE)
def test_what_a_gate_on_a_drop_is_written_as_means_the_gate(
    name: str, group: str | None, limit: float
) -> None:
    gate = Gate(Selector(name, group, figure=FIGURES["drop"]), "<=", limit)
    assert parse_gate(str(gate)) == gate


@given(st.text(max_size=30) | st.text(alphabet='mlu.[]"<>=%0n-5 \\', max_size=20))
def test_any_text_is_a_gate_or_refused_with_its_column(text: str) -> None:
    try:
        gate = parse_gate(text)
    except ConfigurationError as error:
        assert str(error).startswith(f"gate {text!r}: column ")  # noqa: PT017
    else:
        assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "expected the name of a benchmark (got the end)"),
        (">= 0.5", 1, "expected the name of a benchmark (got '>=')"),
        ("mmlu", 5, "expected one of >=, >, <=, < (got the end)"),
        ("mmlu >> 0.5", 6, "expected one of >=, >, <=, < (got '>>')"),
        ("mmlu == 0.5", 6, "expected one of >=, >, <=, < (got '==')"),
        ("mmlu 0.5", 6, "expected one of >=, >, <=, < (got '0.5')"),
        ("mmlu >=", 8, "expected a number such as 0.5 or 50% (got the end)"),
        ("mmlu >= half", 9, "expected a number such as 0.5 or 50% (got 'half')"),
        ("mmlu >= 1e999", 9, "expected a finite number (got '1e999')"),
        ("mmlu >= 0.5 please", 13, "expected the end of the gate (got 'please')"),
        ("mmlu >= 0,5", 10, "expected the end of the gate (got ',')"),
        ("mmlu. >= 0.5", 7, "expected a metric, or one of drop, error_rate, unscored_rate, n (got '>=')"),
        ("mmlu.acc.x >= 0.5", 10, "expected one of drop, error_rate, unscored_rate, n (got 'x')"),
        ("mmlu.drop >= 0.5", 11, "expected <=, the only operator for a drop (got '>=')"),
        ("mmlu.drop < 0.5", 11, "expected <=, the only operator for a drop (got '<')"),
        ("mmlu.n >= 50%", 11, "expected a count, not a percentage (got '50')"),
        ("mt_bench.turn_1[coding] > 4", 16,
         "expected an operator; write a group right after its benchmark, as in "
         "mt_bench[coding] (got '[')"),
        ("mt_bench[] > 4", 10,
         "expected the name of a group, in double quotes if it contains brackets or quotes (got ']')"),
        ("mt_bench[a[0]] > 4", 11,
         "expected ] after the group, whose name needs double quotes if it contains brackets (got '[')"),
        ('mt_bench["a] > 4', 10, "expected a closing double quote (got '\"')"),
        (r'mt_bench["\a"] > 4', 10, 'expected a JSON string: write \\" for a quote and \\\\ for \\'),
    ],
)  # fmt: skip
def test_what_is_no_gate_is_refused_with_the_column_and_what_was_expected(
    text: str, column: int, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_gate(text)
    assert str(caught.value) == f"gate {text!r}: column {column}: {reason}"


def test_an_unknown_benchmark_is_refused_with_what_may_be_meant() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_gate(" mtbench >= 5", benchmarks=("mmlu", "mt_bench", "mt_bench_branch"))
    assert str(caught.value) == (
        "gate ' mtbench >= 5': column 2: there is no benchmark 'mtbench'; did you mean mt_bench or "
        "mt_bench_branch? (known: mmlu, mt_bench, mt_bench_branch)"
    )


def test_a_known_benchmark_is_taken() -> None:
    assert parse_gate("mmlu > 0", benchmarks={"mmlu"}).selector.benchmark == "mmlu"


def test_a_mean_may_have_to_meet_its_limit_surely() -> None:
    gate = parse_gate("mmlu >= 50%  surely ")
    assert gate == Gate(Selector("mmlu"), ">=", 0.5, percent=True, surely=True)
    assert str(gate) == "mmlu >= 50% surely"
    assert gate != parse_gate("mmlu >= 50%")
    assert parse_gate("mt_bench[coding].turn_1 < 4 surely").surely


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mmlu.drop <= 0 surely", "column 16: expected the end of the gate, as only a mean may have"),
        ("mmlu.error_rate <= 0 surely", "column 22: expected the end of the gate, as only a mean may have"),
        ("mmlu >= 0.5 surelyx", "column 13: expected the end of the gate (got 'surelyx')"),
        ("mmlu surely >= 0.5", "column 6: expected one of >=, >, <=, < (got 'surely')"),
    ],
)
def test_what_may_not_be_sure_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_gate(text)
    assert reason in str(caught.value)


@given(SELECTORS.filter(lambda selector: selector.figure == MEAN), FINITE)
def test_a_sure_gate_is_read_back(selector: Selector, limit: float) -> None:
    gate = Gate(selector, ">=", limit, surely=True)
    assert parse_gate(str(gate)) == gate
