"""What of a benchmark's data a run does not ask, in sentences for the header, the terminal and summary.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_instructlab_eval.questions import base_pairs, branch_pairs, unread_lines
from pytest_instructlab_eval.settings import Settings

__all__ = ["unasked"]


def unasked(benchmark: str, settings: Settings) -> list[str]:
    """Return a sentence for each thing that the run leaves out; raises ConfigurationError."""
    found = READERS.get(benchmark)
    return [] if found is None or settings.lacks(benchmark) else found(settings)


def _of_the_taxonomy(settings: Settings) -> list[str]:
    """What is said of files that are not read, of knowledge, and of a branch without a question."""
    from pytest_instructlab_eval.taxonomy import Taxonomy

    assert settings.taxonomy is not None  # noqa: S101  (`lacks` looked)
    survey = Taxonomy(settings.taxonomy).survey(settings.branch, settings.base_branch)
    told = unread_lines(survey)
    if survey.knowledge and not settings.include_knowledge:
        told.append(_knowledge(survey.knowledge, changed=settings.base_branch is not None))
    if settings.base_branch is None:
        return told
    if not survey.files:
        told.append("the branch changes no qna.yaml")
    elif not settings.changed_only and not branch_pairs(settings) and survey.knowledge < len(survey.files):
        told.append("the branch has no pair that the base branch lacks")
    if survey.removed:
        told.append(f"the branch removes {_count(len(survey.removed), 'qna.yaml file')}")
    if settings.base_questions == "base" and not base_pairs(settings):
        told.append(f"the base model was asked nothing: none of the files is on {settings.base_branch}")
    return told


def _knowledge(count: int, *, changed: bool) -> str:
    is_left_out, their = ("is left out", "its") if count == 1 else ("are left out", "their")
    return (
        f"{_count(count, 'knowledge file')} {'changed and ' * changed}{is_left_out}: "
        f"--eval-include-knowledge asks {their} pairs, mmlu_branch {their} tasks"
    )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


READERS: Mapping[str, Callable[[Settings], list[str]]] = {"mt_bench_branch": _of_the_taxonomy}
