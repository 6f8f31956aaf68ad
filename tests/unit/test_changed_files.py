"""A results.json or a baseline with any value changed is refused in one sentence, or read as what it says."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_instructlab_eval.__main__ import main
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.gates import parse_gate
from pytest_instructlab_eval.records.baseline import read_baseline
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.results_file import read_run, run_of
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.stats.summary import summarise

SCHEMA_1 = Path(__file__).parents[1] / "data" / "schema_1"  # what runs wrote before files were read strictly
RUNS = ("one", "panel", "two", "shard1", "shard2")
NOT_READ = {
    "ranking", "summaries", "verdicts", "changes", "created", "plugin_version", "headline", "exit_status",
    "checksum", "scores",
}  # fmt: skip

GONE = object()
WRAPPED: tuple[Callable[[Any], Any], ...] = (lambda value: [value], lambda value: {"x": value})
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 5, 0.5, 1e308, 10**400, "", "x", "1", [], {}, [[]], {"x": 1}, GONE, *WRAPPED,
)  # fmt: skip

Place = tuple[Any, ...]


def sample(name: str) -> Any:
    return json.loads((SCHEMA_1 / f"{name}.json").read_text("utf-8"))


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where every value in a document is, but those that nothing reads."""
    if place:
        yield place
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, entry in entries:
        if place or key not in NOT_READ:
            yield from places(entry, (*place, key))


def unlike_places(document: Any) -> list[Place]:
    """One of those places that differ by the number in a list alone."""
    shapes = {
        tuple("#" if isinstance(key, int) else key for key in place): place for place in places(document)
    }
    return list(shapes.values())


def change(document: Any, place: Place, odd: Any) -> None:
    *path, last = place
    for key in path:
        document = document[key]
    if odd is GONE:
        del document[last]
    else:
        document[last] = odd(document[last]) if odd in WRAPPED else odd


def changed(name: str, place: Place, odd: Any) -> Any:
    document = sample(name)
    change(document, place, odd)
    return document


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.json"


def refusal(path: Path, document: Any) -> str:
    """Why a document is refused."""
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError) as refused:
        read_baseline(path, check_gate=parse_gate)
    return str(refused.value).removeprefix(f"{path} ")


# --- files as they were written ---


def without_zeros(record: Any) -> Any:
    """The summaries as they are now: equal scores have an unknown standard error, which was 0 then."""
    if isinstance(record, list):
        return [without_zeros(entry) for entry in record]
    if not isinstance(record, dict):
        return record
    return {
        key: None if key == "stderr" and value == 0 else without_zeros(value) for key, value in record.items()
    }


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_schema_1_is_read_as_it_was_written(name: str) -> None:
    run = read_run(SCHEMA_1 / f"{name}.json")
    summaries = plain_data(summarise(run.results))
    kept = [
        {key: now[key] for key in before}
        for now, before in zip(summaries, sample(name)["summaries"], strict=True)
    ]
    assert kept == without_zeros(sample(name)["summaries"])

    def now(record: Mapping[str, Any]) -> dict[str, Any]:
        """With the cluster, which was not recorded then; a pair's is its file."""
        scores = [{**score, "metadata": known(score["metadata"])} for score in record["scores"]]
        cluster = record["group"] if record["benchmark"] == "mt_bench_branch" else ""
        return {**record, "cluster": cluster, "scores": scores}

    def known(metadata: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in metadata.items() if value is not None}

    def then(result: Result) -> dict[str, Any]:
        """Without what was not recorded then: chats, and which of the metadata is evidence."""
        scores = [score.to_plain() for score in result.scores]
        for score in scores:
            del score["evidence"]
        found = {**result.to_plain(), "scores": scores}
        del found["chats"]
        return found

    assert list(map(then, run.results)) == list(map(now, sample(name)["results"]))


