"""Which arguments are ours, and which of their values pytest takes for paths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.options import OPTIONS
from pytest_instructlab_eval.session import command_line
from pytest_instructlab_eval.session.command_line import (
    check_model,
    our_flags,
    values_taken_for_paths,
    with_joined_values,
)

FLAGS_WITH_A_VALUE = [option.flag for option in OPTIONS if option.metavar and option.places != "ini"]


def config(*arguments: str, **options: object) -> pytest.Config:
    params = SimpleNamespace(args=arguments)
    return cast("pytest.Config", SimpleNamespace(invocation_params=params, option=SimpleNamespace(**options)))


@pytest.mark.parametrize("flag", FLAGS_WITH_A_VALUE)
def test_the_value_of_every_option_is_taken_for_a_path_where_it_is_one(flag: str, tmp_path: Path) -> None:
    command = ["-q", flag, str(tmp_path), "-x"]
    assert values_taken_for_paths(command) == [(flag, str(tmp_path))]
    assert with_joined_values(command) == ["-q", f"{flag}={tmp_path}", "-x"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["-q", "tests"],
        ["--eval-model", "a-model-of-no-such-path"],
        ["--eval-model"],
        ["--eval-mmlu-data=/"],
        ["--eval-merge-system-user-message", "/"],
        ["--other-flag", "/"],
        ["--eval-mod", "/"],  # pytest knows no abbreviations
        ["--", "--eval-model", "/"],
        ["--eval-model", "-x", "/"],
        ["--eval-model", "x" * 5000],
        ["--eval-model", "\0"],
    ],
)
def test_a_command_line_that_pytest_understands_has_no_mistaken_value(command: list[str]) -> None:
    assert values_taken_for_paths(command) == []


def test_a_value_may_name_a_test_or_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    for value in (f"{__file__}::test_x", __file__, str(tmp_path / "link"), f"{tmp_path}/link/../"):
        assert values_taken_for_paths(["--eval-baseline", value]) == [("--eval-baseline", value)]


@given(
    st.lists(
        st.sampled_from([*FLAGS_WITH_A_VALUE, "--eval-changed-only", "/", "x", "-q", "--", "--eval-wait=1"])
    )
)
def test_nothing_is_taken_for_a_path_once_it_is_joined(command: list[str]) -> None:
    result = with_joined_values(command)
    assert values_taken_for_paths(result) == []
    assert our_flags(result) == our_flags(command)
    assert "".join(result).replace("=", "") == "".join(command).replace("=", "")


def test_arguments_are_those_of_the_environment_and_of_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--eval-model 'my model'")
    (tmp_path / "more").write_text("--eval-wait\n5\n", "utf-8")
    (tmp_path / "args").write_text(f"-x\n@{tmp_path}/more\n", "utf-8")
    found = command_line.given_arguments(
        config("-q", f"@{tmp_path}/args", "@missing", "--eval-system-prompt=@file")
    )
    assert found == [
        *(
            "--eval-model",
            "my model",
            "-q",
            "-x",
            "--eval-wait",
            "5",
            "@missing",
            "--eval-system-prompt=@file",
        )
    ]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["--eval-benchmark=mmlu"], "--eval-benchmark"),
        (["-q", "--eval-gate", "mmlu >= 0.5"], "--eval-gate"),
        (["--eval-changed-only"], "--eval-changed-only"),
    ],
)
def test_an_option_that_asks_for_an_evaluation_needs_a_model(command: list[str], named: str) -> None:
    with pytest.raises(
        pytest.UsageError, match=f"^{named} needs a model to evaluate; name one with --eval-model$"
    ):
        check_model(config(*command))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ([], {}),
        (["-q", "tests"], {}),
        (["--", "--eval-gate"], {}),
        (["--eval-gate=x", "--help"], {"help": True}),
    ],
)
def test_a_command_line_without_our_options_or_that_only_shows_something_needs_none(
    command: list[str], options: Mapping[str, Any]
) -> None:
    check_model(config(*command, **options))
