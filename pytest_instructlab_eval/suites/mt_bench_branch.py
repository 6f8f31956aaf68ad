"""MT-Bench-Branch: a taxonomy's question and answer pairs, graded by a judge against their answers.

Asked and graded as InstructLab does it: each pair is an MT-Bench question of one turn, answered at a
temperature of 0.7 and judged by the prompt for questions with a reference answer, of which
MT-Bench-Branch has its own wording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_instructlab_eval.data.answers import QUESTIONS, AskedPair, read_questions
from pytest_instructlab_eval.data.file_names import safe_name
from pytest_instructlab_eval.judges.judge import Judge
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN
from pytest_instructlab_eval.models import Model
from pytest_instructlab_eval.records.evidence import Evidence, Origin
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites import mt_bench
from pytest_instructlab_eval.suites.benchmark import AnswerFiles, Benchmark, Need
from pytest_instructlab_eval.suites.mt_bench import (
    OTHER_TEMPERATURE,
    MTBenchAnswer,
    MTBenchQuestion,
)
from pytest_instructlab_eval.suites.mt_bench_files import mt_bench_branch_files
from pytest_instructlab_eval.suites.mt_bench_prompts import judge_prompt
from pytest_instructlab_eval.suites.taxonomy_pairs import base_pairs, branch_pairs, unasked_pairs

if TYPE_CHECKING:
    from pytest_instructlab_eval.data.taxonomy import QnaPair

CATEGORY = "taxonomy"
JUDGE_PROMPT = "single-math-v1"


@dataclass(frozen=True)
class BranchQuestion:
    """One pair of a qna.yaml: what is asked, and where in the taxonomy it is from.

    `id` is what the test is called by, such as "compositional_skills/riddles/qna.yaml:3", `path` the
    file's path in the taxonomy, `ref` the Git ref that it was read at (None: the working tree). `line` is
    that of the question in the file, None where unknown.
    """

    id: str
    path: str
    conversation: MTBenchQuestion
    ref: str | None = None
    line: int | None = None

    @property
    def group(self) -> str:
        """Return the file."""
        return self.path

    @property
    def content(self) -> object:
        """Return the content that distinguishes it from other questions."""
        return self.conversation.content

    @property
    def requests(self) -> int:
        """Return the number of its requests: answers and their judgments."""
        return self.conversation.requests

    @property
    def origin(self) -> Origin:
        """Return what InstructLab's files say of it."""
        return Origin(self.conversation.category, self.conversation.number, self.path, self.ref, self.line)


def mt_bench_branch_questions(
    pairs: Iterable[QnaPair],
    source: Path | None = None,
    *,
    ref: str | None = None,
    repeats: int = 1,
    judgments: int = 1,
    seed: int = 0,
) -> list[BranchQuestion]:
    """Return a question for each pair, in their order, judged by the prompt of the published wheel.

    `source` is a folder or wheel that stands in for it; raises DataError.
    """
    asked_pairs: dict[str, AskedPair] = {}
    for pair in pairs:
        number = _digest(pair.question)  # InstructLab's id
        if number in asked_pairs:  # InstructLab's tools would give both pairs the same answer
            number = _digest(f"{pair.question}\n{pair.id}")
        prompt = pair.question
        if pair.context is not None:  # in InstructLab's wording, so that scores compare
            prompt = (
                f"Given the context below:\n{pair.context}\nAnswer the following question: {pair.question}"
            )
        asked_pairs[number] = AskedPair(pair.id, pair.path, number, prompt, pair.answer, pair.line)
    return recorded_questions(
        asked_pairs.values(), source, ref=ref, repeats=repeats, judgments=judgments, seed=seed
    )


def recorded_questions(
    asked_pairs: Iterable[AskedPair],
    source: Path | None = None,
    *,
    ref: str | None = None,
    repeats: int = 1,
    judgments: int = 1,
    seed: int = 0,
) -> list[BranchQuestion]:
    """Return the questions that an earlier run asked, as `mt_bench_branch_questions`."""
    files = mt_bench_branch_files(source)
    prompts = {str(record.get("name")): record for record in files.judge_prompts}
    location = f"mt_bench_branch/judge_prompts.jsonl of {source or 'the published wheel'}"
    prompt = judge_prompt(prompts, JUDGE_PROMPT, 1, location)
    return [
        BranchQuestion(
            question.id,
            question.path,
            MTBenchQuestion(
                number=question.number,
                category=CATEGORY,
                turns=(question.prompt,),
                temperature=OTHER_TEMPERATURE,
                judge_prompts=(prompt,),
                references=(question.reference,),
                system_prompts=files.system_prompts,
                repeats=repeats,
                judgments=judgments,
                seed=seed,
            ),
            ref,
            question.line,
        )
        for question in asked_pairs
    ]


