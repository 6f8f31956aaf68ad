"""The comparison of two finished runs: what changed in the second, and whether it passes gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError, IncompleteRunError
from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.gates.evaluation import evaluate_gates, with_default_gates
from pytest_instructlab_eval.gates.sentences import known_names, name_list
from pytest_instructlab_eval.records.baseline import Baseline, check_comparable, read_baseline
from pytest_instructlab_eval.records.identity_comparison import check_judges
from pytest_instructlab_eval.records.previous_runs import results_path
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.run_report import RunReport
from pytest_instructlab_eval.settings import GateAbout
from pytest_instructlab_eval.stats.comparison import counterpart_results
from pytest_instructlab_eval.stats.lost_questions import lost_questions

ALLOW = "allow the comparison with --allow-mismatch"


@dataclass(frozen=True)
class Side:
    """One of the two runs, as the user names it."""

    path: Path
    run: Baseline

    @classmethod
    def read(cls, path: Path, model: str | None = None) -> Side:
        """Return the run of a folder or file, or the part of one model of it.

        Raises DataError where it cannot be read, and ConfigurationError where it lacks the model.
        """
        run = read_baseline(results_path(path), check_gate=parse_gate)
        if model is None:
            return cls(path, run)
        results = tuple(result for result in run.results if result.model == model)
        if not results:
            others = known_names(model, {result.model for result in run.results})
            raise ConfigurationError(f"{path} has no model {model}{others}")
        return cls(path, dataclasses.replace(run, results=results))


def compare_runs(
    before: Side,
    after: Side,
    gates: Sequence[str],
    *,
    about: GateAbout | None = None,
    allow_mismatch: bool = False,
) -> RunReport:
    """Return the changes from the one run to the other, and the verdicts of gates on the second.

    A run that is gated is also gated by the default gates. Raises ConfigurationError where the two cannot be
    compared, and IncompleteRunError where the second is gated and lacks results.
    """
    theirs, ours = before.run, after.run
    if theirs.shard != ours.shard:
        part, shard = max(
            (before.path, theirs.shard), (after.path, ours.shard), key=lambda side: side[1] or ""
        )
        raise ConfigurationError(
            f"{part} is part {shard} of a run, and the other run is not the same part; join the parts "
            "with python -m pytest_instructlab_eval merge, and compare the whole runs"
        )
    if not allow_mismatch:
        check_comparable(
            ours.fingerprint, theirs, str(before.path),
            ALLOW, ours_are=f"in {after.path}",
            theirs_are=f"in {before.path}",
        )  # fmt: skip
        check_judges(ours.judge_identities, theirs.judge_identities, str(before.path), ALLOW)
    run = Run(ours.results, fingerprint=ours.fingerprint, left_out=ours.left_out, identities=ours.identities)
    report = RunReport.of(run, theirs, gated=False)
    if not report.changes:
        raise ConfigurationError(
            f"{before.path} and {after.path} have no benchmark with the same questions; where they have "
            "several models, name one of each with --before-model and --after-model"
        )
    if not gates:
        return report
    parsed = list(map(parse_gate, gates))
    if ours.incomplete is not None:
        raise IncompleteRunError(f"{after.path} cannot be gated: {ours.incomplete}; run it again")
    if not allow_mismatch:
        _check_complete(before, after, parsed)
    # As in a run: the questions that the second lost must not make its drop look like none.
    whole = with_default_gates(parsed, (result.benchmark for result in run.results))
    verdicts = evaluate_gates(
        whole,
        run.results,
        baseline=theirs.results,
        left_out=run.left_out,
        about=about or ours.gate_about,
        about_these=ours.about_these,
    )
    return dataclasses.replace(report, verdicts=tuple(verdicts))


def _check_complete(before: Side, after: Side, gates: Sequence[Gate]) -> None:
    """Raise IncompleteRunError where a gated benchmark lacks results that the first run has.

    A branch has other questions than its base by right, and the gates of a part are skipped.
    """
    gated = {gate.selector.benchmark for gate in gates} - {*after.run.left_out}
    for name, model in dict.fromkeys((result.benchmark, result.model) for result in after.run.results):
        ours = counterpart_results(after.run.results, name, model)
        if name not in gated or any(result.of_branch for result in ours):
            continue
        theirs = counterpart_results(before.run.results, name, model)
        lost = lost_questions(ours, theirs, after.run.fingerprint, before.run.fingerprint)
        if lost.count:
            which = f" ({name_list(lost.names)})" if lost.names else ""
            raise IncompleteRunError(
                f"{after.path} cannot be gated: it has no result of {lost.count:,} of {lost.expected:,} "
                f"questions of {name} that {before.path} has{which}; run it again, or gate "
                "what both have with --allow-mismatch"
            )
