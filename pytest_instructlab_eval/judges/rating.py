"""Reads the rating out of a judgment: a small grammar, which docs/explanations/judgments.md describes.

Everything here takes time in proportion to the length of the text, whatever the text is: repetitions are
bounded, or are over characters that can't begin what follows them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.judges.scale import ONE_TO_TEN, Scale
from pytest_instructlab_eval.models.reasoning import split_judgment

INVISIBLE = r"\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # marks that a reader doesn't see
BLANKS = rf"\s{INVISIBLE}"
QUOTATION = r"\"'`\u2018-\u201f\u00ab\u00bb"
QUOTES = rf"*_{QUOTATION}"  # and the markup of Markdown
COLONS = ":\uff1a"  # also that of Chinese and Japanese
DASHES = r"\u2013\u2014-"
SCALE = "\0"  # stands for each character of a scale
LINE_BLANKS = rf" \t\xa0\u3000{INVISIBLE}"

NUMBER = r"[0-9]{1,3}(?:\.[0-9]{1,20})?"
NO_LINK = r"(?!\((?:https?:|#))"  # a citation in Markdown: [[1]](https://…)
DOUBLE = re.compile(rf"(?<!\[)\[\[[{BLANKS}]*({NUMBER})[{BLANKS}]*\]\](?!\]){NO_LINK}")
SINGLE = re.compile(rf"\[[{BLANKS}]*({NUMBER})[{BLANKS}]*\](?!\]){NO_LINK}")

WORD = re.compile(r"(?<![^\W_])ratings?(?![^\W_])", re.IGNORECASE)
NEAR = rf"[{LINE_BLANKS}{QUOTES}{COLONS}]*"  # what may stand between the word and a number in single brackets
FAR = rf"[{BLANKS}{QUOTES}{COLONS}{SCALE}|=]*"  # and one in double brackets
BEFORE_SINGLE = re.compile(rf"{NEAR}(?:(?:is|of)\b{NEAR})*", re.IGNORECASE)
BEFORE_DOUBLE = re.compile(rf"{FAR}(?:(?:is|of)\b{FAR})*", re.IGNORECASE)

FILL, GAP = rf"[{BLANKS}{QUOTES}]{{0,8}}", rf"[{BLANKS}]{{1,4}}"
INSIDE = rf"[{BLANKS}]{{0,4}}{NUMBER}[{BLANKS}]{{0,4}}"
END = rf"(?:\[\[{INSIDE}\]\]|\[{INSIDE}\]|{NUMBER}(?![0-9]))"  # of a scale
REMARK = r"(?:\([^()\[\]\n]{0,40}\))?"
ENDS = rf"{FILL}{END}{FILL}{REMARK}{FILL}(?:%s){FILL}{END}"
OUT_OF = rf"(?:/|\bout{GAP}of(?:{GAP}(?:an?|the|possible|maximum|max|total|of)\b){{0,4}}){FILL}{END}"
ON_A = rf"(?:\b(?:on|using|with|by){GAP}(?:an?|the){GAP})?"
ON_A_SCALE = rf"{ON_A}\bscale{GAP}(?:of|from|between|is)\b{ENDS % f'to|and|until|through|[{DASHES}]'}"
FROM_TO = rf"\bfrom\b{ENDS % f'to|until|through|[{DASHES}]'}"
BETWEEN = rf"\bbetween\b{ENDS % f'and|[{DASHES}]'}"
IN_BRACKETS = rf"\({FILL}{NUMBER}{FILL}(?:to|[{DASHES}]){FILL}{NUMBER}{FILL}\)"
SCALES = re.compile("|".join((OUT_OF, ON_A_SCALE, FROM_TO, BETWEEN, IN_BRACKETS)), re.IGNORECASE)
"""Phrases that describe a scale, with the numbers in them."""

QUOTATION_MARK = re.compile(f"[{QUOTATION}]")
ROUND_BRACKETS = re.compile(rf"\([{BLANKS}{QUOTES}]*{SCALE}[{BLANKS}{QUOTES}{SCALE}]*\)")  # about a scale
DECORATION = re.compile(rf"[{BLANKS}{QUOTES}{COLONS}{SCALE}|.,;!#>{DASHES}]*")  # of a line that is a rating

FORM = re.compile(  # "[[rating]]", for example: "Rating: [[5]]"
    r"\[\[rating\]\][^\w\[]{1,8}(?:for example|for instance|e\.g\.|such as)[^\w\[]{1,8}"
    r"(?:rating[^\w\[]{0,8})?" + DOUBLE.pattern,
    re.IGNORECASE,
)
WORDS = re.compile(r"\w+")
WORDS_BEFORE = 8  # of the prompt's own example, by which it is known again
WORDS_OF_PART = 12  # of the prompt, at least, by which it is told that it was returned


@dataclass(frozen=True)
class ParsedRating:
    """The result of reading a judgment: its rating, or why it has none.

    `stated` has every rating in it that could have been meant, in order, on the scale or off it: one in
    quotation marks is a quotation unless it is the last. `reasoning` is the part that doesn't count.
    """

    value: float | None
    reason: str = ""
    stated: tuple[float, ...] = ()
    reasoning: str = ""

    @property
    def contradictory(self) -> bool:
        """Return whether it has a rating, and also stated another."""
        return self.value is not None and len(set(self.stated)) > 1


@dataclass(frozen=True)
class RatingStatement:
    """A number, from where its statement begins ("Rating") and the number itself does, to its end."""

    value: float
    start: int
    number: int
    end: int


def parse_rating(
    text: str,
    *,
    finish_reason: str = "stop",
    scale: Scale = ONE_TO_TEN,
    prompts: Sequence[str] = (),
) -> ParsedRating:
    """Return the rating that a judgment ends in, or the reason why there is none.

    The last "Rating: [[n]]" counts; where there is no such statement, the last [[n]]. What was cut off by the
    token limit (`finish_reason` "length") has a rating only if that is all of its last line. `prompts` are
    the messages that asked the judge: a rating that they show as an example is none where it is returned.
    """
    reasoning, judgment = split_judgment(text)
    prompts = [words_as_numbers(prompt, scale) for prompt in prompts]
    judgment = words_as_numbers(judgment.replace(SCALE, "\ufffd"), scale)
    if not_judged := _not_judged(judgment, reasoning, prompts):
        return ParsedRating(None, not_judged, reasoning=reasoning)
    judgment = SCALES.sub(lambda match: SCALE * len(match[0]), _without_examples(judgment, prompts))
    judgment = ROUND_BRACKETS.sub(lambda match: SCALE * len(match[0]), judgment)
    statements, reason = _stated(judgment)
    if finish_reason == "length" and (reason or not _is_last_line(judgment, statements[-1])):
        reason = "the judgment was cut off by the token limit before its rating"
    elif not reason and statements[-1].value not in scale:
        reason = f"{statements[-1].value:g} is not on the scale {scale}"
    stated = tuple(statement.value for statement in statements)
    return ParsedRating(None if reason else stated[-1], reason, stated, reasoning)


def _stated(judgment: str) -> tuple[list[RatingStatement], str]:
    """Return what could be meant as the rating, and why the last of it can't be meant.

    That is what states one, or else each number in double brackets, without quotations.
    """
    statements, promised = rating_statements(judgment)
    reason = ""
    if promised > (statements[-1].start if statements else -1):
        reason = 'the last "Rating:" is not followed by a number in brackets'
    elif not statements:
        statements = [_statement(number, number.start()) for number in DOUBLE.finditer(judgment)]
        reason = "" if statements else "the judgment has no number in double brackets"
    meant = []
    for one in statements:
        around = judgment[max(0, one.start - 1) : one.start], judgment[one.end : one.end + 1]
        if one is statements[-1] or not all(map(QUOTATION_MARK.fullmatch, around)):
            meant.append(one)
    return meant, reason


def words_as_numbers(text: str, scale: Scale) -> str:
    """Return a text with the scale's words in square brackets as numbers, each at its own place."""
    numbers = scale.numbers
    if not numbers:
        return text
    words = re.compile(rf"(\[[{BLANKS}]*)({'|'.join(numbers)})([{BLANKS}]*\])", re.IGNORECASE)
    return words.sub(
        lambda match: match[1] + numbers[match[2].casefold()].ljust(len(match[2])) + match[3], text
    )


