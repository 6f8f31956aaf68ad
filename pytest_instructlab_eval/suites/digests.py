"""Digests, which distinguish the questions of one run from those of another."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import Benchmark, Question
from pytest_instructlab_eval.suites.selection import asked_questions as asked_of

DIGITS = 12


def data_digest(benchmark: Benchmark, questions: Sequence[Question], settings: Settings) -> str | None:
    """Return a digest of all questions and references of a benchmark, however few `questions` are asked.

    None where questions are compared one by one, and where they are not known before they are asked.
    """
    if benchmark.compared == "each" or any(question.content is None for question in questions):
        return None
    whole = questions
    if settings.sample is not None or settings.first_n is not None or settings.min_tasks:
        every = dataclasses.replace(settings, sample=None, first_n=None, min_tasks=False)
        whole = asked_of(benchmark, every)
    hashed, separator = hashlib.sha256(), b"["  # as `digest` of the list, without all of MMLU in memory
    for question in whole:
        hashed.update(separator + _bytes_of(question.content))
        separator = b", "
    hashed.update(b"]")
    return hashed.hexdigest()[:DIGITS]


def digest(content: object) -> str:
    """Return a digest of a content, twelve letters and digits; empty where there is none."""
    if content is None:
        return ""
    return hashlib.sha256(_bytes_of(content)).hexdigest()[:DIGITS]


def _bytes_of(content: object) -> bytes:
    return repr(content).encode("utf-8", "replace")
