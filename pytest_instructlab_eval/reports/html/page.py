"""report.html as a whole: the run's data put into the page's template, with its style and its scripts."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from pytest_instructlab_eval.escaping import escape_line
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.reports.history import NO_HISTORY, RunHistory
from pytest_instructlab_eval.reports.html.history_chart import HistoryBlock, history_blocks
from pytest_instructlab_eval.reports.html.overview import (
    ChangeCard,
    GateCard,
    change_cards,
    change_text,
    gate_cards,
    headline_sentence,
    score_text,
)
from pytest_instructlab_eval.reports.html.page_data import page_data
from pytest_instructlab_eval.reports.html.question_details import visible
from pytest_instructlab_eval.reports.html.score_blocks import ScoreBlock, score_blocks
from pytest_instructlab_eval.reports.ranking_table import (
    RankCells,
    doubts_about_best,
    interval_head,
    rank_cells,
)
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.reports.totals import time_and_cost, totals_table
from pytest_instructlab_eval.reports.verdicts import family_note, verdict_counts

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

ASSETS = "pytest_instructlab_eval.reports.html"
SCRIPTS = ("dom", "data", "filters", "list", "differences", "question", "main")  # in the order of their use
MOST_NOTES = 50
LONGEST_SENTENCE = 2_000  # characters of a name or a sentence outside the questions


@dataclass(frozen=True)
class Page:
    """All that the template shows but the questions."""

    verdict: str
    headline: str
    models: tuple[str, ...]
    meta: tuple[str, ...]
    findings: tuple[str, ...]
    gates: tuple[GateCard, ...]
    gate_counts: str
    default_gates: int
    changes: tuple[ChangeCard, ...]
    ranking: tuple[RankCells, ...]
    ranking_interval: str
    ranking_notes: tuple[str, ...]
    blocks: tuple[ScoreBlock, ...]
    history: tuple[HistoryBlock, ...]
    history_notes: tuple[str, ...]
    totals_meta: str
    totals_head: tuple[str, ...]
    totals: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, str], ...]


def html_page(report: RunReport, history: RunHistory = NO_HISTORY) -> str:
    """Return the page of a run, one file that needs nothing else; `history` has the runs before it too."""
    from markupsafe import Markup

    table = report.questions
    style = _asset("page.css")
    script = "".join(['(() => {\n"use strict";\n', *(_asset(f"{name}.js") for name in SCRIPTS), "})();\n"])
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    style_digest, script_digest = digests
    policy = (  # this style, this script, and no network at all
        f"default-src 'none'; style-src 'sha256-{style_digest}'; script-src 'sha256-{script_digest}'; "
        "img-src data:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    # First the intervals and then the questions' rows, since each need much memory.
    page = _page(report, score_blocks(report, table), change_cards(report, table), history)
    data = page_data(table)
    return page_template().render(
        page=page,
        data={  # base64 needs no escaping, and must not be cut
            "index": Markup(data.index),  # noqa: S704
            "details": [Markup(text) for text in data.details],  # noqa: S704
        },
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own files)
        policy=Markup(policy),  # noqa: S704  (our own)
        score=score_text,
        breakable=_breakable,
        change=change_text,
    )


@functools.cache
def page_template() -> Template:
    """Return the compiled template, which takes longer to compile than to fill in."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # A text of strangers is cut, and what hides or reorders text is written out; our own is a Markup.
        finalize=lambda value: visible(value, LONGEST_SENTENCE) if type(value) is str else value,
    )
    return environment.from_string(_asset("page.html.j2"))


def _asset(name: str) -> str:
    return (files(ASSETS) / "assets" / name).read_text("utf-8")


def _breakable(name: str) -> Markup:
    """Return a name that may be broken behind its separators, and not amid its words."""
    from markupsafe import Markup

    parts = re.split(r"(?<=[/_:.-])(?=\w)", visible(name, LONGEST_SENTENCE) or "")
    return Markup("<wbr>").join(parts)  # join escapes the parts


def _page(
    report: RunReport, blocks: Sequence[ScoreBlock], changes: Sequence[ChangeCard], history: RunHistory
) -> Page:
    run, gates = report.run, gate_cards(report.verdicts)
    findings = (*report.problems, *filter(None, (report.not_gated, family_note(report.verdicts))))
    shown = {(summary.benchmark, summary.model) for summary in report.summaries}
    over_time = history_blocks(history, shown)
    head, totals = totals_table(run)
    sections = {
        "gates": gates, "changes": changes, "ranking": report.ranking, "scores": blocks,
        "history": over_time, "totals": totals,
    }  # fmt: skip
    return Page(
        verdict=report.headline,
        headline=headline_sentence(report),
        models=tuple(report.candidates),
        meta=tuple(_run_facts(report)),
        findings=tuple(dict.fromkeys(findings))[:MOST_NOTES],
        gates=tuple(gates),
        gate_counts=verdict_counts(report.verdicts),
        default_gates=sum(gate.default for gate in gates),
        changes=tuple(changes),
        ranking=tuple(rank_cells(report.ranking)),
        ranking_interval=interval_head(report.ranking),
        ranking_notes=tuple(doubts_about_best(report.ranking)) if report.ranking else (),
        blocks=tuple(blocks),
        history=tuple(over_time),
        history_notes=(*history.notes, *history.unread)[:MOST_NOTES],
        totals_meta=time_and_cost(run),
        totals_head=tuple(head),
        totals=tuple(map(tuple, totals)),
        notes=(*run.adaptation_notes, *run.notes)[:MOST_NOTES],
        settings=tuple(
            (name, escape_line(json.dumps(plain_data(value), ensure_ascii=False)))
            for name, value in run.configuration.items()
        ),
        sections=(
            *((name, name.capitalize()) for name, has in sections.items() if has),
            ("questions", "Questions"),
            ("run", "Run"),
        ),
    )


def _run_facts(report: RunReport) -> Iterator[str]:
    """Yield the facts at the top of the page: the scored questions, the base model, the judges."""
    yield f"{sum(summary.overall.n for summary in report.summaries):,} scored questions"
    if report.run.base is not None:
        yield f"base model {report.run.base}"
    if judges := dict.fromkeys(result.judge for result in report.run.results if result.judge):
        yield f"judged by {'; '.join(judges)}"
