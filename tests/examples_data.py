"""Writes made-up benchmark data, in the layouts of the published files, for tests that need some."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_instructlab_eval.suites import mmlu

__all__ = ["CATEGORIES", "EXAMPLES", "SYSTEM_PROMPTS", "mmlu_rows", "write_mmlu", "write_mt_bench"]

EXAMPLES = 5  # the solved examples of each task, as many as the published files have
CATEGORIES = ("writing", "roleplay", "extraction", "math", "coding", "reasoning", "stem", "humanities")
FIRST_NUMBER = 81

# --- MMLU ---


def write_mmlu(folder: Path, rows: int = 6) -> None:
    """Write `rows` test questions and five solved examples for each of the 57 subjects."""
    for subject in mmlu.mmlu_subjects():
        _write_csv(folder / "dev" / f"{subject}_dev.csv", mmlu_rows(subject, "dev", EXAMPLES))
        _write_csv(folder / "test" / f"{subject}_test.csv", mmlu_rows(subject, "test", rows))


def mmlu_rows(subject: str, split: str, count: int) -> list[tuple[str, str, str, str, str, str]]:
    """Questions of a subject: question, A, B, C, D and the right letter, which takes all four in turn."""
    return [_mmlu_row(subject, split, number) for number in range(count)]


def _mmlu_row(subject: str, split: str, number: int) -> tuple[str, str, str, str, str, str]:
    base = 10 + 7 * number + sum(map(ord, subject + split)) % 50
    place = (number + len(subject)) % 4
    wrong = [base - 1, base + 6, base * 2]
    first, second, third, fourth = (str(value) for value in [*wrong[:place], base + 3, *wrong[place:]])
    title = subject.replace("_", " ")
    texts = (
        f"In the {split} book of {title}, what is {base} plus 3?",
        f'A "{title}" shelf has {base} books, and three more come. How many are there?',
        f"Read the note on {title}:\n{base} + 3 = ?\nWhat belongs after the sign?",
    )
    return texts[number % len(texts)], first, second, third, fourth, "ABCD"[place]


def _write_csv(path: Path, rows: Iterable[Iterable[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


# --- MT-Bench ---

SINGLE = "\n\n[Question]\n{question}\n\n"
ONE_ANSWER = "[The Start of Assistant's Answer]\n{answer}\n[The End of Assistant's Answer]"
SEVERAL = (
    "<|The Start of Assistant A's Conversation with User|>\n\n### User:\n{question_1}\n\n### Assistant A:\n"
    "{answer_1}\n\n### User:\n{question_2}\n\n### Assistant A:\n{answer_2}\n\n"
    "<|The End of Assistant A's Conversation with User|>"
)
ONE_REFERENCE = "[The Start of Reference Answer]\n{ref_answer_1}\n[The End of Reference Answer]\n\n"
TWO_REFERENCES = (
    "<|The Start of Reference Answer|>\n\n### User:\n{question_1}\n\n### Reference:\n{ref_answer_1}\n\n"
    "### User:\n{question_2}\n\n### Reference:\n{ref_answer_2}\n\n<|The End of Reference Answer|>\n\n\n"
)
ASK = 'Mark the answer from 1 to 10, and write the mark so: "[[rating]]", such as "Rating: [[5]]".'
ASK_SECOND = 'Mark the second answer from 1 to 10, and write it so: "[[rating]]", such as "Rating: [[5]]".'

JUDGE_PROMPTS: tuple[tuple[str, str, str], ...] = (
    ("single-v1", "You mark answers fairly.", f"[Task]\n{ASK}{SINGLE}{ONE_ANSWER}"),
    (
        "single-math-v1",
        "You mark answers fairly, and have a model answer.",
        f"[Task]\n{ASK}{SINGLE}{ONE_REFERENCE}{ONE_ANSWER}",
    ),
    ("single-v1-multi-turn", f"You mark talks fairly. {ASK_SECOND}", SEVERAL),
    (
        "single-math-v1-multi-turn",
        f"You mark talks fairly, and have model answers. {ASK_SECOND}",
        TWO_REFERENCES + SEVERAL,
    ),
)

BRANCH_JUDGE_PROMPT = (
    "single-math-v1",
    "You mark answers fairly, and have a model answer.",
    f"[Task]\n{ASK} An answer in the style of the model answer is better.{SINGLE}{ONE_REFERENCE}{ONE_ANSWER}",
)

SYSTEM_PROMPTS = {
    "ibm-generic": "You are a lamp keeper's helper. Be brief.",
    "granite-chat": "You are a talking lighthouse.",
    "labrador-chat": "You are a friendly dog who can write.",
    "mistral": "",
    "chatgpt": "You are a helpful clerk.",
}

TURNS: Mapping[str, tuple[str, str]] = {
    "writing": (
        "Write a postcard from a lighthouse keeper who has run out of tea.",
        "Write it again without the letter z, as a poem of four lines.",
    ),
    "roleplay": (
        "Be a grumpy ferry and tell me why you are late.",
        "A passenger says sorry to you. What do you say?",
    ),
    "extraction": (
        "List the colours in: the red boat met two blue boats and a {green} buoy.",
        "Now give them as a JSON list, sorted by the alphabet.",
    ),
    "math": (
        "A pier has 14 planks, and each storm takes 3. How many are left after 4 storms?",
        "And how many storms does it take until none is left?",
    ),
    "coding": (
        "Write a Python function that says whether a list of tides is rising.",
        "Change it so that equal neighbours count as rising too.",
    ),
    "reasoning": (
        "Ada docks before Ben, and Cem after Ben. Who docks last?",
        "Dan docks between Ada and Ben. Who docks third?",
    ),
    "stem": (
        "Why does a kettle sing before it boils?",
        "How would the sound change on a high mountain?",
    ),
    "humanities": (
        "How did canals change the towns that they passed?",
        "Tell it to a child of seven in three sentences.",
    ),
}

REFERENCES: Mapping[str, tuple[str, str]] = {
    "math": ("4 storms take 12 planks, so 2 are left.", "After 5 storms none is left."),
    "coding": (
        "def rising(tides):\n    return all(a < b for a, b in zip(tides, tides[1:]))",
        "def rising(tides):\n    return all(a <= b for a, b in zip(tides, tides[1:]))",
    ),
    "reasoning": ("Cem docks last.", "Ben docks third."),
}


def write_mt_bench(folder: Path) -> None:
    """Write eight questions of two turns, one a category, with all that it takes to ask and judge them.

    And MT-Bench-Branch's own judge prompt, in a folder in there.
    """
    numbered = [(FIRST_NUMBER + place, category) for place, category in enumerate(CATEGORIES)]
    _write_jsonl(folder / "question.jsonl", (_question(*entry) for entry in numbered))
    _write_jsonl(folder / "judge_prompts.jsonl", (_judge_prompt(*entry) for entry in JUDGE_PROMPTS))
    _write_jsonl(
        folder / "reference_answer" / "gpt-4.jsonl",
        (_reference(number, category) for number, category in numbered if category in REFERENCES),
    )
    _write_jsonl(folder / "mt_bench_branch" / "judge_prompts.jsonl", [_judge_prompt(*BRANCH_JUDGE_PROMPT)])
    (folder / "system_prompts.json").write_text(json.dumps(SYSTEM_PROMPTS, indent=1), encoding="utf-8")


def _question(number: int, category: str) -> dict[str, Any]:
    record: dict[str, Any] = {"question_id": number, "category": category, "turns": list(TURNS[category])}
    if category in REFERENCES:
        record["reference"] = list(REFERENCES[category])
    return record


def _judge_prompt(name: str, system_prompt: str, template: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "single",
        "system_prompt": system_prompt,
        "prompt_template": template,
        "description": "A prompt for the tests",
        "category": "math" if "math" in name else "general",
        "output_format": "[[rating]]",
    }


def _reference(number: int, category: str) -> dict[str, Any]:
    return {
        "question_id": number,
        "answer_id": f"reference-{number}",
        "model_id": "gpt-4",
        "choices": [{"index": 0, "turns": list(REFERENCES[category])}],
        "tstamp": 1700000000.0,
    }


def _write_jsonl(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
