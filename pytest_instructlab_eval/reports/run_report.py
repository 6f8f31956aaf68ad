"""`RunReport`: the summaries, ranking, changes and verdicts of a run, which all renderers show."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_instructlab_eval.gates.evaluation import gate_verdicts
from pytest_instructlab_eval.gates.gate_report import GateReport, Verdict, fails_run
from pytest_instructlab_eval.records.baseline import Baseline, different_requests
from pytest_instructlab_eval.records.identity_comparison import identity_notes
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.exit_status import Cause, exit_status, gate_cause
from pytest_instructlab_eval.stats.changes import BenchmarkChanges, changes_between, run_changes
from pytest_instructlab_eval.stats.comparison import counterpart
from pytest_instructlab_eval.stats.ranking import Rank, rank_models
from pytest_instructlab_eval.stats.summary import Summary, summarise

if TYPE_CHECKING:
    from pytest_instructlab_eval.reports.html.question_table import PageQuestions

COULD_NOT_START = 4  # pytest's status
Headline = Verdict | Literal["broken"]


@dataclass(frozen=True)
class RunReport:
    """The evaluated data of a run.

    `baseline` is the earlier run that it is compared with. `ranking` and `verdicts` are of the candidates;
    without evaluated gates there are no verdicts. `problems` are sentences that fail the run, whatever its
    gates say. `failed_tests` is the number of failed tests, not counting the gates; `broken_tests` of them
    failed since a request to a model or judge did, or since a worker died. `pytest_status` is the exit status
    that pytest would end with.
    """

    run: Run
    baseline: Baseline | None = None
    summaries: tuple[Summary, ...] = ()
    ranking: tuple[Rank, ...] = ()
    changes: tuple[BenchmarkChanges, ...] = ()
    verdicts: tuple[GateReport, ...] = ()
    problems: tuple[str, ...] = ()
    failed_tests: int = 0
    broken_tests: int = 0
    pytest_status: int = 0

    @classmethod
    def of(
        cls,
        run: Run,
        baseline: Baseline | None = None,
        *,
        gated: bool | None = None,
        allow_flag: str | None = "--eval-allow-mismatch",
    ) -> RunReport:
        """Return the report of a run, at its end or read from its file.

        `gated` says whether its gates are evaluated; by default those of a whole run are. `allow_flag` is the
        option that allows a comparison of models that were asked in different ways, None where it was
        given. A file does not say which tests failed, so tests that ended in an error count as such.
        """
        errors = sum(result.outcome == "error" for result in run.results)
        earlier = None if baseline is None else baseline.results
        incomparable = _incomparable(run, baseline, allow_flag)
        controls = () if earlier is None or incomparable or run.base is not None else earlier
        summaries = tuple(summarise(run.results, controls))
        if gated is None:
            gated = run.incomplete is None and _shard(run) is None
        return cls(
            run,
            baseline,
            summaries,
            ranking=tuple(rank_models(run.candidates)),
            changes=tuple(run_changes(run, earlier)),
            verdicts=tuple(gate_verdicts(run, earlier, incomparable=incomparable)) if gated else (),
            problems=tuple(_problems(run, summaries)),
            failed_tests=errors,
            broken_tests=errors,
        )

    @classmethod
    def of_finished(cls, run: Run, baseline: Baseline | None, *, allow_flag: str | None) -> RunReport:
        """Return the report of a run read from its file, with the failures that its end had."""
        report = cls.of(run, baseline, allow_flag=allow_flag)
        known = report.failed_tests if run.failed_tests is None else run.failed_tests
        problems = tuple(dict.fromkeys((*run.failures, *report.problems)))
        return dataclasses.replace(report, problems=problems, failed_tests=known)

    def against(self, earlier: Baseline | None) -> RunReport:
        """Return the report with the changes since another run; its verdicts stay those of the run."""
        changes = changes_between(self.run.candidates, () if earlier is None else earlier.results)
        return dataclasses.replace(self, baseline=earlier, changes=tuple(changes))

    def with_problems(self, *problems: str) -> RunReport:
        """Return the report with more problems."""
        return dataclasses.replace(self, problems=(*self.problems, *problems))

    @functools.cached_property
    def baseline_summaries(self) -> tuple[Summary, ...]:
        """The summaries of the run that this one is compared with."""
        return () if self.baseline is None else tuple(summarise(self.baseline.results))

    @functools.cached_property
    def questions(self) -> PageQuestions:
        """The questions beside those of the compared side, made once for all renderers."""
        from pytest_instructlab_eval.reports.html.question_table import question_table

        return question_table(self)

    @property
    def candidates(self) -> list[str]:
        """The names of the models under evaluation."""
        return [name for name in self.run.models if name != self.run.base]

    @property
    def best(self) -> str | None:
        """The best candidate: the first of the ranking, or the only one with a score."""
        if self.ranking:
            return self.ranking[0].model
        scored = {result.model for result in self.run.candidates if result.value is not None}
        return scored.pop() if len(scored) == 1 else None

    def compared_with(self, candidate: str) -> str | None:
        """Return the model that the changes compare a candidate with; None where there is no single one."""
        return counterpart(candidate, {entry.against for entry in self.changes if entry.model == candidate})

    @property
    def has_page(self) -> bool:
        """True if the run has a report.html, as one that asked something does unless the user wants none."""
        return bool(self.summaries) and self.run.configuration.get("report") != "none"

    @property
    def inconclusive(self) -> str:
        """The treatment of inconclusive gates: warn, fail or pass."""
        return str(self.run.configuration.get("inconclusive", "warn"))

    @property
    def failed_gates(self) -> list[GateReport]:
        """The verdicts that fail the run."""
        return [verdict for verdict in self.verdicts if fails_run(verdict, self.inconclusive)]

    @property
    def identity_notes(self) -> list[str]:
        """The sentences on models that the baseline has under the same name."""
        if self.baseline is None or self.run.base is not None:
            return []
        return list(identity_notes(self.run.identities, self.baseline.identities))

    @property
    def not_gated(self) -> str | None:
        """The reason why no gate was evaluated, None where there is none."""
        if _shard(self.run) is not None:
            return "this is one part of a run; its gates are evaluated when the parts are merged"
        if self.run.incomplete is not None and not self.verdicts:
            return f"the gates were not evaluated: {self.run.incomplete}"
        return None

    @property
    def causes(self) -> set[Cause]:
        """What the run ends for; empty where all is well."""
        causes = self.gate_causes
        if self.problems or self.broken_tests:
            causes.add("broken")
        if self.failed_tests > self.broken_tests:
            causes.add("failed")
        return causes

    @property
    def gate_causes(self) -> set[Cause]:
        """What the gates alone end the run for."""
        causes = {gate_cause(verdict, self.inconclusive) for verdict in self.verdicts}
        return {cause for cause in causes if cause is not None}

    @property
    def exit_status(self) -> int:
        """The exit status: pytest's own of a run that was interrupted, else that of the gravest cause."""
        if self.pytest_status > 1:
            return self.pytest_status
        return exit_status(self.causes) or self.pytest_status

    @property
    def headline(self) -> Headline:
        """The verdict on the run as a whole; "refused" where it could not start."""
        if self.pytest_status == COULD_NOT_START:
            return "refused"
        if "failed" in self.causes:
            return "failed"
        if "broken" in self.causes:
            return "broken"
        inconclusive = self.inconclusive != "pass" and any(
            verdict.verdict == "inconclusive" for verdict in self.verdicts
        )
        if self.not_gated is not None or inconclusive:
            return "inconclusive"
        return "passed" if self.summaries else "skipped"


def _shard(run: Run) -> object:
    """Return the part that this is of a run, None for a whole run."""
    return run.configuration.get("shard")


def _incomparable(run: Run, baseline: Baseline | None, allow_flag: str | None) -> str | None:
    """Return why drops are refused: the models were asked in different ways."""
    if allow_flag is None or run.configuration.get("allow_mismatch"):
        return None
    if run.base is not None:
        return different_requests(run.adapted(), run.adapted(base=True), f"for {run.base}", allow_flag)
    if baseline is None:
        return None
    return different_requests(
        run.adapted(), baseline.fingerprint.get("adaptations"), "in the baseline", allow_flag
    )


def _problems(run: Run, summaries: Sequence[Summary]) -> Iterator[str]:
    """Yield what fails a run whatever its gates say; nothing for a part, or for answers before judging."""
    if run.configuration.get("stage") == "answer" or _shard(run) is not None:
        return
    yield from run.problems
    for summary in summaries:
        if summary.overall.n and all(row.value is None for row in (summary.overall, *summary.metrics)):
            yield (
                f"{summary.benchmark} has no mean, since its scores have several scales; give all its tests "
                "one max_score, or each scale its own metric"
            )
