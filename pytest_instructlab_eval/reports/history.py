"""The history of scores: each benchmark and model over the runs that a folder keeps, and its failed gates."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.gates.gate_report import Verdict
from pytest_instructlab_eval.records.baseline import FINGERPRINT, differences
from pytest_instructlab_eval.records.previous_runs import RESULTS, previous_runs
from pytest_instructlab_eval.reports.benchmark_scores import BenchmarkScore
from pytest_instructlab_eval.reports.kept_runs import KeptRun, KeptVerdict, kept_files, read_kept_run
from pytest_instructlab_eval.reports.verdicts import ORDER

LAST = 20  # runs that are shown unless the user says otherwise
MOST_NOTES = 10  # on one benchmark and model
BY_BENCHMARK = ("data", "prompts")  # entries of a fingerprint that have one for each benchmark
OF_JUDGES = ("judge_model", "judge_repeat")
MAY_DIFFER = frozenset({"model", "sample", "sample_seed"})
"""What may differ within a line: a model under one name is what a history follows, and another sample of the
same questions estimates the same mean."""


@dataclass(frozen=True)
class HistoryPoint:
    """One run's score of a benchmark and model.

    Points of one `line` were measured alike, so that they may be compared. `verdict` is the worst of the
    gates on it, None without one, and `failed` are those that failed or were refused.
    """

    run: KeptRun
    score: BenchmarkScore
    line: int
    verdict: Verdict | None
    failed: tuple[KeptVerdict, ...]


@dataclass(frozen=True)
class ScoreHistory:
    """The scores of a benchmark and model, oldest first; `notes` say why there are several lines."""

    benchmark: str
    model: str
    is_base: bool
    points: tuple[HistoryPoint, ...]
    notes: tuple[str, ...]

    @property
    def lines(self) -> int:
        """The number of lines."""
        return max(point.line for point in self.points)

    @property
    def maximum(self) -> float:
        """The highest possible score."""
        return max(point.score.maximum for point in self.points)

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest value that a score or its interval has."""
        scores = [point.score for point in self.points]
        values = [end for score in scores for end in score.interval or ()]
        values += [score.value for score in scores if score.value is not None]
        return min(values), max(values)


@dataclass(frozen=True)
class RunHistory:
    """The histories of all benchmarks and models in a folder of runs.

    `failures` are the failed gates by run, oldest first. `notes` say which runs are left out and why, and
    `unread` which files could not be read.
    """

    runs: int
    scores: tuple[ScoreHistory, ...]
    failures: tuple[tuple[KeptRun, KeptVerdict], ...]
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


NO_HISTORY = RunHistory(0, (), ())


def read_history(folder: Path, last: int = LAST) -> RunHistory:
    """Return the history of the last runs in a folder and below it; raises DataError as `kept_files`."""
    return _read_runs(kept_files(folder), folder, last)


def output_history(folder: Path) -> RunHistory:
    """Return the history of an output folder: its run, and the runs that it keeps in `previous`."""
    files = [path / RESULTS for path in (folder, *previous_runs(folder))]
    return _read_runs([path for path in files if path.is_file()], folder, LAST)


def _read_runs(files: Sequence[Path], folder: Path, last: int) -> RunHistory:
    """Return the history of the last runs of these files; a run that is there twice counts once."""
    runs, unread = dict[str, KeptRun](), []
    for path in files:
        try:
            run = read_kept_run(path, folder)
        except DataError as error:
            unread.append(str(error))
        else:
            runs.setdefault(run.checksum or str(path), run)
    ordered = sorted(runs.values(), key=lambda run: (run.ended, run.name))
    notes = [f"{run.name} is left out, as {run.unusable}" for run in ordered if run.unusable]
    usable = [run for run in ordered if run.unusable is None]
    if len(usable) > last:
        notes.append(f"the last {last:,} of {len(usable):,} runs are shown; --last {len(usable)} shows all")
    return history_of(usable[-last:], notes, unread)


