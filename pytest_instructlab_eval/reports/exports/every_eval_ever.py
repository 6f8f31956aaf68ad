"""Every Eval Ever records: an aggregate and its samples for each benchmark and model.

The format is version 0.3.0 of the schemas of the package every-eval-ever (MIT licence), whose validator
checks the files in tests/e2e/test_viewers.py. They lie as its data store has them:
`data/BENCHMARK/DEVELOPER/MODEL/UUID.json` with `UUID_samples.jsonl` beside it.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.records.scores import Result
from pytest_instructlab_eval.reports.answered_questions import answered_questions
from pytest_instructlab_eval.reports.benchmark_scores import (
    BenchmarkScore,
    fingerprint_of,
    judge_names,
    summary_scores,
)
from pytest_instructlab_eval.reports.exports.eee_samples import Record, records_of
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.settings import REFERENCE_JUDGE
from pytest_instructlab_eval.stats.summary import Summary
from pytest_instructlab_eval.stats.values import evidence_of

SCHEMA = "0.3.0"
PACKAGE = "pytest-instructlab-eval"
NAMELESS = "local"  # the developer of a model whose name has no "developer/" in front; the format needs one
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)|^(?:data|unknown)$", re.IGNORECASE)
LONGEST_PART = 100  # characters of a folder's name


def write_records(report: RunReport, folder: Path, ended: datetime.datetime) -> None:
    """Write the records of a run that ended at this time (UTC); raises OSError.

    A benchmark without any score has none, since the format knows no record without a score.
    """
    for summary in report.summaries:
        if summary.overall.value is not None:
            EvalRecord(report, summary, ended).write(folder)


def portable_name(text: str) -> str:
    """Return a text as the name of a folder that every system takes, never empty and never reserved."""
    name = re.sub(r"[^\w.+@-]", "_", text)[:LONGEST_PART].strip(". ")
    return f"_{name}" if not name or RESERVED.search(name) else name


def model_id(name: str) -> str:
    """Return a model's name as DEVELOPER/MODEL."""
    developer, slash, rest = name.rpartition("/")
    first = developer.rpartition("/")[2] if slash else NAMELESS
    return f"{portable_name(first or NAMELESS)}/{portable_name(rest)}"


