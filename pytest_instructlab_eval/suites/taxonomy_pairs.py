"""The pairs of a taxonomy that a run asks, and sentences about those that it does not ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.escaping import printable_name
from pytest_instructlab_eval.settings import Settings

if TYPE_CHECKING:
    from pytest_instructlab_eval.data.taxonomy import QnaPair, Survey, Taxonomy

MOST_NAMED = 10  # files in one message


def branch_pairs(settings: Settings) -> list[QnaPair]:
    """Return the pairs of --eval-taxonomy that are asked: all, those that are new, or the changed files'."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    if settings.taxonomy is None:
        raise ConfigurationError(
            "MT-Bench-Branch needs --eval-taxonomy, the repository of the qna.yaml files"
        )
    taxonomy, old = Taxonomy(settings.taxonomy), set()
    if settings.base_branch is not None and not settings.changed_only and settings.base_questions == "same":
        before = taxonomy.fork(settings.base_branch, settings.branch)
        earlier = taxonomy.read(before, include_knowledge=True, may_be_empty=True)
        old = {pair.content for file in earlier for pair in file.pairs}
    return [pair for pair in _pairs_at_ref(taxonomy, settings.branch, settings) if pair.content not in old]


def base_pairs(settings: Settings) -> list[QnaPair]:
    """Return the pairs of the base branch that are asked."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    assert settings.taxonomy is not None  # noqa: S101  (the branch's own were read before)
    return _pairs_at_ref(Taxonomy(settings.taxonomy), settings.base_branch, settings)


def _pairs_at_ref(taxonomy: Taxonomy, ref: str | None, settings: Settings) -> list[QnaPair]:
    """Return the pairs at a ref, of the selected files; raises DataError where a change is not read."""
    changed = None
    if settings.base_branch is not None and settings.changed_only:
        survey = taxonomy.survey(settings.branch, settings.base_branch)
        if survey.unread:
            lines = unread_lines(survey)
            head = [] if len(lines) == 1 else ["the branch has files that are not read"]
            raise DataError("\n  ".join([*head, *lines]))
        changed = survey.files
    files = taxonomy.read(
        ref,
        include_knowledge=settings.include_knowledge,
        only=changed,
        may_be_empty=settings.base_branch is not None,
    )
    return [pair for file in files for pair in file.pairs]


def taxonomy_in_repository(settings: Settings) -> str:
    """Return the taxonomy's path inside its Git repository; empty for the repository's top."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    return "" if settings.taxonomy is None else Taxonomy(settings.taxonomy).folder_in_repository()


def unread_lines(survey: Survey) -> list[str]:
    """Return a sentence for each file that is not read, ten at most, and how many more there are."""
    lines = [f"{printable_name(path)} is not read: {reason}" for path, reason in survey.unread.items()]
    more = len(lines) - MOST_NAMED
    return lines if more <= 0 else [*lines[:MOST_NAMED], f"{more:,} more files are not read"]


def unasked_pairs(settings: Settings) -> list[str]:
    """Return sentences about unread and removed files, knowledge, and a branch without a question."""
    from pytest_instructlab_eval.data.taxonomy import Taxonomy

    if settings.taxonomy is None:
        return []  # the questions are those of an earlier run, to be judged
    survey = Taxonomy(settings.taxonomy).survey(settings.branch, settings.base_branch)
    notes = unread_lines(survey)
    if survey.knowledge and not settings.include_knowledge:
        are, their = ("is", "its") if survey.knowledge == 1 else ("are", "their")
        changed = "changed and " if settings.base_branch is not None else ""
        notes.append(
            f"{_count(survey.knowledge, 'knowledge file')} {changed}{are} left out: "
            f"--eval-include-knowledge asks {their} pairs, and mmlu_branch {their} tasks"
        )
    return notes if settings.base_branch is None else [*notes, *_branch_notes(survey, settings)]


def _branch_notes(survey: Survey, settings: Settings) -> Iterator[str]:
    """Yield sentences about a branch that has no new questions, or fewer files than the base branch."""
    if not survey.files and not survey.unread:
        yield "the branch changes no qna.yaml"
    elif (
        survey.files
        and not settings.changed_only
        and not branch_pairs(settings)
        and survey.knowledge < len(survey.files)
    ):
        yield "the branch has no new pair: the base branch has all of them"
    if survey.removed:
        yield f"the branch removes {_count(len(survey.removed), 'qna.yaml file')}"
    if settings.base_questions == "base" and not base_pairs(settings):
        yield f"the base model was asked nothing: {settings.base_branch} has none of the files"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