def history_of(runs: Sequence[KeptRun], notes: Sequence[str] = (), unread: Sequence[str] = ()) -> RunHistory:
    """Return the history of these runs, which are in the order of their end."""
    keys = dict.fromkeys(
        (score.benchmark, score.model) for run in runs for score in run.scores if score.value is not None
    )
    failures = [(run, verdict) for run in runs for verdict in run.verdicts if _has_failed(verdict)]
    scores = tuple(_score_history(runs, benchmark, model) for benchmark, model in keys)
    return RunHistory(len(runs), scores, tuple(failures), tuple(notes), tuple(unread))


def time_text(time: datetime.datetime) -> str:
    """Return a time (UTC) to the minute: "2026-11-27 09:12"."""
    return f"{time:%Y-%m-%d %H:%M}"


def _has_failed(verdict: KeptVerdict) -> bool:
    return verdict.verdict in ("failed", "refused")


def _score_history(runs: Sequence[KeptRun], benchmark: str, model: str) -> ScoreHistory:
    """Return the history of a benchmark and model that at least one run has a score of."""
    points: list[HistoryPoint] = []
    notes: list[str] = []
    for run in runs:
        for score in run.scores:
            if (score.benchmark, score.model) != (benchmark, model) or score.value is None:
                continue
            line, why = _line_of(run, score, points)
            notes += [*why, *_other_model(run, score, points)]
            gates = [
                verdict
                for verdict in run.verdicts
                if verdict.benchmark == benchmark and verdict.model in (None, model)
            ]
            worst = min((gate.verdict for gate in gates), key=ORDER.index, default=None)
            points.append(HistoryPoint(run, score, line, worst, tuple(filter(_has_failed, gates))))
    hidden = len(notes) - MOST_NOTES
    if hidden > 0:
        notes = [f"{hidden} earlier notes are left out", *notes[-MOST_NOTES:]]
    return ScoreHistory(benchmark, model, points[-1].score.is_base, tuple(points), tuple(notes))


def _line_of(run: KeptRun, score: BenchmarkScore, before: Sequence[HistoryPoint]) -> tuple[int, list[str]]:
    """Return the line that a score goes on with, or a new one with the sentence that says why."""
    last_of_line = {point.line: point for point in before}
    if not last_of_line:
        return 1, []
    ours = _measurement(run, score)
    for line, point in sorted(last_of_line.items(), reverse=True):
        if not differences(ours, _measurement(point.run, point.score), ignoring=MAY_DIFFER):
            return line, []
    latest, line = before[-1], len(last_of_line) + 1
    now, then = time_text(run.ended), time_text(latest.run.ended)
    reasons = differences(
        ours, _measurement(latest.run, latest.score),
        ours_are=f"at {now}", theirs_are=f"at {then}", ignoring=MAY_DIFFER,
    )  # fmt: skip
    return line, [f"line {line} begins at {now}, as scores are not comparable: {'; '.join(reasons)}"]


def _measurement(run: KeptRun, score: BenchmarkScore) -> dict[str, object]:
    """Return the settings that a benchmark's score depends on, of those in the fingerprint of its run."""
    settings: dict[str, object] = {"scale": score.maximum}
    for name in FINGERPRINT:
        value = run.fingerprint.get(name)
        if name in BY_BENCHMARK and isinstance(value, dict):
            value = {key: entry for key, entry in value.items() if key == score.benchmark}
        if name not in OF_JUDGES or score.judge is not None:
            settings[name] = value
    return {**settings, "left out": run.left_out.get(score.benchmark)}


def _other_model(run: KeptRun, score: BenchmarkScore, before: Sequence[HistoryPoint]) -> Iterator[str]:
    """Yield the sentence that this is another model than the one before it under the same name."""
    identity = run.identities.get(score.model)
    identified = [point.run for point in before if score.model in point.run.identities]
    if identity is not None and identified:
        latest = identified[-1]
        why = identity.other_model(latest.identities[score.model])
        if why is not None:
            now, then = time_text(run.ended), time_text(latest.ended)
            yield f"another model under the name {escape(score.model)} at {now} than at {then}: {why}"