def rating_statements(text: str) -> tuple[list[RatingStatement], int]:
    """Return every number right after the word "rating", and where the last "Rating:" without one stands.

    That place is -1 where there is none.
    """
    statements, promised = [], -1
    for word in WORD.finditer(text):
        between = BEFORE_DOUBLE.match(text, word.end())
        near = BEFORE_SINGLE.match(text, word.end())
        assert between is not None and near is not None  # noqa: S101, PT018  (they match nothing, too)
        number = DOUBLE.match(text, between.end()) or SINGLE.match(text, near.end())
        if number is not None:
            statements.append(_statement(number, word.start()))
        elif not set(COLONS).isdisjoint(between[0]):
            promised = word.start()
    return statements, promised


def _statement(number: re.Match[str], start: int) -> RatingStatement:
    return RatingStatement(float(number[1]), start, number.start(), number.end())


def _is_last_line(text: str, statement: RatingStatement) -> bool:
    """Return whether the last line has only the statement, or its number, and a scale."""
    lines = text.rstrip().splitlines(keepends=True)
    begin, end = len(text.rstrip()) - len(lines[-1]), len(text.rstrip())
    if statement.number < begin:
        return False
    before, after = text[begin : max(begin, statement.start)], text[statement.end : end]
    return all(DECORATION.fullmatch(rest) for rest in (before, after))


# --- what is no judgment, and what of the prompt comes back ---


def _not_judged(judgment: str, reasoning: str, prompts: Sequence[str]) -> str:
    """Return why there is no judgment, empty where there is one.

    A judgment does not have the whole of a prompt, or of the prompt's line that shows how to rate.
    """
    if not judgment.strip():
        return "the judgment has only reasoning" if reasoning else "the judgment is empty"
    lines = [line for prompt in prompts for line in prompt.splitlines() if DOUBLE.search(line)]
    parts = [part for part in map(_words, (*prompts, *lines)) if part.count(" ") + 1 >= WORDS_OF_PART]
    judgment_words = f" {_words(judgment)} "
    returned = any(f" {part} " in judgment_words for part in parts)
    return "the judgment repeats the prompt" if returned else ""


def _words(text: str) -> str:
    return " ".join(WORDS.findall(text.casefold()))


def _without_examples(judgment: str, prompts: Sequence[str]) -> str:
    """Return the judgment without the prompt's examples of a rating, found by the words before them.

    Judges know the usual form by heart, also where the prompt has another.
    """
    judgment = FORM.sub(lambda match: " " * len(match[0]), judgment)
    for number in (number for prompt in prompts for number in DOUBLE.finditer(prompt)):
        before = WORDS.findall(number.string[max(0, number.start() - 200) : number.start()])[-WORDS_BEFORE:]
        if len(before) == WORDS_BEFORE:
            example = r"\W{1,8}".join(map(re.escape, before)) + r"[^\w\[]{0,8}" + re.escape(number[0])
            judgment = re.sub(example, lambda match: " " * len(match[0]), judgment, flags=re.IGNORECASE)
    return judgment