def test_a_baseline_of_schema_1_is_read_as_it_was_written() -> None:
    found = read_baseline(SCHEMA_1 / "baseline.json")
    assert found.fingerprint == sample("baseline")["fingerprint"]
    assert sum(len(block["questions"]) for block in sample("baseline")["benchmarks"].values()) == len(
        found.results
    )


# --- any value changed ---


def test_any_changed_value_of_a_run_is_read_or_refused_in_one_sentence() -> None:
    document, refusals = sample("panel"), []
    document["results"] = document["results"][-2:]
    for place in unlike_places(document):
        part = document[place[0]]
        for odd in ODD:
            altered = {**document, place[0]: copy.deepcopy(part)}
            change(altered, place, odd)
            try:
                run_of(altered, Path("file.json"), check_gate=parse_gate)
            except DataError as error:
                refusals.append(str(error))
    assert len(refusals) > 500
    assert all(text.startswith("file.json ") and "\n" not in text for text in refusals)


FILES = {name: list(places(sample(name))) for name in ("one", "panel", "shard1", "baseline")}
CHANGES = st.sampled_from(sorted(FILES)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(FILES[name]), st.sampled_from(ODD))
)
GATES = [
    option
    for gate in ("mt_bench >= 5", "mt_bench.drop <= 1", "mmlu_branch.drop <= 0.1", "mt_bench_branch.n >= 1")
    for option in ("--gate", gate)
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_whatever_value_is_changed_no_command_ends_in_a_traceback(
    tmp_path: Path, chosen: tuple[str, Place, Any]
) -> None:
    name, place, odd = chosen
    path, other, out = tmp_path / "changed.json", str(SCHEMA_1 / "one.json"), str(tmp_path / "out")
    document = changed(name, place, odd)
    if name == "shard1" and isinstance(document.get("configuration"), dict):
        document["configuration"]["baseline"] = str(SCHEMA_1 / "baseline.json")
    path.write_text(json.dumps(document), "utf-8")
    commands = [
        ["compare", str(path), other, "--allow-mismatch", *GATES],
        ["compare", other, str(path), "--allow-mismatch", *GATES],
    ]
    if name != "baseline":
        commands.append(["best", str(path)])
    if name == "shard1":
        commands = [["merge", str(path), str(SCHEMA_1 / "shard2.json"), "--out", out, "--allow-mismatch"]]
    for command in commands:
        done = CliRunner().invoke(main, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert "Traceback" not in done.output


# --- what a value must be ---

SCORE = ("results", 0, "scores", 0)
TASK = ("results", 2, "scores", 0)  # of MMLU-Branch, with samples
TURN = ("results", 4, "scores", 0)  # of MT-Bench


@pytest.mark.parametrize(
    ("place", "odd", "expected"),
    [
        ((*SCORE, "maximum"), "x", 'results[0].scores[0].maximum must be a number (got "x")'),
        ((*SCORE, "maximum"), 0, "results[0].scores[0].maximum must be a number above 0"),
        ((*SCORE, "maximum"), 1e300, "results[0].scores[0].maximum must be a number above 0 and up to 1e"),
        ((*SCORE, "value"), 5, "results[0].scores[0].value must be a number from 0 to 1 (got 5.0)"),
        ((*SCORE, "value"), 10**400, "results[0].scores[0].value must be a number (got one of"),
        ((*SCORE, "value"), True, "results[0].scores[0].value must be a number or null (got true)"),
        ((*SCORE, "value"), None, "results[0].scores[0].n must be above 0 where there is a value, and 0"),
        ((*SCORE, "n"), 0, "results[0].scores[0].n must be above 0 where there is a value"),
        ((*SCORE, "n"), 1.0, "results[0].scores[0].n must be a whole number (got 1.0)"),
        ((*SCORE, "errors"), -1, "results[0].scores[0].errors must be a whole number from 0 to"),
        ((*SCORE, "errors"), GONE, "results[0].scores[0] has no errors"),
        ((*SCORE, "unscored"), 1, "results[0].outcome must be unscored, to fit the scores and the error"),
        ((*SCORE, "stderr"), -0.1, "results[0].scores[0].stderr must be a number from 0 to 1"),
        ((*SCORE, "more"), 1, 'results[0].scores[0] has the unknown key "more"'),
        ((*TASK, "value"), 1, "results[2].scores[0].value must be 0, the samples' mean (got 1.0)"),
        ((*TASK, "errors"), 1, "results[2].scores[0].errors and unscored together must be 0"),
        ((*TASK, "n"), 9, "results[2].scores[0].n must be 2, the number of samples with a value (got 9)"),
        ((*TASK, "samples", 1, "value"), -1, "results[2].scores[0].samples[1].value must be a number from 0"),
        ((*TURN, "metadata", "ref"), 7, "results[4].scores[0].metadata.ref must be a text or null (got 7)"),
        (("results", 0, "error"), "away", "results[0].outcome must be error"),
        (("results", 0, "outcome"), "error", "results[0].outcome must be scored"),
        (("results", 0, "model"), "x", "results[0].model must be one of the models (lab)"),
        (("base",), "x", "base must be null or one of the models (lab)"),
        (("gates", 0), "mt_bench", "gates[0] must be a gate ("),
        (("gates",), GONE, "it has no gates"),
        (("configuration", "inconclusive"), "x", "configuration.inconclusive must be warn or fail"),
        (("configuration", "inconclusive"), GONE, "configuration has no inconclusive"),
        (("configuration", "shard"), [3, 2],
         "configuration.shard must be the number of the part and the number of parts"),
        (("left_out",), {"mmlu law": 1}, 'left_out["mmlu law"] must be a text (got 1)'),
    ],
)  # fmt: skip
def test_a_value_that_no_run_has_is_named_with_its_place(
    path: Path, place: Place, odd: Any, expected: str
) -> None:
    assert refusal(path, changed("one", place, odd)).startswith(f"is damaged: {expected}")


def test_a_run_with_a_base_model_that_it_no_longer_has_is_refused(path: Path) -> None:
    reason = refusal(path, changed("panel", ("base",), None))
    assert reason.startswith("is damaged: base must be the base model")


@pytest.mark.parametrize(
    ("place", "odd", "expected"),
    [
        (("maxima", "turn_1"), 5, ".scores.turn_1 must be a number from 0 to 5 (got 8.0)"),
        (("maxima", "turn_1"), -1, "maxima.turn_1 must be a number above 0"),
        (("maxima", "turn_1"), GONE, "maxima has no turn_1, of which 81-writing has a score"),
        (("questions", "81-writing", "scores", "turn_1"), "1x", "must be a text of 1, 0 and -"),
        (("questions", "81-writing", "scores", "turn_1"), "", "must be a text of 1, 0 and -"),
        (("questions", "81-writing", "scores", "turn_1"), {"0": 11}, "[\"0\"] must be a number from 0 to"),
        (("questions", "81-writing", "scores", "turn_1"), [[]], "turn_1[0] must be a number or a text"),
        (("questions", "81-writing", "scores"), GONE, "has no scores"),
        (("questions",), 7, "benchmarks.mt_bench.questions must be an object (got 7)"),
    ],
)  # fmt: skip
def test_a_value_that_no_baseline_has_is_named_with_its_place(
    path: Path, place: Place, odd: Any, expected: str
) -> None:
    reason = refusal(path, changed("baseline", ("benchmarks", "mt_bench", *place), odd))
    assert reason.startswith("is damaged: benchmarks.mt_bench")
    assert expected in reason
    assert reason.endswith("; save it again with --eval-save-baseline")


def test_a_score_on_another_scale_is_not_compared(path: Path) -> None:
    document = sample("baseline")
    document["benchmarks"]["mt_bench"]["maxima"] = {"turn_1": 100, "turn_2": 100}
    path.write_text(json.dumps(document), "utf-8")
    command = ["compare", str(path), str(SCHEMA_1 / "one.json"), "--gate", "mt_bench.drop <= 9"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 7
    assert "the scores of mt_bench went up to 100 in the baseline and go up to 10 here" in done.output


# --- what is no JSON, and what Python alone takes for it ---

TEXT = (SCHEMA_1 / "one.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON at line 1, column 1"),
        (TEXT[: len(TEXT) // 2], "not JSON at line "),
        ("[" * 100_000, "nested deeper than 100 levels"),
        ('{"schema_version": ' + "1" * 5000 + "}", "too many digits"),
        ('{"schema_version": "1"}', "it has no schema_version"),
        ('{"schema_version": true}', "it has no schema_version"),
        ('{"schema_version": 0}', "it has no schema_version"),
        ("[]", "it has no schema_version"),
    ],
    ids=["empty", "truncated", "nested", "digits", "text", "true", "0", "list"],
)  # fmt: skip
def test_a_file_that_is_none_of_ours_is_refused(path: Path, text: str, reason: str) -> None:
    path.write_text(text, "utf-8")
    for read, kind in ((read_run, "is not a results.json"), (read_baseline, "is neither a baseline nor")):
        with pytest.raises(DataError, match=f"{kind} .*{reason}"):
            read(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"schema_version": 1, "results": NaN}', "has NaN, which is not a JSON number"),
        ('{"schema_version": 1, "results": -Infinity}', "has -Infinity, which is not a JSON number"),
        ('{"schema_version": 1, "results": 1e999}', "has a number that is too large, 1e999"),
        ('{"schema_version": 1, "a": {"b": 1, "b": 2}}', 'has the key "b" twice in one object'),
        ('{"schema_version": 1, "results": "\\ud800"}', "has a text with half a character"),
        (
            '{"schema_version": 1, "results": ' + "[" * 200 + "]" * 200 + "}",
            "is nested deeper than 100 levels",
        ),
    ],
)
def test_what_only_python_takes_for_json_is_damage(path: Path, text: str, reason: str) -> None:
    path.write_text(text, "utf-8")
    for read in (read_run, read_baseline):
        with pytest.raises(DataError, match=f"is damaged: it {reason}"):
            read(path)


def test_a_pair_of_surrogates_is_a_character(path: Path) -> None:
    path.write_text(TEXT.replace('"lab"', '"\\ud83d\\udc11"'), "utf-8")
    assert set(read_run(path).models) == {"\U0001f411"}


def test_a_file_that_begins_with_a_byte_order_mark_is_read(path: Path) -> None:
    path.write_text(TEXT, "utf-8-sig")
    assert read_run(path) == read_run(SCHEMA_1 / "one.json")


def test_a_file_that_is_not_utf_8_is_refused(path: Path) -> None:
    path.write_text(TEXT, "utf-16")
    with pytest.raises(DataError, match=r"is not a results\.json .*\(it is not UTF-8 in line 1, byte 0xff\)"):
        read_run(path)


def test_a_name_that_no_file_has_is_refused() -> None:
    with pytest.raises(DataError, match="a file cannot have such a name"):
        read_baseline(Path("a\0b"))


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DataError, match="it is not a regular file"):
        read_baseline(path)


def test_a_part_of_a_run_is_not_compared_with_a_whole_one() -> None:
    command = ["compare", str(SCHEMA_1 / "shard1.json"), str(SCHEMA_1 / "one.json"), "--allow-mismatch"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "shard1.json is part 1/2 of a run, and the other run is not the same part" in done.output


@pytest.mark.parametrize("command", [["best"], ["compare", str(SCHEMA_1 / "one.json")], ["merge"]])
def test_every_command_refuses_a_run_with_a_gate_that_is_none(path: Path, command: list[str]) -> None:
    path.write_text(json.dumps(changed("shard1", ("gates",), ["mt_bench"])), "utf-8")
    done = CliRunner().invoke(main, [*command, str(path)])
    assert done.exit_code == 1
    assert f"{path} is damaged: gates[0] must be a gate (gate 'mt_bench': column 9: expected" in done.output
