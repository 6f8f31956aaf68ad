"""Answers and judgments in InstructLab's own file layout, so that its tools read them."""

from __future__ import annotations

import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from itertools import chain
from pathlib import Path

from pytest_instructlab_eval.data.answers import read_records
from pytest_instructlab_eval.data.file_names import file_of
from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.escaping import escape_json
from pytest_instructlab_eval.records.evidence import Evidence, Judgment
from pytest_instructlab_eval.records.plain_data import plain_data
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.suites.registry import find_benchmark

Record = dict[str, object]


def write_instructlab_files(folder: Path, results: Sequence[Result], *, judging: bool = False) -> None:
    """Write a folder for MT-Bench and one for each ref that MT-Bench-Branch was run at.

    In each: `model_answer/MODEL.jsonl` and `model_judgment/JUDGE_single.jsonl`, with what was answered and
    judged. For a ref also `question.jsonl` and `reference_answer/JUDGE.jsonl`, with all that was asked.
    Where the run is `judging` what is there, perhaps of another tool, questions and answers stay as they are,
    and what is in the other files of other questions stays too. Raises OSError.
    """
    groups: dict[tuple[Path, bool], list[Result]] = defaultdict(list)
    for result in results:
        benchmark = find_benchmark(result.benchmark)
        if benchmark is not None and benchmark.files is not None and result.scores:
            location = folder / benchmark.files.folder(_evidence_of_result(result).origin.ref)
            groups[location, benchmark.files.with_questions].append(result)
    for (path, with_questions), group in groups.items():
        if with_questions:
            _write_questions(path, group, judging)
        if not judging:
            _write_answers(path, group)
        _write_judgments(path, group, judging)


def _write_questions(folder: Path, results: Sequence[Result], judging: bool) -> None:
    # Each question once, though several models answered it.
    by_question = {_question_id(result): result for result in reversed(results)}
    ordered = list(reversed(by_question.values()))
    if not (judging and (folder / "question.jsonl").exists()):
        records: list[Record] = [
            {
                "qna_file": _evidence_of_result(result).origin.qna_file,
                "question_id": _question_id(result),
                "category": _evidence_of_result(result).origin.category,
                "turns": [_evidence_of_result(result).question],
                "reference": [_evidence_of_result(result).reference],
            }
            for result in ordered
        ]
        _write(folder / "question.jsonl", records)
    for judge in _judges(ordered):
        references: list[Record] = [
            {
                "question_id": _question_id(result),
                "answer_id": uuid.uuid4().hex[:22],
                "model_id": judge,
                "choices": [{"index": 0, "turns": [_evidence_of_result(result).reference]}],
                "tstamp": time.time(),
            }
            for result in ordered
        ]
        path = folder / "reference_answer" / file_of(judge, ".jsonl")
        _write(path, [*_others(path, references, judging), *references])


def _write_answers(folder: Path, results: Sequence[Result]) -> None:
    """Write the answers of each question that has all of them, each time that it was asked."""
    answers: dict[str, list[Record]] = defaultdict(list)
    for result in results:
        turns = [
            [reply.text for reply in score.evidence.replies] for score in result.scores if score.evidence
        ]
        asked_alike = len(set(map(len, turns))) == 1
        if asked_alike and all(turns) and None not in chain.from_iterable(turns):
            times = enumerate(zip(*turns, strict=True))
            record: Record = {
                "question_id": _question_id(result),
                "answer_id": uuid.uuid4().hex[:22],
                "model_id": result.model,
                "choices": [{"index": index, "turns": texts} for index, texts in times],
                "tstamp": time.time(),
            }
            answers[result.model].append(record)
    for model, records in answers.items():
        _write(folder / "model_answer" / file_of(model, ".jsonl"), sorted(records, key=_order))


def _write_judgments(folder: Path, results: Sequence[Result], judging: bool) -> None:
    judgments: dict[str, list[Record]] = defaultdict(list)
    for result in results:
        for score in result.scores:
            for judgment in _judgments(result, score):
                evidence = score.evidence or Evidence()
                no_rating = -1  # as InstructLab marks it
                record: Record = {
                    "question_id": _question_id(result),
                    "model": result.model,
                    "judge": [judgment.judge, judgment.prompt or evidence.judge_prompt],
                    "user_prompt": evidence.user_prompt,
                    "judgment": judgment.text,
                    "score": no_rating if judgment.rating is None else judgment.rating,
                    "turn": evidence.turn,
                    "tstamp": time.time(),
                }
                judgments[judgment.judge].append(record)
    for judge, records in judgments.items():
        path = folder / "model_judgment" / file_of(judge, "_single.jsonl")
        _write(path, sorted([*_others(path, records, judging), *records], key=_order))


def _others(path: Path, records: Sequence[Record], judging: bool) -> list[Record]:
    """Return the records of an existing file, without those that these records replace."""
    if not (judging and path.exists()):
        return []
    newer = set(map(_identity, records))
    return [record for record in read_records(path) if _identity(record) not in newer]


def _identity(record: Record) -> tuple[str, str, str]:
    """Return the question, model and turn of a record. InstructLab has the end of a model's name."""
    model = str(record.get("model", "")).rpartition("/")[2]
    return str(record.get("question_id")), model, str(record.get("turn"))


def _evidence_of_result(result: Result) -> Evidence:
    """Return what the first score rests on, which says what was asked."""
    return result.scores[0].evidence or Evidence()


def _judges(results: Sequence[Result]) -> list[str]:
    """Return the judges that rated, each by its own name; where none did, those that were to."""
    scores = ((result, score) for result in results for score in result.scores)
    rated = [judgment.judge for result, score in scores for judgment in _judgments(result, score)]
    named = rated or [name for result in results for name in (result.judge or "").split(", ")]  # of a panel
    return list(filter(None, dict.fromkeys(named)))


def _judgments(result: Result, score: Score) -> list[Judgment]:
    """Return what each judge made of a turn; nothing where it wasn't judged.

    Of repeated judgments by one judge the mean of the ratings stands for all, with every text, so that
    InstructLab's tools, which give each line the same weight, find the same mean as we do.
    """
    by_judge: dict[str, list[Judgment]] = defaultdict(list)
    for judgment in score.judgments:
        by_judge[judgment.judge or result.judge or ""].append(judgment)
    merged = []
    for judge, judgments in by_judge.items():
        judgment = replace(judgments[0], judge=judge)
        if len(judgments) > 1:
            ratings = [one.rating for one in judgments if one.rating is not None]
            texts = [f"{number}: {one.text}" for number, one in enumerate(judgments, start=1)]
            mean = statistics.fmean(ratings) if ratings else None
            judgment = replace(judgment, rating=mean, text="\n\n".join(texts))
        merged.append(judgment)
    return merged


def _question_id(result: Result) -> int | str:
    """Return InstructLab's id where the scores have it, else the number in MT-Bench's own."""
    recorded_id = _evidence_of_result(result).origin.question_id
    if recorded_id is not None:
        return recorded_id
    number = result.question.partition("-")[0]
    return int(number) if number.isdecimal() else result.question


def _order(record: Record) -> tuple[int, float, str, str]:
    """Return the sort key of a record: numbers first, then names, each by turn."""
    identifier, turn = record.get("question_id"), str(record.get("turn", ""))
    return (0, identifier, "", turn) if isinstance(identifier, int) else (1, 0, str(identifier), turn)


def _write(path: Path, records: Sequence[Record]) -> None:
    import jsonlines

    text = StringIO()
    with jsonlines.Writer(text) as writer:
        writer.write_all(plain_data(record) for record in records)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, escape_json(text.getvalue()))
