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
from pytest_instructlab_eval.records.evidence import ModelReply
from pytest_instructlab_eval.records.scores import Result, Sample, Score
from pytest_instructlab_eval.reports.answered_questions import (
    AnsweredQuestion,
    answered_questions,
    named_scores,
)
from pytest_instructlab_eval.reports.benchmark_scores import BenchmarkScore, summary_scores
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.settings import REFERENCE_JUDGE
from pytest_instructlab_eval.stats.summary import Summary

SCHEMA = "0.3.0"
PACKAGE = "pytest-instructlab-eval"
NAMELESS = "local"  # the developer of a model whose name has no "developer/" in front; the format needs one
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)|^(?:data|unknown)$", re.IGNORECASE)
LONGEST_PART = 100  # characters of a folder's name

Record = dict[str, object]


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
        data = self.report.run.fingerprint.get("data")
        digest = data.get(self.summary.benchmark) if isinstance(data, dict) else None
        details = {
            "questions": str(score.n), "unscored": str(score.unscored), "errors": str(score.errors),
            "verdict_of_run": self.report.headline,
        }  # fmt: skip
        return {
            "evaluation_result_id": self._result_id(score.part, score.name),
            "evaluation_name": " ".join(filter(None, (self.summary.benchmark, score.name))),
            "source_data": {
                "dataset_name": self.summary.benchmark,
                "source_type": "other",
                "additional_details": {} if digest is None else {"digest": str(digest)},
            },
            "evaluation_timestamp": self.seconds,
            "metric_config": self._metric(score),
            "score_details": {
                "score": _bounded(score),
                "details": details,
                "uncertainty": _uncertainty(score),
            },
            "generation_config": {"generation_args": self._generation()},
        }

    def _result_id(self, part: str, name: str) -> str:
        return f"{self.evaluation_id}#{part}{':' if name else ''}{name}"

    def _metric(self, score: BenchmarkScore) -> Record:
        first = next((name for result in self.results for name, _ in named_scores(result)), "score")
        metric = score.name if score.part == "metric" else first if not self.summary.metrics else "mean"
        config: Record = {
            "metric_id": f"{self.summary.benchmark}.{metric}",
            "metric_name": metric,
            "metric_kind": "accuracy" if metric == "acc" else "rating" if self.summary.judge else "score",
            "metric_unit": "proportion" if score.maximum == 1 else "points",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": score.maximum,
        }
        judges = self.summary.judge.split(", ") if self.summary.judge else []
        models = [name for name in judges if name != REFERENCE_JUDGE]
        if REFERENCE_JUDGE in judges:
            config["additional_details"] = {"judge": "chrF similarity to the reference answer"}
        if models:
            config["llm_scoring"] = {
                "judges": [{"model_info": _model_info(name)} for name in models],
                "input_prompt": ", ".join(sorted(self._judge_prompts())) or "the judge's own",
                "aggregation_method": "average",
            }
        return config

    def _judge_prompts(self) -> set[str]:
        """Return the names of the judge's prompt templates."""
        scores = [score for result in self.results for score in result.scores]
        return {
            score.evidence.judge_prompt for score in scores if score.evidence and score.evidence.judge_prompt
        }

    def _generation(self) -> Record:
        """Return the parameters of the requests, where all chats had the same."""
        chats = [chat for result in self.results for chat in result.chats]
        temperatures = {chat.temperature for chat in chats if isinstance(chat.temperature, (int, float))}
        lengths = {
            chat.max_tokens for chat in chats if isinstance(chat.max_tokens, int) and chat.max_tokens > 0
        }
        args: Record = {}
        if len(temperatures) == 1:
            args["temperature"] = temperatures.pop()
        if len(lengths) == 1:
            args["max_tokens"] = lengths.pop()
        return args

    # --- the samples ---

    def _samples(self) -> Iterator[Record]:
        """Yield a record for each question and metric with a score.

        The format needs a score in each, so unscored questions and errors are only counted, in the aggregate.
        """
        for question in answered_questions(self.results):
            if question.in_task is not None:
                if question.value is not None:
                    yield self._choice(question, *question.in_task)
                continue
            for name, score in named_scores(question.result):
                if score.value is not None:
                    yield self._answer(question, name, score)

    def _choice(self, question: AnsweredQuestion, score: Score, sample: Sample) -> Record:
        return {
            **self._head(question, score.metric, sample.question, [sample.answer or ""]),
            "interaction_type": "single_turn",
            "input": {
                "raw": sample.question,
                "reference": [sample.answer or ""],
                "choices": list(sample.choices) or None,
            },
            "output": {"raw": [sample.choice or ""]},
            "answer_attribution": [_attribution(0, "output.raw", sample.choice or "", "highest_likelihood")],
            "evaluation": {
                "score": sample.value,
                "is_correct": sample.value == score.maximum,
                "num_turns": 1,
            },
            "metadata": {"group": question.result.group, "measured_by": sample.way},
        }

    def _answer(self, question: AnsweredQuestion, name: str, score: Score) -> Record:
        evidence, answers = score.evidence, question.answers
        replies = [] if evidence is None else [reply for reply in evidence.replies if reply.text is not None]
        text = (evidence.question if evidence is not None else None) or question.text
        reference = [evidence.reference] if evidence is not None and evidence.reference else []
        turn = (evidence.turn if evidence is not None else None) or 1
        conversation = answers[0].conversation
        prompt, completion = (sum(answer.tokens[side] for answer in answers) for side in (0, 1))
        record: Record = {
            **self._head(question, name, text, reference),
            "interaction_type": "single_turn" if turn == 1 or len(conversation) < turn else "multi_turn",
            "input": {"raw": text, "reference": reference},
            "evaluation": {
                "score": score.value, "is_correct": score.value == score.maximum, "num_turns": turn
            },
            "metadata": {
                "group": question.result.group, "metric": name, "answers": str(len(answers)),
                "judge": question.result.judge or "", "explanation": score.explanation,
            },
        }  # fmt: skip
        if question.result.chats:
            record["token_usage"] = {
                "input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion
            }  # fmt: skip
            record["performance"] = {"latency_ms": 1000 * sum(answer.seconds for answer in answers)}
        method = "llm_judge" if question.result.judge not in (None, REFERENCE_JUDGE) else "custom"
        if record["interaction_type"] == "single_turn":
            said = [reply.text or "" for reply in replies] or [
                chat.answer or "" for chat in conversation[-1:]
            ]
            record["output"] = {"raw": said or [""], **_reasoning(replies)}
            record["answer_attribution"] = [_attribution(0, "output.raw", (said or [""])[0], method)]
            return record
        last = conversation[turn - 1]
        messages = [*last.messages, {"role": "assistant", "content": last.answer}]
        record["messages"] = [
            {"turn_idx": index, "role": str(message.get("role")), "content": _text(message.get("content"))}
            for index, message in enumerate(messages)
        ]
        place = len(messages) - 1
        source = "messages[turn_idx].content"
        record["answer_attribution"] = [_attribution(place, source, last.answer or "", method)]
        return record

    def _head(self, question: AnsweredQuestion, metric: str, text: str, reference: list[str]) -> Record:
        several = bool(self.summary.metrics)
        name = metric.split(" (", maxsplit=1)[0] if several else ""
        digest = hashlib.sha256("".join((text, *reference)).encode("utf-8", "replace"))
        return {
            "schema_version": SCHEMA,
            "evaluation_id": self.evaluation_id,
            "model_id": self.model,
            "evaluation_name": " ".join(filter(None, (self.summary.benchmark, name))),
            "evaluation_result_id": self._result_id("metric" if several else "benchmark", name),
            "sample_id": question.name,
            "sample_hash": digest.hexdigest(),
        }


def _model_info(name: str) -> Record:
    return {
        "name": name,
        "id": model_id(name),
        "developer": model_id(name).split("/")[0],
        "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
    }


def _bounded(score: BenchmarkScore) -> float:
    """Return the score on its scale, which a rounded mean can leave by the last digit."""
    return min(max(score.value or 0.0, 0.0), score.maximum)


def _uncertainty(score: BenchmarkScore) -> Record:
    """Return the standard error and the 95 % interval, as far as they can be measured."""
    entries: Record = {"num_samples": score.n}
    if score.stderr is not None:
        entries["standard_error"] = {"value": score.stderr, "method": "clustered"}
    if score.interval is not None:
        low, high = score.interval
        entries["confidence_interval"] = {"lower": low, "upper": high, "confidence_level": 0.95}
    return entries


def _attribution(turn: int, source: str, value: str, method: str) -> Record:
    return {
        "turn_idx": turn, "source": source, "extracted_value": value, "extraction_method": method,
        "is_terminal": True,
    }  # fmt: skip


def _reasoning(replies: list[ModelReply]) -> Record:
    traces = [reply.reasoning for reply in replies if reply.reasoning]
    return {"reasoning_trace": traces} if traces else {}


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
