"""What repeated answers to a benchmark's questions are to decide: its drop gates, or else its score."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_instructlab_eval.errors import EvalError
from pytest_instructlab_eval.gates import Gate, parse_gate
from pytest_instructlab_eval.gates.evaluation import with_default_gates
from pytest_instructlab_eval.gates.family import family_confidence
from pytest_instructlab_eval.records.baseline import read_baseline
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.previous_runs import last_results
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.stats.needed_repeats import Aim, AnswerSpread, decisive_distance
from pytest_instructlab_eval.stats.repeated_answers import ratings_over_turns, standard_errors

HALF_WIDTH = 0.05  # of the scale, which the interval of a score without a drop gate is to reach


@dataclass(frozen=True)
class AskedQuestion:
    """One question of a benchmark: its name, its group, and the digest of its content, which may be empty."""

    name: str
    group: str
    content: str = ""


@dataclass(frozen=True)
class Purpose:
    """One thing that the answers to some questions decide.

    `text` is the gate, or a phrase where there is none. `questions` are the names of the questions that count
    in it, and `metric` is the one that it is about, None for the mean of all.
    """

    text: str
    questions: frozenset[str]
    metric: str | None
    aim: Aim

    def spreads(self, results: Iterable[Result]) -> list[AnswerSpread]:
        """Return the spread of the answers to each of its questions that was asked several times."""
        return spreads_of(
            (result.scores for result in results if result.question in self.questions), self.metric
        )


@dataclass(frozen=True)
class EarlierAnswers:
    """The repeated answers of an earlier run to the questions of a benchmark.

    `results` are all of them, and `compared` says that the drops of this run are measured from them.
    """

    results: tuple[Result, ...] = ()
    compared: bool = False

    @classmethod
    def of(cls, settings: Settings, benchmark: str) -> EarlierAnswers:
        """Return those of the baseline, or of the output folder's last run where its judges were the same.

        A file that cannot be read has none: the run itself reports a baseline that it cannot use.
        """
        compared = settings.baseline is not None
        path = settings.baseline or last_results(settings.output_dir)
        if not compared and not path.is_file():
            return cls()
        with contextlib.suppress(EvalError, OSError):
            earlier = read_baseline(path)
            if compared or earlier.fingerprint.get("judge_model") == plain_data(settings.judge_model):
                return cls(
                    tuple(result for result in earlier.results if result.benchmark == benchmark), compared
                )
        return cls(compared=compared)

    def spreads(self, metric: str | None) -> list[AnswerSpread]:
        """Return the spread of the answers to each question that was asked several times."""
        return spreads_of((result.scores for result in self.results), metric)


def drop_gates(settings: Settings) -> list[Gate]:
    """Return the drop gates of the options, none in a run that has nothing to measure a drop from.

    Those on one figure replace each other as in the verdicts.
    """
    if settings.base_model is None and settings.baseline is None:
        return []
    texts = [(text, True) for text in settings.gates] + [(text, False) for text in settings.gate]
    gates = with_default_gates((parse_gate(text, standing=standing) for text, standing in texts), ())
    return [gate for gate in gates if gate.selector.figure.compares]


def undecided_gates(settings: Settings, benchmark: str, purposes: Sequence[Purpose]) -> list[Gate]:
    """Return the gates on drops of a benchmark from a baseline that none of its purposes decides."""
    decided = {purpose.text for purpose in purposes}
    gates = drop_gates(settings) if settings.baseline is not None else []
    return [gate for gate in gates if gate.selector.benchmark == benchmark and gate.text not in decided]


def purposes_of(
    settings: Settings,
    benchmark: str,
    maximum: float,
    questions: Sequence[AskedQuestion],
    earlier: EarlierAnswers,
) -> list[Purpose]:
    """Return what the answers to the questions decide.

    That is each drop gate on them. Where several gates share the chance of a false alarm, each has a part of
    it. Without such a gate it is the score: its interval is to reach 5 % of the scale to either side.
    """
    gates = drop_gates(settings)
    confidence = family_confidence(len(gates) * len(settings.candidates))
    of_gates = (
        _gate_purpose(gate, confidence, maximum, questions, earlier)
        for gate in gates
        if gate.selector.benchmark == benchmark
    )
    purposes = [purpose for purpose in of_gates if purpose is not None]
    decided = frozenset[str]().union(*(purpose.questions for purpose in purposes))
    others = [question for question in questions if question.name not in decided]
    if others:
        half = HALF_WIDTH * maximum
        aim = Aim(len(others), half, sides=1, maximum=maximum)
        text = f"a 95 % interval of ±{half:g} around the score"
        purposes.append(Purpose(text, _question_names(others), None, aim))
    return purposes


def _gate_purpose(
    gate: Gate,
    confidence: float,
    maximum: float,
    questions: Sequence[AskedQuestion],
    earlier: EarlierAnswers,
) -> Purpose | None:
    """Return the purpose of the questions that a gate is about; None where it cannot be decided.

    A drop from a baseline, whose answers stay as they are, cannot where its questions were not asked several
    times.
    """
    metric, group = gate.selector.metric, gate.selector.group
    chosen = [question for question in questions if group in (None, question.group)]
    if not chosen:
        return None
    distance = decisive_distance(gate.limit, maximum)
    aim = Aim(len(chosen), distance, confidence=confidence, maximum=maximum)
    if earlier.compared:
        scores_of = {(result.question, result.content): result.scores for result in earlier.results}
        pairs = [scores_of[one.name, one.content] for one in chosen if (one.name, one.content) in scores_of]
        answers = [answer_ratings(scores, metric) for scores in pairs]
        errors = standard_errors(answers, [[0.0, 0.0]] * len(answers))
        if not errors:
            return None
        aim = replace(aim, questions=len(pairs), sides=1, fixed=tuple(errors[: len(answers)]))
    return Purpose(gate.text, _question_names(chosen), metric, aim)


def _question_names(questions: Iterable[AskedQuestion]) -> frozenset[str]:
    return frozenset(question.name for question in questions)


# --- ratings ---


def answer_ratings(scores: Sequence[Score], metric: str | None) -> list[float]:
    """Return the rating of each answer to a question, the mean of its turns; empty for a single answer.

    An answer without a rating of one of the turns is left out.
    """
    chosen = [score for score in scores if score.metric == metric] or list(scores)
    return ratings_over_turns([score.answers for score in chosen])


def spreads_of(scores: Iterable[Sequence[Score]], metric: str | None) -> list[AnswerSpread]:
    """Return the spread of the answers to each question that has several, given by its scores."""
    spreads = (AnswerSpread.of(answer_ratings(of_question, metric)) for of_question in scores)
    return [spread for spread in spreads if spread is not None]


def questions_of_results(results: Iterable[Result]) -> list[AskedQuestion]:
    """Return the questions of results, each once."""
    questions = (AskedQuestion(result.question, result.group, result.content) for result in results)
    return list(dict.fromkeys(questions))
