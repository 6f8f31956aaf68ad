"""How an answer is graded: a Protocol, and an implementation a file."""

from pytest_instructlab_eval.judges.llm import Grader, Judge
from pytest_instructlab_eval.judges.panel import Panel
from pytest_instructlab_eval.judges.reference import ReferenceJudge

__all__ = ["Grader", "Judge", "Panel", "ReferenceJudge"]
