"""A teacher's multiple-choice questions: read out of its reply, checked by their form, put in order."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.data.mmlu_rows import LETTERS
from pytest_instructlab_eval.models.reasoning import split_judgment

# The reasons why a question is rejected, as the user reads them.
NOT_WRITTEN = "not written"
CUT_OFF = "cut off by --max-tokens"
INCOMPLETE = "incomplete"
ALIKE = "two equal choices"
ABOUT_OTHERS = "a choice mentions the others"
ABOUT_PASSAGE = "mentions the passage"
NOT_CONFIRMED = "not confirmed by a second answer"
DUPLICATE = "a duplicate"
FAILED = "the teacher gave no reply"
REASONS = (
    NOT_WRITTEN, CUT_OFF, INCOMPLETE, ALIKE, ABOUT_OTHERS, ABOUT_PASSAGE, NOT_CONFIRMED, DUPLICATE, FAILED,
)  # fmt: skip

MOST_QUESTION = 1000  # characters
MOST_CHOICE = 300
MOST_REPLY = 100_000
MOST_OPENINGS = 1000  # brackets at which a reply's JSON may begin
DEEPEST = 4  # levels of JSON round a question

# A choice like "all of the above" or "both A and B" means something else once the choices are shuffled.
OTHERS = re.compile(
    r"\b(?:all|none|both|either|neither|any) of"
    r" (?:the above|these|those|them|the (?:others?|choices|answers)\b)"
    r"|\ball the above\b|\b(?:both|neither|either) \(?[a-d]\)? (?:and|or|nor) \(?[a-d]\)?(?!\w)",
    re.IGNORECASE,
)
LETTERED = re.compile(r"\(?[A-Da-d1-4][).:] ")  # one choice may be "A. Smith", but hardly all four
# Who is asked later doesn't see the passage.
TEXTS = r"(?:text|context|document|article|paragraph|section)\b"
PASSAGE = re.compile(
    r"\b(?:passage|excerpt)\b"
    r"|\b(?:according to|based on|(?:mentioned|described|stated|given|listed|discussed) in) (?:the|this)"
    rf" (?:above |given |provided |following )?{TEXTS}"
    rf"|\b(?:this|above|given|provided) {TEXTS}",
    re.IGNORECASE,
)
IN_WORDS = re.compile(r"\b(?i:answer)\W{1,10}(?:(?i:is)\W{1,10})?([A-D])\b")


@dataclass(frozen=True)
class Draft:
    """A question as the teacher gave it, each text one line; `wrong` are three other answers.

    `passage` is the text that the question was asked about.
    """

    question: str
    answer: str
    wrong: tuple[str, str, str]
    passage: str = ""

    @property
    def flaw(self) -> str | None:
        """Return why it cannot be asked without the passage and with shuffled choices; None where it can."""
        choices = (self.answer, *self.wrong)
        plain = (unicodedata.normalize("NFC", choice).casefold() for choice in choices)
        if len({choice.strip("\"'").rstrip(". ") for choice in plain}) < len(choices):
            return ALIKE
        if any(map(OTHERS.search, choices)) or all(map(LETTERED.match, choices)):
            return ABOUT_OTHERS
        return ABOUT_PASSAGE if PASSAGE.search(self.question) else None


@dataclass(frozen=True)
class TaskQuestion:
    """A question with its choices in order; `answer` is the index of the right one, `passage` its text."""

    question: str
    choices: tuple[str, ...]
    answer: int
    passage: str = ""


def read_drafts(reply: str) -> list[Draft | str]:
    """Return the questions in a teacher's reply; for one that can't be taken, the reason.

    A reply is JSON, with or without other text round it. Of one that breaks off, the questions before
    the break are taken. A draft in the teacher's reasoning is none.
    """
    _, reply = split_judgment(reply)
    return [_draft(record) for value in _json_values(reply) for record in _question_objects(value, DEEPEST)]


def chosen_letter(reply: str) -> str | None:
    """Return the letter that a reply chooses, None where it chooses none; its reasoning chooses nothing."""
    _, reply = split_judgment(reply)
    answers = [
        value["answer"] for value in _json_values(reply) if isinstance(value, dict) and "answer" in value
    ]
    if answers:
        letter = str(answers[-1]).strip()
        return letter if letter in LETTERS else None
    alone = re.fullmatch(r"\W*([A-D])\W*", reply)
    letters = [alone[1]] if alone else IN_WORDS.findall(reply)
    return letters[-1] if letters else None


def without_duplicates(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the first of those that ask in the same words, in whatever order the words are."""
    first: dict[frozenset[str], Draft] = {}
    for draft in drafts:
        first.setdefault(frozenset(re.findall(r"\w+", draft.question.casefold())), draft)
    return list(first.values())


def arrange_questions(drafts: Sequence[Draft], draw: random.Random) -> list[TaskQuestion]:
    """Return the questions with shuffled choices: no letter is right more than once oftener than another."""
    rounds = -(-len(drafts) // len(LETTERS))
    indices = [index for _ in range(rounds) for index in draw.sample(range(len(LETTERS)), len(LETTERS))]
    indices = indices[: len(drafts)]
    draw.shuffle(indices)
    questions = []
    for draft, index in zip(drafts, indices, strict=True):
        choices = draw.sample(draft.wrong, len(draft.wrong))
        choices.insert(index, draft.answer)
        questions.append(TaskQuestion(draft.question, tuple(choices), index, draft.passage))
    return questions


# --- out of a reply ---


def _json_values(text: str) -> Iterator[object]:
    """Yield every JSON object or list in a text that isn't inside another one."""
    decoder = json.JSONDecoder()
    text = text[:MOST_REPLY]
    opening = re.compile(r"[{\[]")
    position = 0
    for _ in range(MOST_OPENINGS):
        match = opening.search(text, position)
        if match is None:
            return
        try:
            value, position = decoder.raw_decode(text, match.start())
        except RecursionError:  # no teacher means anything so deep
            return
        except ValueError:  # it isn't JSON, or breaks off: what is inside it may be
            position = match.end()
            continue
        yield value


def _question_objects(value: object, depth: int) -> Iterator[Mapping[str, object]]:
    """Yield the objects with a question in a JSON value."""
    if isinstance(value, dict) and "question" in value:
        yield value
    elif depth and isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _question_objects(inner, depth - 1)


def _draft(record: Mapping[str, object]) -> Draft | str:
    question = _one_line_text(record["question"], MOST_QUESTION)
    answer = _one_line_text(record.get("answer"), MOST_CHOICE)
    listed = record.get("wrong_answers")
    wrong = [_one_line_text(text, MOST_CHOICE) for text in listed] if isinstance(listed, list) else []
    if question is None or answer is None or len(wrong) != len(LETTERS) - 1:
        return INCOMPLETE
    first, second, third = wrong
    if first is None or second is None or third is None:
        return INCOMPLETE
    draft = Draft(question, answer, (first, second, third))
    return draft.flaw or draft


def _one_line_text(value: object, most: int) -> str | None:
    """Return a text as one line; None where it is none, or holds what no file or terminal should get."""
    if not isinstance(value, str):
        return None
    line = " ".join(value.split())
    if not line or len(line) > most or any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in line):
        return None
    return line
