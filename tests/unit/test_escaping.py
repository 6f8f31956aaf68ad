"""Foreign text is shown, and never acted upon by a terminal."""

import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.escaping import (
    UNSAFE,
    escape,
    escape_failure,
    escape_json,
    escape_line,
    escape_text,
    markdown_block,
    printable_name,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("\x00 \x07 \x7f \x9b", r"\x00 \x07 \x7f \x9b"),
        ("over\rwritten", r"over\rwritten"),
        ("\u202eesrever", r"\u202eesrever"),
        ("one\u2028two", r"one\u2028two"),
        ("half \ud83d", r"half \ud83d"),
    ],
    ids=["escape", "controls", "return", "direction", "separator", "surrogate"],
)
def test_what_a_terminal_would_act_upon_is_written_out(text: str, shown: str) -> None:
    assert escape_text(text) == shown


@pytest.mark.parametrize(
    "text", ["two\nlines\tand a tab", "Grüße, 你好, 👩‍🚀", "می‌روم", r"C:\x1b"], ids=ascii
)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert escape_text(text) == text


# --- commands that a CI job takes from what a run prints ---

PIECES = [
    "::error::",
    "##[error]",
    "::",
    "##",
    "#",
    "[",
    ":",
    "]",
    "\n",
    " ",
    "\t",
    "\xa0",
    "\u3000",
    "\ufeff",
    "\r",
    "x",
]
texts = st.lists(st.sampled_from(PIECES)).map("".join) | st.text()


def forms_a_command(text: str) -> bool:
    """Whether GitHub's runner would take a line of the text for a command, registered or not."""
    lines = re.split(r"\r\n|\r|\n", text)
    return any(
        "##[" in line or line.lstrip(f"{string.whitespace}\xa0\u3000\ufeff").startswith("::")
        for line in lines
    )


@given(texts)
def test_what_is_shown_forms_no_command(text: str) -> None:
    assert not forms_a_command(escape_text(text))
    assert not forms_a_command(escape_line(text))
    assert not forms_a_command(escape_failure(text))


@given(texts)
def test_only_what_would_form_a_command_is_changed(text: str) -> None:
    written_out = escape_text(text).replace(r"\x3a", ":").replace(r"\x23", "#")
    assert (
        written_out == UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
        or "\\x" in text
    )


@given(st.recursive(texts, lambda parts: st.lists(parts) | st.dictionaries(texts, parts)))
def test_json_has_the_same_content_and_forms_no_command(content: object) -> None:
    for indent in (None, 1):
        document = escape_json(json.dumps(content, ensure_ascii=False, indent=indent))
        assert json.loads(document) == content
        assert "##[" not in document


def test_a_failure_is_inert_in_all_its_parts() -> None:
    def fail(reply: str) -> None:
        assert reply == "right", reply

    with pytest.raises(AssertionError) as failure:
        fail("##[error]no\n::error::no")
    shown = escape_failure(failure.getrepr(showlocals=True))
    assert "\\x23#[error]no" in str(shown)
    assert not forms_a_command(str(shown))
    crash = shown.reprcrash
    assert crash is not None
    assert not forms_a_command(crash.message)


# --- what is shown of a stranger's text ---


def test_an_ordinary_text_is_shown_as_it_is() -> None:
    assert escape("compositional_skills/größe/qna.yaml") == "compositional_skills/größe/qna.yaml"


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "a\u202eb", "\ud800", "a\x00", "a\r"])
def test_what_a_terminal_would_act_upon_is_escaped(text: str) -> None:
    assert escape(text) == ascii(text)


@given(st.text())
def test_whatever_is_shown_is_printable_and_short(text: str) -> None:
    assert escape(text, 10).isprintable()
    assert len(escape(text, 10)) <= 11 * len("\\U0001f600") + 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/qna.yaml", "a/qna.yaml"),
        ("a b/ü/qna.yaml", "a b/ü/qna.yaml"),
        ("a\nb", r"a\nb"),
        (r"a\nb", r"a\\nb"),
        ("\x1b[2J\x00\x7f", r"\x1b[2J\x00\x7f"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
    ],
    ids=ascii,
)
def test_a_path_is_escaped_where_a_terminal_would_act_upon_it(path: str, expected: str) -> None:
    assert printable_name(path) == expected


@given(st.text(st.characters() | st.sampled_from("\\nx0aud8\n")), st.text())
def test_two_paths_never_share_an_id(one: str, other: str) -> None:
    assert printable_name(one).isprintable()
    assert (printable_name(one) == printable_name(other)) == (one == other)
    assert printable_name(one).encode("ascii", "backslashreplace").decode("unicode_escape") == one


@given(st.text(st.characters() | st.sampled_from("`\n")))
def test_no_text_ends_the_block_that_it_stands_in(text: str) -> None:
    first, *inside, last = markdown_block(text).split("\n")
    assert first == f"{last}text"
    assert set(last) == {"`"}
    assert not any(last in line for line in inside)
