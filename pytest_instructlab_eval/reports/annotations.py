"""Annotations of the pairs that got worse, at their lines: GitHub's workflow commands, GitLab's code quality.

GitHub: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands. The escaping is
that of the runner, which takes `%25`, `%0D` and `%0A` in all values, and `%3A` and `%2C` in properties.
GitLab: https://docs.gitlab.com/ci/testing/code_quality/, the part of Code Climate's format that it reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.worse_questions import WorseQuestion, worse_questions

Level = Literal["error", "warning"]
LEVELS: tuple[Level, ...] = ("error", "warning")
SEVERITIES: Mapping[Level, str] = {"error": "major", "warning": "minor"}  # of GitLab
SHOWN = 10  # annotations of a level in a step; GitHub drops the others
LONGEST = 2_000  # characters of a message
CODE_QUALITY = "gl-code-quality.json"
IN_VALUE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
IN_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


@dataclass(frozen=True)
class Annotation:
    """A sentence about a pair, at a line of its file; `line` is None where it is unknown.

    It is an error where the pair is one of those behind a failed gate. `identity` tells the pair from all
    others, and is the same in later runs.
    """

    level: Level
    path: str
    line: int | None
    title: str
    message: str
    benchmark: str
    identity: tuple[str, ...]


def pair_annotations(report: RunReport, folder: str = "") -> list[Annotation]:
    """Return an annotation for each pair of a `qna.yaml` that got worse, the largest drop first.

    `folder` is the path of the taxonomy inside its repository, with slashes. A pair is among them where its
    change is more than chance may make: see `WorseQuestion`.
    """
    several = len({entry.model for entry in report.changes}) > 1
    return [
        _annotation(question, folder, several=several)
        for question in worse_questions(report)
        if question.origin.qna_file is not None and question.is_noteworthy
    ]


def _annotation(question: WorseQuestion, folder: str, *, several: bool) -> Annotation:
    origin = question.origin
    # A path that a log cannot show is written out. Nothing is then annotated, but no line is forged either.
    path = escape_line("/".join(part for part in (folder, origin.qna_file) if part))
    before, after = f"{question.before:.4g}", f"{question.after:.4g} of {question.maximum:g}"
    scores = f"{before} with {question.against}, {after} with {question.model}"
    if question.against == question.model:
        scores = f"{before} in the baseline, {after} now"
    reasons = {
        f"{question.failed_gate} failed": question.failed_gate is not None,
        "flipped": question.flipped,
        "the drop of the mean is certain": question.certain,
    }
    why = "; ".join(reason for reason, applies in reasons.items() if applies)
    return Annotation(
        level="warning" if question.failed_gate is None else "error",
        path=path,
        line=origin.qna_line,
        title=escape_line(f"{question.benchmark}: this pair got worse")[:LONGEST],
        message=escape_line(f"{scores}: {why} ({question.name})")[:LONGEST],
        benchmark=question.benchmark,
        identity=(
            question.benchmark, path, origin.question_id or question.name,
            *([question.model] if several else []),
        ),
    )  # fmt: skip


def github_commands(found: Sequence[Annotation]) -> list[str]:
    """Return the lines that GitHub's runner reads: the worst pairs, and how many more there are."""
    lines, more = [], []
    for level in LEVELS:
        of_level = [entry for entry in found if entry.level == level]
        for entry in of_level[:SHOWN]:
            fields = {"file": entry.path, "line": entry.line, "title": entry.title}
            properties = ",".join(
                f"{name}={str(value).translate(IN_PROPERTY)}"
                for name, value in fields.items()
                if value is not None  # without its line it is about the whole file
            )
            lines.append(f"::{level} {properties}::{entry.message.translate(IN_VALUE)}")
        if count := len(of_level[SHOWN:]):
            more.append(f"{count:,} {level}{'' if count == 1 else 's'}")
    if more:
        text = f"{' and '.join(more)} more: GitHub shows {SHOWN} of each; report.html has all pairs"
        lines.append(f"::notice title=More pairs got worse::{text}")
    return lines


def code_quality(found: Sequence[Annotation]) -> str:
    """Return GitLab's file of code quality; an empty list says that no pair got worse."""
    issues = [
        {
            "description": f"{entry.title}: {entry.message}",
            "check_name": f"pytest-instructlab-eval/{entry.benchmark}",
            "fingerprint": hashlib.sha256(json.dumps(entry.identity).encode()).hexdigest(),
            "severity": SEVERITIES[entry.level],
            "location": {"path": entry.path, "lines": {"begin": entry.line or 1}},
        }
        for entry in found
    ]
    return json.dumps(issues, indent=1, ensure_ascii=False) + "\n"
