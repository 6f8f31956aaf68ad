"""The output about the tasks that were made: lines for each file, and the table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pytest_instructlab_eval.data.mmlu_rows import LETTERS
from pytest_instructlab_eval.escaping import printable_name
from pytest_instructlab_eval.task_writing.drafts import REASONS
from pytest_instructlab_eval.task_writing.task_maker import FileOutcome


def file_lines(outcome: FileOutcome) -> Iterator[str]:
    """Yield the lines about a file, and about its passages where something is missing."""
    total = outcome.kept + outcome.rejected.total()
    written = f"in the task {outcome.task}" if outcome.task else "so no task"
    outcome_text = f"{outcome.kept} of {total} questions kept, {written}"
    if outcome.earlier:
        outcome_text = f"{outcome.earlier} questions of an earlier run are kept, in the task {outcome.task}"
    elif not outcome.passages:
        outcome_text = "no passage to ask about: the file has no context (version 3 of qna.yaml has contexts)"
    yield f"{printable_name(outcome.path)}: {outcome_text}"
    for passage in outcome.passages:
        if passage.kept == 0:
            reasons = [
                f"{passage.rejected[reason]} {reason}" for reason in REASONS if passage.rejected[reason]
            ]
            yield f"  line {passage.line}: no question kept: {', '.join(reasons)}"
        if passage.error is not None:
            yield f"  line {passage.line}: {passage.error}"


def summary_lines(outcomes: Sequence[FileOutcome]) -> Iterator[str]:
    """Yield the table: files, questions asked for, kept, and rejected by reason."""
    from tabulate import tabulate

    rejected: Counter[str] = Counter()
    letters: Counter[int] = Counter()
    for outcome in outcomes:
        rejected += outcome.rejected
        letters += outcome.letters
    kept = sum(outcome.kept for outcome in outcomes)
    earlier = sum(outcome.earlier for outcome in outcomes)
    rows = [
        ("knowledge files", len(outcomes)),
        ("  with a task", sum(outcome.task is not None for outcome in outcomes)),
        ("questions asked for", kept + rejected.total()),
        ("  kept", kept),
        *((f"  rejected: {reason}", rejected[reason]) for reason in REASONS if rejected[reason]),
    ]
    if earlier:
        rows.append(("questions of an earlier run", earlier))
    yield from tabulate(rows, tablefmt="plain", intfmt=",", preserve_whitespace=True).splitlines()
    if letters:
        yield "right answers: " + ", ".join(
            f"{letters[index]} {letter}" for index, letter in enumerate(LETTERS)
        )
