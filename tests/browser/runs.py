"""Made-up runs whose pages the browser opens: judged conversations, multiple choice, several models."""

from __future__ import annotations

import random

from pytest_instructlab_eval.records.evidence import Chat, Evidence, Judgment, ModelReply
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.samples import Sample
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.records.usage import ModelUsage, RunUsage

CATEGORIES = ("writing", "roleplay", "math", "coding")
SUBJECTS = ("anatomy", "astronomy", "virology")
QUESTIONS = 12  # of each category or subject


def judged_run() -> Run:
    """Two turns a question, two judges, against a base model; the candidate is worse at coding."""
    results = [
        judged_result(model, f"{number}-{category}", category, drop=model == "lab" and category == "coding")
        for model in ("lab", "base")
        for category in CATEGORIES
        for number in range(81, 81 + QUESTIONS)
    ]
    usage = RunUsage(
        75.0, (ModelUsage("model", "lab", 96, 12_000, 48_000), ModelUsage("judge", "one", 192, 9, 9))
    )
    return Run(
        tuple(results),
        {"price_in": ["1"], "price_out": ["10"]},
        models={"lab": "lab", "base": "base"},
        base="base",
        gates=("mt_bench >= 6", "mt_bench.drop <= 0.1", "mt_bench[coding] >= 7 surely"),
        usage=usage,
    )


def judged_result(model: str, name: str, category: str, *, drop: bool) -> Result:
    draw = random.Random(f"{model} {name}")
    ratings = [1.0 if drop else float(draw.randint(6, 10)) for _ in range(2)]
    scores, chats, messages = [], [], [{"role": "system", "content": "Be careful."}]
    for turn, rating in enumerate(ratings, 1):
        question = f"Turn {turn} of {name}: what does the {category} book say?"
        answer = f"The {model} model says that page {turn} of the {category} book is about {name}."
        messages = [*messages, {"role": "user", "content": question}]
        finish = "length" if name == "81-math" else "stop"
        chats.append(Chat(tuple(messages), answer, finish, "Let me think.", 20, 90, 0.5, 0.7, 1024, turn))
        messages = [*messages, {"role": "assistant", "content": answer}]
        judgments = tuple(
            Judgment(
                rating,
                f"Judge {judge} finds this {'wrong' if drop else 'good'}.",
                judge,
                contradictory=(2.0, 9.0) if (judge, name) == ("two", "82-math") else (),
            )
            for judge in ("one", "two")
        )
        evidence = Evidence(
            question,
            "A reference.",
            (ModelReply(answer, finish, "Let me think."),),
            judgments,
            "single-v1",
            turn=turn,
        )
        scores.append(Score(rating, f"turn_{turn}", 10, evidence=evidence))
    return Result("mt_bench", name, category, model, "one, two", tuple(scores), chats=tuple(chats))


def choices_run(*models: str, seed: int = 0, questions: int = QUESTIONS) -> Run:
    """Questions of multiple choice, of which each model has three of four right."""
    results = [
        Result("mmlu", subject, subject, model, scores=(task_score(f"{seed} {model} {subject}", questions),))
        for model in models
        for subject in SUBJECTS
    ]
    return Run(tuple(results), models={model: model for model in models}, gates=("mmlu >= 0.9",))


def task_score(seed: str, questions: int) -> Score:
    draw = random.Random(seed)
    samples = [choice_sample(str(number), draw.random() < 0.75) for number in range(questions)]
    return Score.mean_of(samples, metric="acc")


def choice_sample(name: str, right: bool) -> Sample:
    chosen = "B" if right else "D"
    logprobs = tuple(-0.1 if letter == chosen else -3.0 for letter in "ABCD")
    texts = ("red", "green", "blue", "none of them")
    question = f"Which colour has number {name}?"
    return Sample(
        name, float(right), chosen, "B", logprobs, question=question, choices=texts, way="token_ids"
    )