async def answer_mt_bench_branch(question: BranchQuestion, model: Model) -> MTBenchAnswer:
    """Return the model's answer, in one turn."""
    return await mt_bench.answer_mt_bench(question.conversation, model)


async def grade_mt_bench_branch(question: BranchQuestion, answer: MTBenchAnswer, judge: Judge) -> Score:
    """Return the rating, from 1 to 10, of the answer against the pair's own; a missing answer is an error."""
    (score,) = await mt_bench.grade_mt_bench(question.conversation, answer, judge)
    evidence = replace(
        score.evidence or Evidence(),
        question=question.conversation.turns[0],
        reference=question.conversation.references[0],
        origin=question.origin,
    )
    return replace(score, metric="rating", evidence=evidence)


def _digest(text: str) -> str:
    """Return the MD5 of a text as a decimal number."""
    return str(int(hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest(), base=16))


def branch_folder(ref: str | None) -> Path:
    """Return the folder of MT-Bench-Branch at a ref; None is the working tree.

    A slash in the ref is one in the path, as InstructLab's tools have it.
    """
    parts = ref.split("/") if ref is not None else []
    return Path("mt_bench_branch", *map(safe_name, parts))


def _read_mt_bench_branch(settings: Settings, *, of_base: bool = False) -> list[BranchQuestion]:
    """Return the pairs of --eval-taxonomy at its ref; without it, the questions that an earlier run left.

    Those `of_base` are the pairs of --eval-base-branch, which the base model is asked in InstructLab's own
    way; with --eval-changed-only, those of the files that the branch changes, as they were.
    """
    ref = settings.base_branch if of_base else settings.branch
    if settings.taxonomy is None and (of_base or settings.stage == "judge"):
        return recorded_questions(
            read_questions(settings.output_dir / branch_folder(ref), list(settings.judges)),
            settings.mt_bench_data,
            ref=ref,
            repeats=settings.fixed_repeat,
            judgments=settings.judgments,
            seed=settings.seed,
        )
    pairs = base_pairs(settings) if of_base else branch_pairs(settings)
    if not pairs:
        return []  # and no prompts are looked for
    return mt_bench_branch_questions(
        pairs,
        settings.mt_bench_data,
        ref=ref,
        repeats=settings.fixed_repeat,
        judgments=settings.judgments,
        seed=settings.seed,
    )


def _pairs_with_repeats(questions: Sequence[BranchQuestion], settings: Settings) -> list[BranchQuestion]:
    from pytest_instructlab_eval.suites.repetition import auto_repeats  # with the gates, for `auto` alone

    autos = auto_repeats(BENCHMARK, questions, settings, ref=questions[0].ref if questions else None)
    return [
        replace(question, conversation=replace(question.conversation, auto=auto))
        for question, auto in zip(questions, autos, strict=True)
    ]


BENCHMARK = Benchmark(
    name="mt_bench_branch",
    title="MT-Bench-Branch",
    question=BranchQuestion,
    read=_read_mt_bench_branch,
    metrics={"rating": ONE_TO_TEN.highest},
    judged=True,
    cluster="group",  # a qna.yaml's pairs are about one thing
    needs=(
        Need(
            "taxonomy",  # unless an earlier run left questions to be judged
            unless=lambda settings: (
                settings.stage == "judge"
                and (settings.output_dir / branch_folder(settings.branch) / QUESTIONS).is_file()
            ),
        ),
    ),
    own_settings=("taxonomy", "branch", "base_branch", "changed_only", "include_knowledge"),
    compared="each",
    about_these=lambda settings: settings.changed_only,
    read_of_base=partial(_read_mt_bench_branch, of_base=True),
    unasked=unasked_pairs,
    with_repeats=_pairs_with_repeats,
    references=lambda question: question.conversation.references,
    judged_like=lambda question: mt_bench.prompt_of_first_turn(question.conversation),
    files=AnswerFiles(branch_folder, lambda question: question.conversation, with_questions=True),
)
