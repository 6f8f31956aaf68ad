"""results.json: all data of a run, for other programs (described in docs/reference/files.md)."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replacing_file
from pytest_instructlab_eval.escaping import escape_json
from pytest_instructlab_eval.records.model_identity import plain_identities
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.recorded_run import write_with_checksum
from pytest_instructlab_eval.records.results_file import SCHEMA_VERSION
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.benchmark_scores import whole_scores
from pytest_instructlab_eval.reports.run_report import RunReport

HEAD = (  # the fields of a run other than its results
    "configuration", "fingerprint", "models", "base", "gates", "standing_gates", "left_out", "incomplete",
    "tests", "notes", "silent", "adaptations", "directory", "about_these", "journal",
    "usage",
)  # fmt: skip
IDENTITIES = ("identities", "judge_identities")


def write_results(path: Path, report: RunReport) -> None:
    """Write the file whole, or not at all; raises OSError."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "checksum": "",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "plugin_version": importlib.metadata.version("pytest-instructlab-eval"),
        "headline": report.headline,
        "exit_status": report.exit_status,
        **{name: getattr(report.run, name) for name in HEAD if name != "journal" or report.run.journal},
        **{name: plain for name in IDENTITIES if (plain := plain_identities(getattr(report.run, name)))},
        **({} if report.run.inputs is None else {"inputs": report.run.inputs}),
        "ranking": report.ranking,
        "summaries": report.summaries,
        "scores": whole_scores(report),
        "verdicts": [verdict.to_plain() for verdict in report.verdicts],
        "changes": report.changes,
        "failures": report.problems,
        "failed_tests": report.failed_tests,
    }
    head = json.dumps(plain_data(document), indent=1, ensure_ascii=False).removesuffix("\n}")
    with replacing_file(path) as file:
        write_with_checksum(file, map(escape_json, _json_parts(head, report.run.results)))


def _json_parts(head: str, results: Iterable[Result]) -> Iterator[str]:
    """Yield the file's text in parts: its head, a result each, its end.

    Without an indent the C encoder writes the results, in a third of the time.
    """
    yield f'{head},\n "results": [\n  '
    for number, result in enumerate(results):
        yield (",\n  " if number else "") + json.dumps(result.to_plain(), ensure_ascii=False)
    yield "\n ]\n}\n"
