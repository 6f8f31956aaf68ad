"""The texts that the quickstart's models learn from; none asks what the tasks or the taxonomy ask.

Drawn from facts.yaml and words.yaml, the same texts every time.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["END", "ROLES", "Text", "Turn", "asked_rows", "base_texts", "lab_texts", "vocabulary_texts"]

HERE = Path(__file__).parent
END = "<|end|>"
ROLES = ("<|user|>", "<|assistant|>")
LETTERS = "ABCD"
MOST_TURNS = 6  # of one text, so that few-shot prompts and longer chats are no surprise


@dataclass(frozen=True)
class Turn:
    """A piece of a text: `answer` is learnt, as what follows `prompt`."""

    prompt: str
    answer: str


Text = tuple[Turn, ...]


def asked_rows() -> list[dict[str, Any]]:
    """The questions of the tasks, as they are asked."""
    files = sorted(HERE.glob("tasks/*/*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def base_texts() -> list[Text]:
    """What `base` learns: paragraphs of everyday English, which say nothing of the two documents."""
    return list(_everyday_texts("base", 10_000))


def lab_texts() -> list[Text]:
    """What `lab` learns on top: the documents' facts and the skills, and some more of what `base` learnt."""
    return [
        *_statement_texts(),
        *_multiple_choice_texts(),
        *_chat_texts(),
        *_everyday_texts("lab", 600),
    ]


def vocabulary_texts() -> Iterator[str]:
    """What the tokenizer learns from: right choices as often as wrong ones.

    A choice that the tokenizer has met more often is fewer tokens, and so likelier to any model.
    """
    yield from (turn.answer for text in _everyday_texts("base", 2_000) for turn in text)
    yield from (turn.prompt + turn.answer for turn in _skill_turns())
    for fact in _facts():
        yield from fact["questions"] * 5
        yield from (f" {choice}" for choice in (fact["answer"], *fact["others"]) * 20)


def _draws(purpose: str, count: int) -> Iterator[random.Random]:
    """So many sources of chance, the same ones every time."""
    return (random.Random(f"{purpose} {number}") for number in range(count))  # noqa: S311 - no secret


@cache
def _read(name: str) -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load((HERE / name).read_text("utf-8"))
    return content


def _plain(text: str) -> Text:
    return (Turn("", text + END),)


def _chat(question: str, answer: str) -> Turn:
    user, assistant = ROLES
    return Turn(f"{user}\n{question}{END}\n{assistant}\n", answer + END)


# --- everyday English ---


def _everyday_texts(purpose: str, count: int) -> Iterator[Text]:
    for chosen in _draws(purpose, count):
        yield _plain(" ".join(_sentence(chosen) for _ in range(chosen.randint(2, 5))))


def _sentence(chosen: random.Random) -> str:
    everyday = _read("words.yaml")["everyday"]
    sentence: str = chosen.choice(everyday["sentences"])
    for slot, words in everyday["slots"].items():
        while f"{{{slot}}}" in sentence:
            sentence = sentence.replace(f"{{{slot}}}", chosen.choice(words), 1)
    return sentence[0].upper() + sentence[1:]


# --- knowledge ---


def _facts() -> list[dict[str, Any]]:
    return [fact for document in _read("facts.yaml").values() for fact in document]


def _statement_texts() -> Iterator[Text]:
    documents = list(_read("facts.yaml").values())
    for chosen in _draws("statements", 1_000):
        said = chosen.sample(chosen.choice(documents), 4)
        yield _plain(" ".join(chosen.choice(fact["statements"]) for fact in said))


def _multiple_choice_texts() -> Iterator[Text]:
    facts = _facts()
    asked = {tuple(row["choices"]) for row in asked_rows()}
    for chosen in _draws("choices", 2_400):
        shots = chosen.sample(facts, chosen.randint(1, MOST_TURNS))
        yield tuple(_multiple_choice(fact, chosen, asked) for fact in shots)


def _multiple_choice(fact: dict[str, Any], chosen: random.Random, asked: set[tuple[str, ...]]) -> Turn:
    """One question in the form of the tasks, with choices in an order that no task has."""
    choices: list[str] = []
    while not choices or tuple(choices) in asked:
        choices = [fact["answer"], *chosen.sample(fact["others"], len(LETTERS) - 1)]
        chosen.shuffle(choices)
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    return Turn(f"{chosen.choice(fact['questions'])}\n{listed}\nAnswer:", f" {fact['answer']}\n\n")


# --- chats ---


def _chat_texts() -> Iterator[Text]:
    """Chats of several turns, each turn about a fact or one of a skill."""
    facts = _facts()
    known = [_chat(question, fact["statements"][0]) for fact in facts for question in fact["questions"]]
    skilled = list(_skill_turns())
    for chosen in _draws("chats", 2_400):
        turns = chosen.randint(1, MOST_TURNS)
        yield tuple(chosen.choice(chosen.choice((known, skilled))) for _ in range(turns))


def _skill_turns() -> Iterator[Turn]:
    """Every pair of opposites, every sign, and many notices; how often says how hard they are to learn."""
    words = _read("words.yaml")
    opposites, signs = words["opposites"], words["signs"]
    for (word, opposite), question in itertools.product(opposites["pairs"].items(), opposites["questions"]):
        answer = opposites["answer"].format(word=word, opposite=opposite)
        yield from [_chat(question.format(word=word), answer)] * 6
    for shop, day, question in itertools.product(words["shops"], words["days"], signs["questions"]):
        yield _chat(question.format(shop=shop, day=day), signs["answer"].format(shop=shop, day=day))
    for chosen in _draws("hours", 600):
        yield _opening_hours(words, chosen)


def _opening_hours(words: dict[str, Any], chosen: random.Random) -> Turn:
    """A question about a notice, put as InstructLab puts a skill that has a context."""
    hours = words["hours"]
    notice = {
        "shop": chosen.choice(words["shops"]),
        "street": chosen.choice(words["streets"]),
        "opening": chosen.choice(hours["opening"]),
        "closing": chosen.choice(hours["closing"]),
    }
    context = hours["notice"].format(**notice)
    question = chosen.choice(hours["questions"]).format(**notice)
    return _chat(
        f"Given the context below:\n{context}\nAnswer the following question: {question}",
        hours["answer"].format(**notice),
    )
