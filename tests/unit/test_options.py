"""Flags and ini values: each is parsed once, and a bad value is quoted with what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval import options, parsers
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.session.configuration import read_settings, refused_folder
from pytest_instructlab_eval.settings import FIRST_N_VARIABLE, Settings
from pytest_instructlab_eval.suites.selection import left_out_benchmarks, selected_benchmarks

Parse = Callable[[str], Any]

URL = "http://127.0.0.1:8000/v1"

VALID: list[tuple[str, Parse, str, Any]] = [
    ("text", parsers.parse_text, "granite-7b-lab", "granite-7b-lab"),
    ("text", parsers.parse_text, " blanks inside are kept ", " blanks inside are kept "),
    ("url", parsers.parse_url, URL, URL),
    ("url", parsers.parse_url, "https://models.example.com/team/v1/", "https://models.example.com/team/v1"),
    ("url", parsers.parse_url, "http://localhost", "http://localhost"),
    ("url", parsers.parse_url, "http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ("integer", parsers.parse_integer(1), "1", 1),
    ("integer", parsers.parse_integer(1), "250", 250),
    ("repeat", parsers.parse_repeat, "12", 12),
    ("repeat", parsers.parse_repeat, "auto", "auto"),
    ("repeat", parsers.parse_repeat, " auto ", "auto"),
    ("integer", parsers.parse_integer(0, 5), "0", 0),
    ("integer", parsers.parse_integer(0, 5), "5", 5),
    ("seconds", parsers.parse_seconds, "0", 0.0),
    ("seconds", parsers.parse_seconds, "2.5", 2.5),
    ("seconds", parsers.parse_seconds, "1e3", 1000.0),
    ("timeout", parsers.parse_timeout, "0.5", 0.5),
    ("timeout", parsers.parse_timeout, "600", 600.0),
    ("benchmark", parsers.parse_one_of("mmlu", "mt_bench"), "mmlu", "mmlu"),
    ("benchmark", parsers.parse_one_of("mmlu", "mt_bench"), "mt_bench", "mt_bench"),
    ("boolean", parsers.parse_boolean, "true", True),
    ("boolean", parsers.parse_boolean, "Yes", True),
    ("boolean", parsers.parse_boolean, "on", True),
    ("boolean", parsers.parse_boolean, "1", True),
    ("boolean", parsers.parse_boolean, " False ", False),
    ("boolean", parsers.parse_boolean, "no", False),
    ("boolean", parsers.parse_boolean, "off", False),
    ("boolean", parsers.parse_boolean, "0", False),
    ("boolean", parsers.parse_boolean, "", False),
    ("prompt", parsers.parse_prompt, "You are terse.", "You are terse."),
    ("prompt", parsers.parse_prompt, "mail me @ home", "mail me @ home"),
    ("arguments", parsers.parse_vllm_arguments, "--max-model-len 4096", "--max-model-len 4096"),
    ("arguments", parsers.parse_vllm_arguments, "--hf-overrides '{\"a\": 1}'", "--hf-overrides '{\"a\": 1}'"),
    ("program", parsers.parse_program, "python3", "python3"),
    ("program", parsers.parse_program, "~/bin/python", str(Path.home() / "bin/python")),
    ("path", parsers.parse_path, "data/mmlu", Path("data/mmlu")),
    ("path", parsers.parse_path, "/srv/mmlu", Path("/srv/mmlu")),
]

INVALID: list[tuple[str, Parse, str, str]] = [
    ("url", parsers.parse_url, "127.0.0.1:8000", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "localhost:8000/v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "ftp://host/v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "http:///v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "http://[::1/v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "http://host:port/v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "http://host:0/v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("url", parsers.parse_url, "http://host:99999/v1", "expected a URL such as http://127.0.0.1:8000/v1"),
    ("integer", parsers.parse_integer(1), "0", "expected a whole number 1 or more"),
    ("integer", parsers.parse_integer(1), "-3", "expected a whole number 1 or more"),
    ("integer", parsers.parse_integer(1), "many", "expected a whole number 1 or more"),
    ("integer", parsers.parse_integer(1), "1.5", "expected a whole number 1 or more"),
    ("integer", parsers.parse_integer(1), "", "expected a whole number 1 or more"),
    ("repeat", parsers.parse_repeat, "0", "expected a whole number 1 or more, or auto"),
    ("repeat", parsers.parse_repeat, "Auto", "expected a whole number 1 or more, or auto"),
    ("repeat", parsers.parse_repeat, "", "expected a whole number 1 or more, or auto"),
    ("integer", parsers.parse_integer(0, 5), "6", "expected a whole number from 0 to 5"),
    ("integer", parsers.parse_integer(0, 5), "-1", "expected a whole number from 0 to 5"),
    ("integer", parsers.parse_integer(0, 5), "five", "expected a whole number from 0 to 5"),
    ("seconds", parsers.parse_seconds, "-1", "expected a number of seconds, 0 or more"),
    ("seconds", parsers.parse_seconds, "soon", "expected a number of seconds, 0 or more"),
    ("seconds", parsers.parse_seconds, "nan", "expected a number of seconds, 0 or more"),
    ("seconds", parsers.parse_seconds, "inf", "expected a number of seconds, 0 or more"),
    ("timeout", parsers.parse_timeout, "0", "expected a number of seconds, more than 0"),
    ("timeout", parsers.parse_timeout, "0.0", "expected a number of seconds, more than 0"),
    ("benchmark", parsers.parse_one_of("mmlu", "mt_bench"), "mmlu_pr", "expected one of mmlu, mt_bench"),
    ("benchmark", parsers.parse_one_of("mmlu", "mt_bench"), "MMLU", "expected one of mmlu, mt_bench"),
    ("boolean", parsers.parse_boolean, "maybe", "expected true or false"),
    ("boolean", parsers.parse_boolean, "2", "expected true or false"),
    ("prompt", parsers.parse_prompt, "@/no/such/file", "expected a text, or @ and a readable UTF-8 file"),
    ("arguments", parsers.parse_vllm_arguments, "--dtype 'half", "expected arguments as a shell takes them"),
    ("prompt", parsers.parse_prompt, "@/", "expected a text, or @ and a readable UTF-8 file"),
]


def ids(table: list[tuple[str, Parse, str, Any]]) -> list[str]:
    return [f"{kind} {value!r}" for kind, _, value, _ in table]


@pytest.mark.parametrize(("kind", "parse", "value", "expected"), VALID, ids=ids(VALID))
def test_a_valid_value_is_taken(kind: str, parse: Parse, value: str, expected: object) -> None:
    assert parse(value) == expected


@pytest.mark.parametrize(("kind", "parse", "value", "allowed"), INVALID, ids=ids(INVALID))
def test_an_invalid_value_is_quoted_with_what_is_allowed(
    kind: str, parse: Parse, value: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match="expected ") as caught:
        parse(value)
    assert allowed in str(caught.value)
    assert f"got {value!r}" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://h/v1?api-key=abc123", "ftp://h/v1?api-key=abc123", "http://h/v1#abc"]
)
def test_a_url_ends_with_its_path_and_no_key_in_it_is_shown(url: str) -> None:
    with pytest.raises(ValueError, match="expected ") as caught:
        parsers.parse_url(url)
    assert "abc123" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["--port 8000", "--api_key=abc123", "--dtype half --served-model-name abc123"]
)
def test_what_the_run_finds_its_server_by_is_not_for_the_user_to_say_and_no_key_is_shown(value: str) -> None:
    with pytest.raises(ValueError, match=r"expected no --[a-z-]+, which the run sets itself") as caught:
        parsers.parse_vllm_arguments(value)
    assert "abc123" not in str(caught.value)


@pytest.mark.parametrize("parse", [parsers.parse_text, parsers.parse_prompt, parsers.parse_path])
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_text_is_refused(parse: Parse, value: str) -> None:
    with pytest.raises(ValueError, match="expected a text"):
        parse(value)


@given(st.integers(), st.integers(), st.integers(min_value=0, max_value=1000))
def test_a_whole_number_is_taken_exactly_if_it_is_in_its_range(value: int, least: int, more: int) -> None:
    parse = parsers.parse_integer(least, least + more)
    if least <= value <= least + more:
        assert parse(str(value)) == value
    else:
        with pytest.raises(ValueError, match="expected a whole number"):
            parse(str(value))


@given(st.sampled_from([entry[1] for entry in INVALID]), st.text())
def test_whatever_the_value_a_parser_gives_a_value_or_says_why_not(parse: Parse, value: str) -> None:
    message = "expected "
    try:
        parse(value)
    except ValueError as error:
        message = str(error)
    assert message.startswith("expected ")


# --- prompts and paths ---


def test_a_prompt_can_be_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("You are terse.\r\nAlways.\n", encoding="utf-8")
    assert parsers.parse_prompt(f"@{tmp_path}/prompt.txt") == "You are terse.\nAlways.\n"


def test_a_prompt_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"readable UTF-8 file \(got '@.*prompt\.txt'.*, line 1: not UTF-8"):
        parsers.parse_prompt(f"@{tmp_path}/prompt.txt")


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert parsers.parse_path("~/mmlu") == Path("/home/ada/mmlu")


def test_a_home_folder_that_nobody_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no-such-user-here"):
        parsers.parse_path("~no-such-user-here/mmlu")


# --- secrets ---


def test_two_urls_in_one_value_are_refused_unquoted_since_each_may_hold_a_password() -> None:
    with pytest.raises(ValueError, match=r"expected one URL \(got several\); give the option once for each$"):
        parsers.parse_url(f"{URL},https://me:secret@host/v1")


@pytest.mark.parametrize(
    "url",
    [
        "http://ada:hunter2@host/v1",
        "https://hunter2@host/v1",
        "ada:hunter2@host/v1",
        "ftp://ada:hunter2@host",
    ],
)
def test_a_url_with_a_password_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        parsers.parse_url(url)
    assert "hunter2" not in str(caught.value)
    assert "host" in str(caught.value)


def test_a_url_with_a_password_is_refused_with_the_options_that_take_a_key() -> None:
    with pytest.raises(ValueError, match=r"--eval-api-key-env or --eval-judge-api-key-env"):
        parsers.parse_url("http://ada:hunter2@host/v1")


def test_the_name_of_a_variable_that_is_set_is_taken_and_not_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVER_KEY", "sk-secret")
    assert parsers.parse_variable("SERVER_KEY") == "SERVER_KEY"


def test_the_name_of_a_variable_that_is_not_set_is_quoted() -> None:
    with pytest.raises(ValueError, match=r"expected the name of .* that is set \(got 'NO_SUCH_KEY_HERE'"):
        parsers.parse_variable("NO_SUCH_KEY_HERE")


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-0123456789abcdefghij",
        "token-abc123def456",
        "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
        "gsk_" + "a1B2" * 13,
        "c0ffee00c0ffee00c0ffee00c0ffee00",
    ],
)
def test_a_key_given_in_place_of_a_variable_name_is_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="expected the name of an environment variable") as caught:
        parsers.parse_variable(key)
    assert key[5:] not in str(caught.value)
    assert key[:4] in str(caught.value)


@pytest.mark.parametrize("name", ["api-key", "X-Api-Key", "ocp-apim-subscription-key", "Authorization"])
def test_the_name_of_a_header_is_taken(name: str) -> None:
    assert parsers.parse_header(f" {name}") == name


@pytest.mark.parametrize(
    "name", ["Host", "content-type", "Transfer-Encoding", "Cookie", "proxy-authorization"]
)
def test_a_header_with_another_use_is_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"expected a header for a key, .*\(got '{name}', which has another use"
    ):
        parsers.parse_header(name)


@pytest.mark.parametrize(
    "text", ["api-key: sk-secret", "api-key=sk-secret", "api-key sk-secret", "", "schl\xfcssel"]
)
def test_a_header_with_its_key_is_refused_without_showing_the_key(text: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a header alone, such as api-key") as caught:
        parsers.parse_header(text)
    assert "secret" not in str(caught.value)


@given(st.text())
def test_any_name_of_a_header_is_taken_as_one_that_can_be_sent_or_refused(text: str) -> None:
    try:
        name = parsers.parse_header(text)
    except ValueError:
        return
    assert name.isascii()
    assert name.isprintable()
    assert not {*name} & {*" :,;()"}


# --- check_spelling() ---


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--eval-modle=tiny", "--eval-model"),
        ("--eval-gates", "--eval-gate"),
        ("--evel-benchmark=mmlu", "--eval-benchmark"),
        ("--eval-base-uri=http://x", "--eval-base-url"),
        ("--eval-api-key", "--eval-api-key-env or --eval-api-key-header"),
        ("--eval-bench", "--eval-benchmark"),
        ("--eval-judge", "--eval-judge-gpus or --eval-judge-model"),
    ],
)
def test_an_option_that_is_misspelt_is_told_with_what_may_be_meant(argument: str, meant: str) -> None:
    name = argument.partition("=")[0]
    with pytest.raises(ConfigurationError) as caught:
        options.check_spelling(["tests", argument])
    assert str(caught.value) == f"unknown option {name}; did you mean {meant}?"


@pytest.mark.parametrize("argument", ["--exclude", "--eval-zzz", "--eval-", "-x", "eval-modle", "--dist"])
def test_an_option_unlike_all_of_these_is_left_to_pytest(argument: str) -> None:
    options.check_spelling([argument])


@pytest.mark.parametrize(
    ("name", "meant"), [("eval_few_shot", "eval_few_shots"), ("eval_gate", "eval_gates")]
)
def test_a_name_of_the_ini_file_that_is_nearly_an_option_is_refused(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} in the ini file is unknown; did you mean {meant}"):
        options.check_ini_name(name)


@pytest.mark.parametrize("name", ["asyncio_mode", "eval_zzz", "few_shots"])
def test_a_name_of_the_ini_file_that_is_unlike_all_options_is_left_to_pytest(name: str) -> None:
    options.check_ini_name(name)


# --- Settings ---


def test_the_judge_is_asked_at_the_server_of_the_model_unless_it_has_its_own() -> None:
    assert Settings(("m",), (URL,), judge_model=("j",)).judge_urls("j") == (URL,)
    own = Settings(("m",), (URL,), judge_model=("j",), judge_base_url=("http://judge/v1",))
    assert own.judge_urls("j") == ("http://judge/v1",)


@pytest.mark.parametrize(
    ("judges", "urls", "places"),
    [
        (("j",), ("a", "b"), {"j": ("a", "b")}),
        (("j", "k"), (), {"j": (URL,), "k": (URL,)}),
        (("j", "k"), ("a",), {"j": ("a",), "k": ("a",)}),
        (("j", "k"), ("a", "b"), {"j": ("a",), "k": ("b",)}),
        (("reference", "j", "k"), ("a", "b"), {"j": ("a",), "k": ("b",)}),
        (("reference", "j"), ("a", "b"), {"j": ("a", "b")}),
    ],
)
def test_urls_are_replicas_of_one_judge_or_one_for_each_of_a_panel(
    judges: tuple[str, ...], urls: tuple[str, ...], places: dict[str, tuple[str, ...]]
) -> None:
    settings = Settings(("m",), (URL,), judge_model=judges, judge_base_url=urls)
    assert {judge: settings.judge_urls(judge) for judge in settings.judging_models} == places


@pytest.mark.parametrize(
    ("settings", "self_judged"),
    [
        (Settings(("m", "n"), (URL,), judge_model=("m",)), ("m",)),
        (Settings(("m",), (URL,), judge_model=("j", "m")), ("m",)),
        (Settings(("m",), judge_model=("m",)), ("m",)),
        (Settings(("m",), (URL,), judge_model=("m",), judge_base_url=("http://judge/v1",)), ()),
        (Settings(("m",), (URL,), judge_model=("j",)), ()),
        (Settings(("m",), judge_model=("m",), stage="answer"), ()),
        (Settings(("reference",), (URL,), judge_model=("reference",)), ()),
    ],
    ids=["of two", "in a panel", "served", "elsewhere", "another", "not judged yet", "no model"],
)
def test_a_model_judges_itself_where_name_and_server_are_the_same(
    settings: Settings, self_judged: tuple[str, ...]
) -> None:
    assert settings.self_judged == self_judged


def test_judges_are_called_so_that_they_can_be_told_apart() -> None:
    settings = Settings(("/m/step-1/granite",), judge_model=("/a/judge", "/b/judge", "/m/step-1/granite"))
    assert list(settings.judges) == ["a/judge", "b/judge", "granite"]
    assert settings.judge == "a/judge, b/judge, granite"
    assert settings.label("/a/judge") == "a/judge"


@pytest.mark.parametrize(
    ("settings", "hosted"),
    [
        (Settings(("m",)), ("m",)),
        (Settings(("m",), (URL,)), ()),
        (Settings(("m", "n"), judge_model=("j",)), ("m", "n", "j")),
        (Settings(("m",), judge_model=("m",)), ("m",)),
        (Settings(("m",), judge_model=("j",), judge_base_url=(URL,)), ("m",)),
        (Settings(("m",), judge_model=("reference",)), ("m",)),
        (Settings(("m",), judge_model=("j",), stage="answer"), ("m",)),
        (Settings(("m",), judge_model=("j",), stage="judge"), ("j",)),
        (Settings(("m",), judge_model=("j", "reference", "k")), ("m", "j", "k")),
    ],
    ids=[
        "model", "with a URL", "with a judge", "its own judge", "judge elsewhere", "reference", "answer",
        "judge", "panel",
    ],
)  # fmt: skip
def test_models_without_a_url_are_served_by_the_run(settings: Settings, hosted: tuple[str, ...]) -> None:
    assert settings.hosted == hosted


@pytest.mark.parametrize(
    ("settings", "rotates_models"),
    [
        (Settings(("m",)), False),
        (Settings(("m",), judge_model=("m",)), False),
        (Settings(("m",), judge_model=("j",)), True),
        (Settings(("m",), judge_model=("j",), judge_gpus=1), False),
        (Settings(("m", "n"), judge_model=("j",), judge_gpus=1), True),
        (Settings(("m",), judge_model=("j", "k"), judge_gpus=1), True),
        (Settings(("m",), judge_model=("j", "reference"), judge_gpus=1), False),
        (Settings(("m", "n"), (URL,), judge_model=("j",)), False),
    ],
)
def test_models_that_share_a_place_are_swapped(settings: Settings, rotates_models: bool) -> None:
    assert settings.rotates_models is rotates_models


@pytest.mark.parametrize(
    ("models", "labels"),
    [
        (["tiny"], ["tiny"]),
        (["instructlab/granite-7b-lab", "granite"], ["instructlab/granite-7b-lab", "granite"]),
        (["/models/one", "./two"], ["one", "two"]),
        (["/a/x/model", "/b/y/model"], ["x/model", "y/model"]),
        (["/a/hf/samples_1", "/b/hf/samples_1"], ["a/hf/samples_1", "b/hf/samples_1"]),
    ],
)
def test_a_model_is_called_by_as_much_of_its_path_as_tells_it_from_others(
    models: list[str], labels: list[str]
) -> None:
    assert Settings(tuple(models)).labels == dict(zip(labels, models, strict=True))


@pytest.mark.parametrize(
    ("judge", "label"),
    [("/b/judge", "judge"), ("/b/model", "b/model"), ("/a/model", "model"), ("reference", "reference")],
)
def test_a_judge_is_called_by_the_end_of_its_path_that_no_model_is_called_by(judge: str, label: str) -> None:
    settings = Settings(("/a/model",), judge_model=(judge,))
    assert settings.labels == {"model": "/a/model"}
    assert settings.label(judge) == label


def test_a_benchmark_whose_needs_are_not_met_is_left_out_and_says_so() -> None:
    settings = Settings(("m",), (URL,))
    assert selected_benchmarks(settings) == ("mmlu",)
    assert left_out_benchmarks(settings) == {
        "mmlu_branch": "it needs --eval-tasks-dir",
        "mt_bench": "it needs --eval-judge-model",
        "mt_bench_branch": "it needs --eval-taxonomy and --eval-judge-model",
    }


def test_every_benchmark_is_selected_where_its_needs_are_met() -> None:
    folder = Path("somewhere")
    settings = Settings(("m",), (URL,), judge_model=("j",), tasks_dir=folder, taxonomy=folder)
    assert selected_benchmarks(settings) == ("mmlu", "mmlu_branch", "mt_bench", "mt_bench_branch")
    assert left_out_benchmarks(settings) == {}


def test_a_benchmark_that_is_not_named_is_left_out() -> None:
    settings = Settings(("m",), (URL,), judge_model=("j",), benchmark=("mt_bench",))
    assert selected_benchmarks(settings) == ("mt_bench",)
    assert set(left_out_benchmarks(settings).values()) == {"not named by --eval-benchmark"}


def test_answering_needs_no_judge() -> None:
    assert selected_benchmarks(Settings(("m",), (URL,), stage="answer")) == ("mmlu", "mt_bench")


def test_judging_leaves_out_what_has_no_judge() -> None:
    settings = Settings(("m",), (URL,), judge_model=("j",), stage="judge")
    assert selected_benchmarks(settings) == ("mt_bench",)
    assert left_out_benchmarks(settings)["mmlu"] == "it has no judging step"


# --- read_settings() ---


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FIRST_N_VARIABLE, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # half the time


def settings_of(pytester: pytest.Pytester, *arguments: str) -> Settings | None:
    return read_settings(pytester.parseconfig("-p", "pytest_instructlab_eval.plugin", *arguments))


def given_settings(pytester: pytest.Pytester, *arguments: str) -> Settings:
    settings = settings_of(pytester, "--eval-model=tiny", f"--eval-base-url={URL}", *arguments)
    assert settings is not None
    return settings


def test_each_shard_has_a_folder_of_its_own_unless_one_is_named(pytester: pytest.Pytester) -> None:
    assert given_settings(pytester, "--eval-shard=2/5").output_dir == (
        pytester.path / "eval_output" / "shard-2-of-5"
    )
    named = given_settings(pytester, "--eval-shard=2/5", "--eval-output-dir=part2")
    assert named.output_dir == pytester.path / "part2"


def test_a_judge_that_is_the_models_folder_in_other_words_is_the_same_model(
    pytester: pytest.Pytester,
) -> None:
    folder = pytester.mkdir("granite")
    settings = settings_of(pytester, "--eval-model=./granite", f"--eval-judge-model={folder}/")
    assert settings is not None
    assert settings.hosted == ("./granite",)


def test_without_a_model_there_are_no_settings(pytester: pytest.Pytester) -> None:
    assert settings_of(pytester, f"--eval-base-url={URL}") is None


def test_where_the_run_may_serve_nothing_a_model_needs_a_server(pytester: pytest.Pytester) -> None:
    with pytest.raises(
        ConfigurationError, match=r"--eval-serve never needs a running server.* --eval-base-url"
    ):
        settings_of(pytester, "--eval-model=tiny", "--eval-serve=never")


def make_checkpoints(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").touch()
    return [str(folder / name) for name in names]


def test_checkpoints_are_taken_in_the_order_of_their_numbers(pytester: pytest.Pytester) -> None:
    made = make_checkpoints(pytester.path / "run" / "hf_format", "samples_1000", "samples_500")
    (pytester.path / "run" / "hf_format" / "logs").mkdir()
    settings = settings_of(pytester, "--eval-checkpoints=run")
    assert settings is not None
    assert settings.model == tuple(reversed(made))
    assert list(settings.labels) == ["samples_500", "samples_1000"]


def test_checkpoints_come_after_the_models_that_are_named(pytester: pytest.Pytester) -> None:
    made = make_checkpoints(pytester.path, "first")
    settings = settings_of(pytester, "--eval-model=tiny", "--eval-checkpoints=.")
    assert settings is not None
    assert settings.model == ("tiny", *made)


def test_a_folder_without_checkpoints_is_refused(pytester: pytest.Pytester) -> None:
    with pytest.raises(ConfigurationError, match=r"--eval-checkpoints: .* has no checkpoint"):
        settings_of(pytester, "--eval-checkpoints=.")


def test_the_defaults_are_those_of_the_help(pytester: pytest.Pytester) -> None:
    settings = given_settings(pytester)
    assert settings == Settings(("tiny",), (URL,), output_dir=pytester.path / "eval_output")
    assert (settings.few_shots, settings.max_concurrency) == (5, 64)


def test_models_can_be_several(pytester: pytest.Pytester) -> None:
    assert given_settings(pytester, "--eval-model=other").model == ("tiny", "other")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--eval-model=http://h/v1",), "--eval-model: http://h/v1 is a URL; .*--eval-base-url"),
        (("--eval-model=m", "--eval-judge-model=http://h/v1"), "--eval-judge-model: .*--eval-judge-base-url"),
        (
            ("--eval-model=m", "--eval-judge-base-url=http://h/v1"),
            "--eval-judge-base-url needs --eval-judge-mo",
        ),
        (
            ("--eval-model=m", "--eval-base-url=http://h/v1", "--eval-gpus=1"),
            "--eval-gpus is for a server that",
        ),
        (("--eval-model=m", "--eval-stage=judge"), "no benchmark can run .*mt_bench: it needs"),
        (("--eval-checkpoints=none",), "--eval-checkpoints: .*none is not a folder"),
    ],
)
def test_what_the_run_would_ignore_or_cannot_mean_is_refused(
    pytester: pytest.Pytester, arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        settings_of(pytester, *arguments)


def test_a_place_for_results_is_known_of_a_run_that_evaluates_alone(pytester: pytest.Pytester) -> None:
    def place(*arguments: str) -> Path | None:
        config = pytester.parseconfig("-p", "pytest_instructlab_eval.plugin", *arguments)
        return refused_folder(config, config.option)

    assert place("--eval-model=m") == pytester.path / "eval_output"
    assert place("--eval-model=m", "--eval-output-dir=out") == pytester.path / "out"
    for none in ((), ("--eval-model=m", "--collect-only"), ("--eval-model=m", "--eval-shard=1/2")):
        assert place(*none) is None


def test_a_model_named_twice_is_refused(pytester: pytest.Pytester) -> None:
    with pytest.raises(ConfigurationError, match=r"each model once \(got tiny, tiny\)"):
        given_settings(pytester, "--eval-model=tiny")


def test_mt_bench_named_without_a_judge_is_refused(pytester: pytest.Pytester) -> None:
    with pytest.raises(ConfigurationError, match="--eval-judge-model"):
        given_settings(pytester, "--eval-benchmark=mt_bench")


def test_a_bad_value_is_told_with_its_flag(pytester: pytest.Pytester) -> None:
    with pytest.raises(ConfigurationError, match=r"^--eval-few-shots: expected .* \(got '9'\)$"):
        given_settings(pytester, "--eval-few-shots=9")


def test_a_bad_ini_value_is_told_with_its_name_and_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\neval_few_shots = 9\n")
    with pytest.raises(ConfigurationError, match=r"^eval_few_shots in tox\.ini: expected .* \(got '9'\)$"):
        given_settings(pytester)


def test_every_option_can_stand_in_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        f"[pytest]\neval_model =\n    tiny\n    other\neval_base_url = {URL}\neval_first_n = 3\n"
    )
    settings = settings_of(pytester)
    assert settings is not None
    assert (settings.model, settings.base_url, settings.first_n) == (("tiny", "other"), (URL,), 3)


def test_a_flag_goes_before_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\neval_first_n = 3\n")
    assert given_settings(pytester, "--eval-first-n=2").first_n == 2


def test_a_flag_for_yes_goes_before_an_ini_file_that_says_no(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\neval_merge_system_user_message = false\n")
    assert given_settings(pytester).merge_system_user_message is False
    assert given_settings(pytester, "--eval-merge-system-user-message").merge_system_user_message is True


def test_a_path_of_the_ini_file_starts_at_the_ini_file(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\neval_output_dir = out\n")
    monkeypatch.chdir(pytester.mkdir("sub"))
    assert given_settings(pytester).output_dir == pytester.path / "out"


def test_a_path_of_the_command_line_starts_at_the_working_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\n")
    monkeypatch.chdir(pytester.mkdir("sub"))
    assert given_settings(pytester, "--eval-output-dir=out").output_dir == pytester.path / "sub" / "out"


def test_instructlabs_variable_for_the_first_questions_is_honoured(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FIRST_N_VARIABLE, "7")
    assert given_settings(pytester).first_n == 7
    assert given_settings(pytester, "--eval-first-n=2").first_n == 2


@pytest.mark.parametrize(("value", "few"), [("true", True), ("1", True), ("", False)])
def test_instructlabs_variable_for_few_tasks_is_honoured(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, value: str, few: bool
) -> None:
    monkeypatch.setenv("INSTRUCTLAB_EVAL_MMLU_MIN_TASKS", value)
    assert given_settings(pytester).min_tasks is few


def test_a_bad_value_of_instructlabs_variable_is_told_with_its_name(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FIRST_N_VARIABLE, "all")
    with pytest.raises(ConfigurationError, match=r"^\$INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS: expected"):
        given_settings(pytester)


def test_judges_of_a_panel_that_cannot_be_placed_are_refused(pytester: pytest.Pytester) -> None:
    panel = ("--eval-judge-model=a", "--eval-judge-model=b", "--eval-judge-model=c")
    urls = (f"--eval-judge-base-url={URL}", "--eval-judge-base-url=http://two/v1")
    with pytest.raises(ConfigurationError, match=r"each of the 3 judges a, b, c in their order \(got 2\)"):
        given_settings(pytester, *panel, *urls)
    with pytest.raises(ConfigurationError, match=r"each judge once \(got a, b, c, a\)"):
        given_settings(pytester, *panel, "--eval-judge-model=a")


def test_a_sample_and_the_first_questions_exclude_each_other(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = r"--eval-sample and --eval-first-n \(or \$INSTRUCTLAB_EVAL_FIRST_N_QUESTIONS\)"
    with pytest.raises(ConfigurationError, match=both):
        given_settings(pytester, "--eval-sample=9", "--eval-first-n=2")
    monkeypatch.setenv(FIRST_N_VARIABLE, "7")
    with pytest.raises(ConfigurationError, match=both):
        given_settings(pytester, "--eval-sample=9")


def test_a_sample_has_a_seed_and_a_seed_needs_a_sample(pytester: pytest.Pytester) -> None:
    assert given_settings(pytester, "--eval-sample=9").sample_seed == 0
    assert given_settings(pytester, "--eval-sample=9", "--eval-sample-seed=4").sample_seed == 4
    with pytest.raises(ConfigurationError, match="--eval-sample-seed needs --eval-sample"):
        given_settings(pytester, "--eval-sample-seed=4")


def test_every_option_is_a_field_of_the_settings() -> None:
    # The first is of InstructLab's environment alone, the second of installed benchmarks.
    fields = set(Settings.__dataclass_fields__) - {"min_tasks", "own"}
    assert {option.field for option in options.OPTIONS} == fields
