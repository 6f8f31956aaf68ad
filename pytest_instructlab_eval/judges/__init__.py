"""Judges, which grade answers: what a judge is, and one judge per file."""

from pytest_instructlab_eval.judges.blocking_judge import BlockingJudge
from pytest_instructlab_eval.judges.judge import Judge, JudgePrompt, Submission
from pytest_instructlab_eval.judges.llm import LLMJudge
from pytest_instructlab_eval.judges.panel import Panel
from pytest_instructlab_eval.judges.reference import ReferenceJudge
from pytest_instructlab_eval.judges.scale import ONE_TO_FIVE, ONE_TO_TEN, PASS_OR_FAIL, ZERO_TO_ONE, Scale

__all__ = [
    "ONE_TO_FIVE",
    "ONE_TO_TEN",
    "PASS_OR_FAIL",
    "ZERO_TO_ONE",
    "BlockingJudge",
    "Judge",
    "JudgePrompt",
    "LLMJudge",
    "Panel",
    "ReferenceJudge",
    "Scale",
    "Submission",
]
