"""`RunReport`: what a run found, computed once; terminal, pages and files are renderings of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_instructlab_eval.gates.evaluation import gate_verdicts
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict, fails_run
from pytest_instructlab_eval.records.baseline import Baseline, different_requests
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, run_changes
from pytest_instructlab_eval.stats.ranking import Rank, rank_models
from pytest_instructlab_eval.stats.summary import Summary, summarise


@dataclass(frozen=True)
class RunReport:
    """What a run found, and what becomes of it.

    `baseline` is the earlier run that it is compared with. `ranking` and `verdicts` are of the candidates;
    there are no verdicts where the gates were not evaluated. `problems` are sentences that fail the run
    beside its gates, and `failed_tests` counts its tests that failed, without the gates.
    """

    run: Run
    baseline: Baseline | None = None
    summaries: tuple[Summary, ...] = ()
    ranking: tuple[Rank, ...] = ()
    changes: tuple[BenchmarkChanges, ...] = ()
    verdicts: tuple[GateReport, ...] = ()
    problems: tuple[str, ...] = ()
    failed_tests: int = 0

    @classmethod
    def of(
        cls,
        run: Run,
        baseline: Baseline | None = None,
        *,
        gated: bool | None = None,
        insist: str | None = "--eval-allow-mismatch",
    ) -> RunReport:
        """Return the report of a run, at its end or read from its file.

        `gated` says whether its gates are evaluated: unless told, those of a whole run are. `insist` names
        the option that compares models which were asked in different ways, None where it was given. A file
        does not say which tests failed: those count that ended in an error.
        """
        earlier = None if baseline is None else baseline.results
        summaries = tuple(summarise(run.results))
        if gated is None:
            gated = run.incomplete is None and _shard(run) is None
        return cls(
            run,
            baseline,
            summaries,
            ranking=tuple(rank_models(run.candidates)),
            changes=tuple(run_changes(run, earlier)),
            verdicts=tuple(gate_verdicts(run, earlier, incomparable=_incomparable(run, baseline, insist)))
            if gated
            else (),
            problems=tuple(_problems(run, summaries)),
            failed_tests=sum(result.outcome == "error" for result in run.results),
        )

    def with_problems(self, *problems: str) -> RunReport:
        """Return the report with these problems too."""
        return dataclasses.replace(self, problems=(*self.problems, *problems))

    @property
    def candidates(self) -> list[str]:
        """The names of the models under evaluation."""
        return [name for name in self.run.models if name != self.run.base]

    @property
    def best(self) -> str | None:
        """The best of them: the first of the ranking, or the only one that has a score."""
        if self.ranking:
            return self.ranking[0].model
        scored = {result.model for result in self.run.candidates if result.value is not None}
        return scored.pop() if len(scored) == 1 else None

    @property
    def inconclusive(self) -> str:
        """What an undecided gate means: warn, fail or pass."""
        return str(self.run.configuration.get("inconclusive", "warn"))

    @property
    def failed_gates(self) -> list[GateReport]:
        """The verdicts that fail the run."""
        return [verdict for verdict in self.verdicts if fails_run(verdict, self.inconclusive)]

    @property
    def not_gated(self) -> str | None:
        """Why no gate was evaluated, None where nothing kept them from it."""
        if _shard(self.run) is not None:
            return "this is a part of a run, whose gates are evaluated when its parts are merged"
        if self.run.incomplete is not None and not self.verdicts:
            return f"{self.run.incomplete}, so its gates were not evaluated"
        return None

    @property
    def headline(self) -> Verdict:
        """The verdict on the run as a whole."""
        if self.problems or self.failed_tests or self.failed_gates:
            return "failed"
        undecided = self.inconclusive != "pass" and any(
            verdict.verdict == "inconclusive" for verdict in self.verdicts
        )
        if self.not_gated is not None or undecided:
            return "inconclusive"
        return "passed" if self.summaries else "skipped"


def _shard(run: Run) -> object:
    """Return which part of a run this is, None of a whole one."""
    return run.configuration.get("shard")


def _incomparable(run: Run, baseline: Baseline | None, insist: str | None) -> str | None:
    """Return why the run's drops mean nothing: what it is compared with was asked in another way."""
    if insist is None or run.configuration.get("allow_mismatch"):
        return None
    if run.base is not None:
        return different_requests(run.adapted(), run.adapted(base=True), f"of {run.base}", insist)
    if baseline is None:
        return None
    return different_requests(
        run.adapted(), baseline.fingerprint.get("adaptations"), "in the baseline", insist
    )


def _problems(run: Run, summaries: Sequence[Summary]) -> Iterator[str]:
    """Yield what fails a run whatever it is held to; a part, and answers alone, are not to be judged yet."""
    if run.configuration.get("stage") == "answer" or _shard(run) is not None:
        return
    yield from run.problems
    for summary in summaries:
        if summary.overall.n and all(row.value is None for row in (summary.overall, *summary.metrics)):
            yield (
                f"{summary.benchmark} has scores of several scales and so no mean; give its tests one "
                "max_score, or each scale a metric of its own"
            )
