"""inspect logs (`.eval`), one for each benchmark and model, written without inspect.

Such a file is a zip of JSON files: `header.json`, `summaries.json`, `_journal/start.json` and one file a
sample (https://inspect.aisi.org.uk/eval-logs.html). tests/e2e/test_viewers.py reads them with inspect-ai.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import io
import itertools
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_bytes
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.answered_questions import (
    AnsweredQuestion,
    answered_questions,
    named_scores,
)
from pytest_instructlab_eval.reports.benchmark_scores import (
    BenchmarkScore,
    fingerprint_of,
    judge_names,
    summary_scores,
)
from pytest_instructlab_eval.reports.exports.inspect_samples import Plain, failure, samples_of, short_digest
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.stats.summary import Summary, SummaryRow
from pytest_instructlab_eval.stats.values import main_metric

VERSION = 2  # of the format
LONGEST_ID = 200  # characters of a sample's id, which is the name of a file in the zip
LONGEST_TASK = 60
UNFIT = re.compile(r"[^\w !#$&'()+,.:;=@\[\]^{}~/-]|\.\.+|^/|/$")
DATED = "%Y-%m-%dT%H-%M-%S-00-00"
PACKAGE = "pytest-instructlab-eval"


def write_inspect_logs(report: RunReport, folder: Path, ended: datetime.datetime) -> None:
    """Write the logs of a run that ended at this time (UTC); raises OSError."""
    for summary in report.summaries:
        InspectLog(report, summary, ended).write(folder)


def sample_ids(names: Sequence[str]) -> list[str]:
    """Return ids for samples of these names that are unique and fit for file names in a zip."""
    ids: list[str] = []
    seen: set[str] = set()
    for name in names:
        plain = UNFIT.sub("_", name)[:LONGEST_ID] or "_"
        numbered = (f"{plain}-{number}" for number in itertools.count(2))
        unique = plain if plain not in seen else next(one for one in numbered if one not in seen)
        seen.add(unique)
        ids.append(unique)
    return ids


@dataclass(frozen=True)
class InspectLog:
    """The log of one benchmark and model of a run that ended at this time (UTC)."""

    report: RunReport
    summary: Summary
    ended: datetime.datetime

    @cached_property
    def log_id(self) -> str:
        """Its id, the same whenever the same run is exported."""
        return short_digest(self.summary.benchmark, self.summary.model, self.time)

    @property
    def time(self) -> str:
        """The end of the run, as inspect writes times."""
        return self.ended.isoformat(timespec="seconds")

    @cached_property
    def results(self) -> list[Result]:
        """The results of the benchmark and model."""
        own = (self.summary.benchmark, self.summary.model)
        return [result for result in self.report.run.results if (result.benchmark, result.model) == own]

    @property
    def gates(self) -> list[Plain]:
        """The verdicts on the benchmark and model; one without a model is about all."""
        benchmark, models = self.summary.benchmark, (None, self.summary.model)
        return [
            {
                "gate": str(gate.gate), "verdict": gate.verdict, "message": gate.message,
                "value": gate.value, "interval": gate.interval, "questions": gate.n,
            }
            for gate in self.report.verdicts
            if gate.gate.selector.benchmark == benchmark and gate.model in models
        ]  # fmt: skip

    @cached_property
    def overall(self) -> str | None:
        """The name of the mean over the metrics: the benchmark's; None where there is no such mean."""
        if not self.summary.metrics or self.summary.overall.value is None or main_metric(self.results):
            return None
        return self.summary.benchmark

    @cached_property
    def main_score(self) -> str:
        """The name of the benchmark's score: `overall`, else its main metric, else the first metric."""
        recorded = [name for result in self.results for name, _ in named_scores(result)]
        return self.overall or main_metric(self.results) or (recorded or ["score"])[0]

    def write(self, folder: Path) -> None:
        """Write the log's file whole, or not at all; raises OSError."""
        # inspect takes what stands between the underscores for date, task and id.
        task = re.sub(r"[^A-Za-z0-9-]", "-", self.summary.benchmark)[:LONGEST_TASK]
        path = folder / f"{self.ended.strftime(DATED)}_{task}_{self.log_id}.eval"
        # In memory first: zipfile seeks back after each of its files, which takes long on disk.
        # Level 3 takes two thirds of the time of zlib's default, for a tenth more space.
        archived = io.BytesIO()
        with zipfile.ZipFile(archived, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            questions = list(answered_questions(self.results))
            ids = sample_ids([question.name for question in questions])
            start: Plain = {"version": VERSION, "eval": self._spec(ids, questions), "plan": PLAN}
            archive.writestr("_journal/start.json", _json(start))
            summaries, failed = [], 0  # as text: a list of so many dictionaries slows Python's collector down
            for sample_id, question in zip(ids, questions, strict=True):
                for sample in samples_of(question, sample_id, self.overall):
                    whole, summary = sample.entries(self.log_id)
                    archive.writestr(f"samples/{sample_id}_epoch_{sample.epoch}.json", _json(whole))
                    summaries.append(_json(summary))
                    failed += sample.error is not None
            archive.writestr("summaries.json", f"[{','.join(summaries)}]")
            archive.writestr("header.json", _json({**start, **self._outcome(len(summaries), failed)}))
        replace_bytes(path, archived.getbuffer())

    def _spec(self, ids: Sequence[str], questions: Sequence[AnsweredQuestion]) -> Plain:
        """Return what was run: inspect's EvalSpec."""
        run, benchmark = self.report.run, self.summary.benchmark
        headline, gates = self.report.headline, self.gates
        judges = judge_names(self.summary.judge)
        return {
            "eval_id": self.log_id,
            "run_id": short_digest("run", self.time),
            "created": self.time,
            "task": benchmark,
            "task_id": self.log_id,
            "task_version": fingerprint_of(run, "prompts", benchmark) or 0,
            "task_display_name": benchmark,
            "task_args": plain_data(run.fingerprint),
            "dataset": {
                "name": benchmark, "samples": len(ids), "sample_ids": list(ids), "shuffled": False
            },
            "model": self.summary.model,
            "model_roles": {
                "judge" if len(judges) == 1 else f"judge {number}": {"model": name, "config": {}, "args": {}}
                for number, name in enumerate(judges, 1)
            },
            "config": {
                "epochs": max(1, *(len(question.answers) for question in questions)),
                "epochs_reducer": ["mean"],
                "fail_on_error": False,
            },
            "packages": {PACKAGE: importlib.metadata.version(PACKAGE)},
            "tags": [f"run: {headline}", *(f"{gate['verdict']}: {gate['gate']}" for gate in gates)],
            "metadata": {
                "verdict": headline,
                "problems": list(self.report.problems),
                "notes": list(run.notes),
                "is_base_model": self.summary.model == run.base,
                "gates": gates,
            },
        }  # fmt: skip

    def _outcome(self, samples: int, failed: int) -> Plain:
        """Return what the header has beside the start: status, results, statistics, and why it is none."""
        incomplete = self.report.run.incomplete
        whole, *others = summary_scores(self.report, self.summary)
        groups = [score for score in others if score.part == "group"]
        metrics = [score for score in others if score.part == "metric" and score.name != self.main_score]
        return {
            "status": "success" if incomplete is None else "error",
            "results": {
                "total_samples": samples,
                "completed_samples": samples - failed,
                "scores": [  # the benchmark's score with its groups, then those of its metrics
                    _log_score(self.main_score, whole, groups, self.summary.question_weighted),
                    *(_log_score(score.name, score) for score in metrics),
                ],
            },
            "stats": {
                "started_at": self.time, "completed_at": self.time, "model_usage": {}, "role_usage": {}
            },
            "error": None if incomplete is None else failure(incomplete),
        }  # fmt: skip


PLAN: Plain = {"name": "plan", "steps": [{"solver": PACKAGE, "params": {}}], "config": {}}


def _log_score(
    name: str,
    score: BenchmarkScore,
    groups: Sequence[BenchmarkScore] = (),
    over_questions: SummaryRow | None = None,
) -> Plain:
    """Return inspect's EvalScore; `over_questions` is the mean over the questions of all tasks."""
    metrics: Plain = {}
    if score.value is not None:
        metrics["mean"] = _log_metric("mean", score.value, maximum=score.maximum, interval_95=score.interval)
    if score.stderr is not None:
        metrics["stderr"] = _log_metric("stderr", score.stderr)
    if over_questions is not None and over_questions.value is not None:
        metrics["mean_over_questions"] = _log_metric("mean_over_questions", over_questions.value)
    for group in groups:
        if group.value is not None:
            metrics[f"group {group.name}"] = {
                **_log_metric(group.name, group.value, stderr=group.stderr, interval_95=group.interval),
                "group": "groups",
            }
    return {
        "name": name, "scorer": name, "reducer": "mean", "scored_samples": score.n,
        "unscored_samples": score.unscored, "params": {}, "metrics": metrics,
    }  # fmt: skip


def _log_metric(name: str, value: float, **metadata: object) -> Plain:
    return {"name": name, "value": value, "params": {}, "metadata": metadata}


# NaN is inspect's sign for an unscored sample. Text has no lone surrogate, as results have none.
_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
