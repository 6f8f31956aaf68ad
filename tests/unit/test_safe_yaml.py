"""YAML from strangers: plain data with lines, or a sentence that names the file and line."""

from __future__ import annotations

import contextlib
import datetime
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.data.safe_yaml import (
    MOST_BYTES,
    TaggedValue,
    YamlMapping,
    first_tag,
    parse_yaml,
    read_yaml,
)
from pytest_instructlab_eval.errors import DataError


def parsed(text: str) -> Any:
    return parse_yaml(text, "f")


def refusal(text: str) -> str:
    with pytest.raises(DataError) as caught:
        parse_yaml(text, "qna.yaml")
    return str(caught.value)


# --- what is read ---


def test_plain_values_are_read_as_builtins() -> None:
    text = "a: x\nb: 1\nc: 2.5\nd: true\ne: null\nf: [1, y]\ng: 2024-02-29\nh: |\n  two\n  lines\n"
    assert parse_yaml(text, "f") == {
        "a": "x",
        "b": 1,
        "c": 2.5,
        "d": True,
        "e": None,
        "f": [1, "y"],
        "g": datetime.date(2024, 2, 29),
        "h": "two\nlines\n",
    }


def test_the_line_of_every_key_is_known() -> None:
    record = parsed("# a note\na:\n  b: 1\n\n  c:\n  - d: 2\n")
    assert record.lines == {"a": 2}
    assert record["a"].lines == {"b": 3, "c": 5}
    assert record["a"]["c"][0].lines == {"d": 6}


def test_an_empty_text_is_nothing() -> None:
    assert parse_yaml("", "f") is None
    assert parse_yaml("# only a note\n", "f") is None


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


class NoAliases(yaml.SafeDumper):
    """Writes a value that occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@given(plain_data)
def test_what_pyyaml_writes_is_read_as_it_was(data: Any) -> None:
    assert parse_yaml(yaml.dump(data, Dumper=NoAliases), "f") == data


@given(st.text(alphabet="ab01:-[]{}&*!|>%@#\"'\\,?\n\t \x00é<=~.", max_size=60))
def test_any_text_is_read_or_refused_with_the_name_of_its_file(text: str) -> None:
    with contextlib.suppress(DataError):
        parse_yaml(text, "qna.yaml")
        return
    assert refusal(text).startswith("qna.yaml")


# --- what is never run ---


@pytest.mark.parametrize(
    "value",
    [
        "!function os.system",
        "!!python/object/apply:os.system ['touch ran']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object/new:os.system [x]",
        "!!binary aGk=",
        "!!str {a: b}",
        "!!map [a]",
    ],
)
def test_a_tag_of_its_own_is_kept_as_a_tag_and_its_value_dropped(value: str) -> None:
    found = parsed(f"a: 1\nb:\n- c: {value}\n")
    tagged = found["b"][0]["c"]
    assert type(tagged) is TaggedValue
    assert tagged.line == 3
    assert first_tag(found) == tagged


def test_plain_data_has_no_tag() -> None:
    assert first_tag(parse_yaml("a: [1, {b: x}]", "f")) is None


def test_a_merge_key_merges_nothing() -> None:
    assert refusal("b: 2\n<<: {a: 1}") == (
        "qna.yaml, line 2: merging another mapping (<<) is not supported; write its keys out"
    )
    assert parsed("'<<': {a: 1}\nb: 2") == {"<<": {"a": 1}, "b": 2}


# --- what is refused ---


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a0: &a0 [lol]\n" + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n},' * 9}]\n" for n in range(60))
    begin = time.process_time()
    assert refusal(bomb) == "qna.yaml, line 2: aliases are not supported (got *a0); write the value out"
    assert time.process_time() - begin < 5


def test_a_value_that_holds_itself_is_refused() -> None:
    assert "aliases are not supported (got *a)" in refusal("a: &a [*a]")


def test_a_key_twice_is_refused_with_both_lines() -> None:
    assert (
        refusal("task: a\nother: b\ntask: c\n")
        == "qna.yaml, line 3: task is there twice, first in line 1; remove one of them"
    )


@pytest.mark.parametrize("text", ["[" * 40_000, "{a: " * 40_000, "- " * 40_000])
def test_nesting_without_end_is_refused(text: str) -> None:
    by_libyaml = "not YAML: exceeded maximum nesting"
    assert re.match(f"qna.yaml, line 1: (expected at most 16 levels of nesting|{by_libyaml})", refusal(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2", "qna.yaml, line 2: not YAML: "),
        ("a: 1\n--- b", "qna.yaml, line 2: expected one YAML document (got a second one here)"),
        ("a: 1\nb: \x07", "qna.yaml, line 2: not YAML: the character U+0007 is not allowed"),
        ("a: 1\n[b]: 2", "qna.yaml, line 2: expected a text as a key"),
        ("a: 1\nb: 2024-02-31", "qna.yaml, line 2: expected a valid timestamp (got '2024-02-31')"),
        ("a: !!int x", "qna.yaml, line 1: expected a valid int (got 'x')"),
        ("a: !!int ''", "qna.yaml, line 1: expected a valid int (got '')"),
        ("a: " + "9" * 5000, "qna.yaml, line 1: expected a valid int (got '" + "9" * 40 + "…')"),
        ("a: 1" + ":1" * 5000, "qna.yaml, line 1: expected a valid int (got '1:1:"),
    ],
)
def test_what_is_wrong_is_told_with_the_line(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


# --- files ---


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "qna.yaml"
    path.write_bytes("\ufeffa: é\n".encode())
    found = read_yaml(path)
    assert type(found) is YamlMapping
    assert found == {"a": "é"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "qna.yaml"
    path.write_bytes("a: b\nc: é\u00ff\n".encode(encoding))
    with pytest.raises(DataError, match=r"qna\.yaml, line \d: not (UTF-8|YAML)"):
        read_yaml(path)


def test_a_hundred_megabytes_are_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "qna.yaml"
    with path.open("wb") as file:
        file.write(b"a: ")
        file.truncate(100 * 2**20)
    begin = time.process_time()
    with pytest.raises(DataError, match=r"qna\.yaml is larger than 1,048,576 bytes"):
        read_yaml(path)
    assert time.process_time() - begin < 5


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "qna.yaml"
    path.write_text("x" * MOST_BYTES, encoding="utf-8")
    assert read_yaml(path) == "x" * MOST_BYTES
