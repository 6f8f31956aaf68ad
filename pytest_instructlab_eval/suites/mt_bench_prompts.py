"""The texts around MT-Bench's questions: judge prompts, reference answers, conversation templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.judges.judge import JudgePrompt

WITH_REFERENCE = ("math", "reasoning", "coding")
TEMPLATES = {
    r"mistral|mixtral|prometheus": "mistral",
    r"labradorite": "labrador-chat",
    r"merlinite|(?s:\A(?!.*granite-(?:old|chat|code)).*granite)": "ibm-generic",
    r"granite-chat|labrador": "granite-chat",
}
"""InstructLab's conversation templates by what a model's name has in small letters, the first first."""


def conversation_template(model_name: str, *, default: str) -> str:
    """Return the name of the conversation template that InstructLab takes for a model.

    It decides by the end of the name, then by the whole; `default` is a name that stands in for one
    that it doesn't know ("granite" for candidates, "mixtral" for judges).
    """
    for name in (model_name.rstrip("/").rpartition("/")[2], model_name, default):
        for pattern, template in TEMPLATES.items():
            if re.search(pattern, name.lower()):
                return template
        if name == "gpt-4":  # InstructLab takes this name as it is written
            return "chatgpt"
    return ""


def merges_system(judge: str) -> bool:
    """Return whether InstructLab puts the system message at the head of the user's for a judge."""
    return conversation_template(judge, default="mixtral") == "mistral"


def reference_answers(
    references: Mapping[str, Mapping[str, Any]], category: str, identifier: str, turns: int, location: str
) -> tuple[str, ...]:
    """Return the reference answer to each turn of a question, none of a category that has none.

    Raises DataError where one is missing.
    """
    if category not in WITH_REFERENCE:
        return ()
    try:
        answers = tuple(str(turn) for turn in references[identifier]["choices"][0]["turns"])
    except (LookupError, TypeError):
        raise DataError(
            f"{location}: expected a reference answer for question {identifier} (got none)"
        ) from None
    if answers and len(answers) < turns:
        raise DataError(
            f"{location}: expected a reference answer for each of the {turns} turns of question {identifier} "
            f"(got {len(answers)})"
        )
    return answers


def judge_prompt(prompts: Mapping[str, Mapping[str, Any]], name: str, turn: int, file: str) -> JudgePrompt:
    """Return the prompt of that name for turn 1 or 2; raises DataError where it cannot be filled in."""
    try:
        record = prompts[name]
        prompt = JudgePrompt(
            str(record["system_prompt"]), str(record["prompt_template"]), name, merges_system=merges_system
        )
    except KeyError as error:
        raise DataError(f"{file} lacks {error} of {name}") from None
    fields = {"ref_answer_1", "ref_answer_2"}
    fields |= {"question", "answer"} if turn == 1 else {"question_1", "question_2", "answer_1", "answer_2"}
    try:
        prompt.template.format(**dict.fromkeys(fields, ""))
    except (LookupError, ValueError, AttributeError) as error:
        raise DataError(
            f"{file}: {name} cannot be filled in ({type(error).__name__}: {error}); "
            f"its braces may name {', '.join(sorted(fields))}"
        ) from None
    return prompt
