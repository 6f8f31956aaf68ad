"""Foreign text is shown, and never acted upon by a terminal."""

import pytest

from pytest_instructlab_eval.visible import visible


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
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text", ["two\nlines\tand a tab", "Grüße, 你好, 👩‍🚀", "می‌روم", r"C:\x1b"], ids=ascii
)
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
