"""The joining of the parts of a run (`--eval-shard`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.records.baseline import differences
from pytest_instructlab_eval.records.identity_comparison import different_models
from pytest_instructlab_eval.records.run import Run, distinct_adaptations
from pytest_instructlab_eval.records.usage import merged_usage

DECIDING = ("gate_about", "inconclusive", "allow_mismatch")
"""The settings that change verdicts, and no score."""


def merge_shards(parts: Mapping[Path, Run]) -> Run:
    """Return the whole run of these parts, given by their files.

    Raises ConfigurationError where a part is missing, given twice or incomplete, and where the parts have
    different tests, configurations, models or gates.
    """
    ordered = _in_order(parts)
    (first_file, first), *others = ordered.items()
    for file, run in others:
        if problems := _unlike(run, first):
            raise ConfigurationError(
                f"{file} and {first_file} are not parts of one run: {'; '.join(problems)}; run all parts "
                "with the same options, each into its own output folder"
            )
    index = {nodeid: number for number, nodeid in enumerate(first.tests)}
    runs = ordered.values()
    results = chain.from_iterable(run.results for run in runs)
    whole = dataclasses.replace(
        first,
        results=tuple(sorted(results, key=lambda result: index.get(result.nodeid, len(index)))),
        configuration={**first.configuration, "shard": None},
        left_out=dict(chain.from_iterable(run.left_out.items() for run in runs)),
        tests=(),
        notes=tuple(dict.fromkeys(chain.from_iterable(run.notes for run in runs))),
        silent=tuple(chain.from_iterable(run.silent for run in runs)),
        adaptations=distinct_adaptations(chain.from_iterable(run.adaptations for run in runs)),
        usage=merged_usage(run.usage for run in runs),
    )
    return dataclasses.replace(whole, fingerprint={**first.fingerprint, "adaptations": whole.adapted()})


def _in_order(parts: Mapping[Path, Run]) -> dict[Path, Run]:
    files: dict[int, Path] = {}
    counts = set()
    for file, run in parts.items():
        shard = run.configuration.get("shard")
        if shard is None:
            raise ConfigurationError(f"{file} is a whole run, not a part of one (--eval-shard)")
        if run.incomplete is not None:
            raise ConfigurationError(f"{file} is incomplete: {run.incomplete}; run this part again")
        number, count = shard
        if number in files:
            raise ConfigurationError(f"{files[number]} and {file} are both part {number} of {count}")
        files[number] = file
        counts.add(count)
    if len(counts) > 1:
        raise ConfigurationError(f"the runs were divided into {' and '.join(map(str, sorted(counts)))} parts")
    missing = [str(number) for number in range(1, max(counts) + 1) if number not in files]
    if missing:
        raise ConfigurationError(
            f"of {max(counts)} parts, these are missing: {', '.join(missing)}; give all parts"
        )
    return {files[number]: parts[files[number]] for number in sorted(files)}


def _unlike(run: Run, first: Run) -> list[str]:
    problems = differences(run.fingerprint, first.fingerprint, theirs_are="there", ignoring=("adaptations",))
    other = set(run.tests) ^ set(first.tests)
    if other:
        problems.append(f"{len(other):,} tests are in only one of them, such as {min(other)}")
    if run.models != first.models:
        problems.append(f"the models are {', '.join(run.models)} here and {', '.join(first.models)} there")
    other_models = different_models(run.identities, first.identities)
    other_judges = different_models(run.judge_identities, first.judge_identities)
    for label, difference in chain(other_models, other_judges):
        problems.append(f"{label} is another model: {difference} there")
    gates = [", ".join((*side.standing_gates, *side.gates)) or "none" for side in (run, first)]
    if gates[0] != gates[1]:
        problems.append("the gates are {} here and {} there".format(*gates))
    for name in DECIDING:
        ours, theirs = run.configuration.get(name), first.configuration.get(name)
        if ours != theirs:
            problems.append(f"{name} is {ours or 'not set'} here and {theirs or 'not set'} there")
    return problems