@dataclass(frozen=True)
class EvalRecord:
    """The record of one benchmark and model of a run that ended at this time (UTC)."""

    report: RunReport
    summary: Summary
    ended: datetime.datetime

    @property
    def seconds(self) -> str:
        """The end of the run in seconds since 1970."""
        return f"{self.ended.timestamp():.0f}"

    @property
    def model(self) -> str:
        """The model's id."""
        return model_id(self.summary.model)

    @property
    def evaluation_id(self) -> str:
        """The record's id, which its samples name."""
        return f"{self.summary.benchmark}/{self.model}/{self.seconds}"

    @cached_property
    def results(self) -> list[Result]:
        """The results of the benchmark and model."""
        own = (self.summary.benchmark, self.summary.model)
        return [result for result in self.report.run.results if (result.benchmark, result.model) == own]

    @cached_property
    def first_metric(self) -> str:
        """The metric of the first score, which is the only one where the summary names none."""
        return next((score.metric for result in self.results for score in result.scores), "score")

    @cached_property
    def judge_prompts(self) -> str:
        """The names of the prompt templates that the answers were judged with."""
        evidence = evidence_of(score for result in self.results for score in result.scores)
        prompts = sorted({entry.judge_prompt for entry in evidence if entry.judge_prompt})
        return ", ".join(prompts) or "the judge's own"

    def write(self, folder: Path) -> None:
        """Write the aggregate, and the samples beside it; raises OSError."""
        place = Path("data", portable_name(self.summary.benchmark), *self.model.split("/"))
        # Of the same run always the same, and of the form that the format asks for.
        digest = hashlib.sha256(f"{self.evaluation_id} {self.summary.model}".encode("utf-8", "replace"))
        name = uuid.UUID(bytes=digest.digest()[:16], version=4)
        (folder / place).mkdir(parents=True, exist_ok=True)
        # In ASCII: readers that split lines at U+2028 would cut a text in two.
        lines = [json.dumps(sample) for sample in self._samples()]
        document = self._aggregate()
        if lines:
            samples = place / f"{name}_samples.jsonl"
            text = "".join(f"{line}\n" for line in lines)
            replace_text(folder / samples, text)
            document["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": samples.as_posix(),
                "hash_algorithm": "sha256",
                "checksum": hashlib.sha256(text.encode()).hexdigest(),
                "total_rows": len(lines),
            }
        replace_text(folder / place / f"{name}.json", json.dumps(document, indent=1))

    # --- the aggregate ---

    def _aggregate(self) -> Record:
        return {
            "schema_version": SCHEMA,
            "evaluation_id": self.evaluation_id,
            "evaluation_timestamp": self.seconds,
            "retrieved_timestamp": self.seconds,
            "source_metadata": {
                "source_name": PACKAGE,
                "source_type": "evaluation_run",
                "source_organization_name": "unknown",
                "evaluator_relationship": "other",
            },
            "eval_library": {"name": PACKAGE, "version": importlib.metadata.version(PACKAGE)},
            "model_info": _model_info(self.summary.model),
            "evaluation_results": [
                self._result(score)
                for score in summary_scores(self.report, self.summary)
                if score.value is not None
            ],
        }

    def _result(self, score: BenchmarkScore) -> Record:
        digest = fingerprint_of(self.report.run, "data", self.summary.benchmark)
        details = {
            "questions": str(score.n), "unscored": str(score.unscored), "errors": str(score.errors),
            "verdict_of_run": self.report.headline,
        }  # fmt: skip
        uncertainty: Record = {"num_samples": score.n}
        if score.stderr is not None:
            uncertainty["standard_error"] = {"value": score.stderr, "method": "clustered"}
        if score.interval is not None:
            low, high = score.interval
            uncertainty["confidence_interval"] = {"lower": low, "upper": high, "confidence_level": 0.95}
        return {
            "evaluation_result_id": self._result_id(score.part, score.name),
            "evaluation_name": self._named(score.name),
            "source_data": {
                "dataset_name": self.summary.benchmark,
                "source_type": "other",
                "additional_details": {} if digest is None else {"digest": str(digest)},
            },
            "evaluation_timestamp": self.seconds,
            "metric_config": self._metric(score),
            "score_details": {
                # A rounded mean can leave its scale by the last digit.
                "score": min(max(score.value or 0.0, 0.0), score.maximum),
                "details": details,
                "uncertainty": uncertainty,
            },
            "generation_config": {"generation_args": self._generation()},
        }

    def _named(self, name: str) -> str:
        return f"{self.summary.benchmark} {name}" if name else self.summary.benchmark

    def _result_id(self, part: str, name: str) -> str:
        return f"{self.evaluation_id}#{part}{':' if name else ''}{name}"

    def _metric(self, score: BenchmarkScore) -> Record:
        of_all = "mean" if self.summary.metrics else self.first_metric
        metric = score.name if score.part == "metric" else of_all
        judges = judge_names(self.summary.judge)
        config: Record = {
            "metric_id": f"{self.summary.benchmark}.{metric}",
            "metric_name": metric,
            "metric_kind": "rating" if judges else {"acc": "accuracy"}.get(metric, "score"),
            "metric_unit": "proportion" if score.maximum == 1 else "points",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": score.maximum,
        }
        if REFERENCE_JUDGE in judges:
            config["additional_details"] = {"judge": "chrF similarity to the reference answer"}
        if models := [name for name in judges if name != REFERENCE_JUDGE]:
            config["llm_scoring"] = {
                "judges": [{"model_info": _model_info(name)} for name in models],
                "input_prompt": self.judge_prompts,
                "aggregation_method": "average",
            }
        return config

    def _generation(self) -> Record:
        """Return the parameters of the requests that all chats had."""
        chats = [chat for result in self.results for chat in result.chats]
        args: Record = {}
        temperatures = {chat.temperature for chat in chats}
        if len(temperatures) == 1 and isinstance(temperature := temperatures.pop(), (int, float)):
            args["temperature"] = temperature
        lengths = {chat.max_tokens for chat in chats}
        if len(lengths) == 1 and isinstance(length := lengths.pop(), int) and length > 0:
            args["max_tokens"] = length
        return args

    # --- the samples ---

    def _samples(self) -> Iterator[Record]:
        """Yield the records of the questions, each with the ids of this record and of its result."""
        several = bool(self.summary.metrics)
        for question in answered_questions(self.results):
            for metric, record in records_of(question):
                name = metric.partition(" (")[0] if several else ""
                yield {
                    "schema_version": SCHEMA,
                    "evaluation_id": self.evaluation_id,
                    "model_id": self.model,
                    "evaluation_name": self._named(name),
                    "evaluation_result_id": self._result_id("metric" if several else "benchmark", name),
                    **record,
                }


def _model_info(name: str) -> Record:
    return {
        "name": name,
        "id": model_id(name),
        "developer": model_id(name).split("/")[0],
        "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
    }
