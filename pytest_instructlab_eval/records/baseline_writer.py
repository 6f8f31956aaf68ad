"""Writing a baseline file: the same results always give the same bytes, a line for each question."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.escaping import escape_json
from pytest_instructlab_eval.records.baseline import SCHEMA_VERSION, fingerprint
from pytest_instructlab_eval.records.baseline_entry import baseline_entry
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.records.scores import Result


def save_run(path: Path, run: Run) -> None:
    """Write the results of a run's only candidate with `write_baseline`.

    Raises ConfigurationError for a run that is incomplete or has a part of a benchmark.
    """
    results = run.candidates
    ran = {result.benchmark for result in results}
    partial = [reason for name, reason in run.left_out.items() if name in ran]
    partial += [run.incomplete] if run.incomplete is not None else []
    partial += ["its answers are not judged yet"] if any(result.answered for result in results) else []
    if partial:
        raise ConfigurationError(f"no baseline was saved, as the run is incomplete: {partial[0]}")
    write_baseline(path, results, run.fingerprint, run.identities, run.judge_identities)


def write_baseline(
    path: Path,
    results: Sequence[Result],
    configuration: Mapping[str, object],
    identities: Mapping[str, ModelIdentity] | None = None,
    judge_identities: Mapping[str, ModelIdentity] | None = None,
) -> None:
    """Write the file whole, or not at all; the same results and identities give the same bytes.

    Raises ConfigurationError for results of several models, or of a metric with several scales; OSError
    where the file cannot be written.
    """
    models = list(dict.fromkeys(result.model for result in results))
    if len(models) != 1:
        raise ConfigurationError(
            f"{path}: a baseline needs the results of one model (got {', '.join(models) or 'none'})"
        )
    settings = fingerprint({**configuration, "model": models[0]})
    head = {"schema_version": SCHEMA_VERSION, "fingerprint": settings}
    text = json.dumps(head, indent=1, ensure_ascii=False, sort_keys=True).removesuffix("\n}")
    text += _identity_lines("identities", identities, models)
    text += _identity_lines("judge_identities", judge_identities, judge_identities or ())
    blocks = [
        benchmark_lines(path, benchmark, part)
        for benchmark, part in sorted(_by(results, "benchmark").items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, escape_json(text + ',\n "benchmarks": {' + ",".join(blocks) + "\n }\n}\n"))


def benchmark_lines(path: Path, benchmark: str, results: Sequence[Result]) -> str:
    """Return the entry of a benchmark: the maxima of its metrics, and a line for each question."""
    maxima = maxima_by_metric(results, f"{path}: {benchmark}")
    lines = ",\n".join(
        f"    {_json_line(question)}: {_json_line(baseline_entry(entries))}"
        for question, entries in sorted(_by(results, "question").items())
    )
    inner = f'   "maxima": {_json_line(maxima)},\n   "questions": {{\n{lines}\n   }}'
    return f"\n  {_json_line(benchmark)}: {{\n{inner}\n  }}"


def maxima_by_metric(results: Sequence[Result], place: str) -> dict[str, float]:
    """Return the maximum of each metric; raises ConfigurationError for a metric with several scales."""
    maxima: dict[str, float] = {}
    for score in itertools.chain.from_iterable(result.scores for result in results):
        if maxima.setdefault(score.metric, score.maximum) != score.maximum:
            raise ConfigurationError(
                f"{place} has {score.metric} scores up to {maxima[score.metric]:g} and up to "
                f"{score.maximum:g}; a baseline needs one scale for each metric"
            )
    return maxima


def _identity_lines(key: str, identities: Mapping[str, ModelIdentity] | None, labels: Iterable[str]) -> str:
    """Return the entry of a file's identities, a line each; empty where none is known of these labels."""
    known = [(label, identities[label]) for label in labels if label in identities] if identities else []
    lines = ",\n".join(f"  {_json_line(label)}: {_json_line(entry.to_plain())}" for label, entry in known)
    return f',\n "{key}": {{\n{lines}\n }}' if known else ""


def _by(results: Sequence[Result], attribute: str) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[getattr(result, attribute)].append(result)
    return groups


def _json_line(value: object) -> str:
    return json.dumps(plain_data(value), ensure_ascii=False, sort_keys=True)
