"""MT-Bench: 80 two-turn questions graded by a judge from 1 to 10 (https://arxiv.org/abs/2306.05685).

Asked and graded as InstructLab does it: its temperatures, its system prompts, FastChat's judge
prompts for a single answer. What is ours: an answer that could not be had is never judged, and no
text that is put to the judge can pass for a rating or for a heading of the prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_instructlab_eval.errors import DataError, ModelError, NoAnswerError
from pytest_instructlab_eval.judges.judge import Judge, JudgePrompt
from pytest_instructlab_eval.judges.pooling import pool_scores
from pytest_instructlab_eval.judges.scale import ONE_TO_TEN
from pytest_instructlab_eval.judges.trial import Put
from pytest_instructlab_eval.models import Message, Model
from pytest_instructlab_eval.records.evidence import Evidence, ModelReply, Origin
from pytest_instructlab_eval.records.scores import Score
from pytest_instructlab_eval.seeds import seed_of
from pytest_instructlab_eval.settings import Settings
from pytest_instructlab_eval.suites.benchmark import AnswerFiles, Benchmark
from pytest_instructlab_eval.suites.mt_bench_files import MTBenchFiles, mt_bench_files
from pytest_instructlab_eval.suites.mt_bench_prompts import (
    conversation_template,
    judge_prompt,
    reference_answers,
)

if TYPE_CHECKING:
    from pytest_instructlab_eval.suites.repetition import AutoRepeats

ANSWER_TOKENS = 1024
TEMPERATURES = {
    "writing": 0.7, "roleplay": 0.7, "extraction": 0.0, "math": 0.0, "coding": 0.0, "reasoning": 0.0,
    "stem": 0.1, "humanities": 0.1,
}  # fmt: skip
OTHER_TEMPERATURE = 0.7


@dataclass(frozen=True)
class MTBenchQuestion:
    """One question: a conversation's user turns, and how the judge is asked about each.

    It is asked `repeats` times, or as often as `auto` decides, and an answer gets so many `judgments`. `seed`
    is the run's, from which the seeds of its repeats are made.
    """

    number: str
    category: str
    turns: tuple[str, ...]
    temperature: float
    judge_prompts: tuple[JudgePrompt, ...]
    references: tuple[str, ...] = ()
    system_prompts: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 1
    judgments: int = 1
    seed: int = 0
    auto: AutoRepeats | None = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str:
        """Return the name of the test, such as "81-writing"."""
        return f"{self.number}-{self.category}"

    @property
    def group(self) -> str:
        """Return the category."""
        return self.category

    @property
    def content(self) -> object:
        """Return the content that distinguishes it from other questions, and its grading from theirs."""
        prompts = [(prompt.system, prompt.template) for prompt in self.judge_prompts]
        return self.turns, self.references, self.temperature, prompts

    @property
    def requests(self) -> int:
        """Return the number of its requests: an answer and its judgments for each turn and repeat.

        Where `auto` decides the repeats, it is their number as far as it is known.
        """
        repeats = self.repeats
        if self.auto is not None:
            repeats = self.auto.repetition.expected(self.auto.name)
        return len(self.turns) * repeats * (1 + self.judgments)


@dataclass(frozen=True)
class MoreAnswers:
    """The model that answered, and the means to ask it again; None where that would bring nothing.

    `ask` takes the number of the repeat, from 0.
    """

    model: Model
    ask: Callable[[int], Awaitable[MTBenchAnswer]] | None


@dataclass(frozen=True)
class MTBenchAnswer:
    """A model's answers to the turns that it could be asked; `error` says why one is missing.

    `again` has the further answers of a question that is asked repeatedly, and `more` is how to get yet more
    of them where `auto` decides their number. `finish_reasons` and `reasonings` are why each answer ended and
    the reasoning before it, also of a turn that has reasoning and no answer.
    """

    turns: tuple[str, ...]
    error: str | None = None
    again: tuple[MTBenchAnswer, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    reasonings: tuple[str, ...] = ()
    more: MoreAnswers | None = field(default=None, compare=False, repr=False)

    def reply(self, number: int) -> ModelReply:
        """Return the answer to this turn, counted from 1."""
        all_texts = (self.turns, self.finish_reasons, self.reasonings)
        text, finish_reason, reasoning = (next(iter(texts[number - 1 : number]), None) for texts in all_texts)
        return ModelReply(text, finish_reason or "", reasoning or "")


def mt_bench_questions(
    source: Path | None = None,
    *,
    repeats: int = 1,
    judgments: int = 1,
    seed: int = 0,
) -> list[MTBenchQuestion]:
    """Return the questions of the published wheel, or of a folder or wheel; raises DataError.

    One that is answered at temperature 0 is asked once whatever the `repeats`: it would be answered alike.
    """
    files = mt_bench_files(source)
    location = str(source or "the published wheel")
    prompts = {str(record.get("name")): record for record in files.judge_prompts}
    references = {str(record.get("question_id")): record for record in files.references}
    questions = [
        _mt_bench_question(record, prompts, references, files, location) for record in files.questions
    ]
    return [
        replace(question, repeats=repeats if question.temperature > 0 else 1, judgments=judgments, seed=seed)
        for question in questions
    ]


async def answer_mt_bench(question: MTBenchQuestion, model: Model) -> MTBenchAnswer:
    """Return the model's answer to each turn, with the turns before it in view.

    Ends at the first turn that could not be asked. Where the question is asked repeatedly, each time has a
    seed of its own. Where `auto` decides how often, these are the first answers, and `grade_mt_bench` asks
    for the others. At temperature 0 they are two at first, and no more where the model has repeated itself.
    """
    ask = partial(_answer_conversation, question, model)
    if question.auto is None:
        if question.repeats == 1:
            return await ask(None)
        first, *others = await _ask_repeats(ask, 0, question.repeats)
        return replace(first, again=tuple(others))
    repetition, key = question.auto.repetition, (question.auto.name, model.name)
    count = await repetition.kept_first(key, model)
    with repetition.under_way(key):
        if question.temperature > 0 or repetition.when == "recorded":
            answers, repeated_itself = await _ask_repeats(ask, 0, count), False
        else:
            answers = await _ask_repeats(ask, 0, 2)
            repeated_itself = answers[0].turns == answers[1].turns
        is_done = repeated_itself or any(one.error for one in answers)
        if not is_done:
            answers += await _ask_repeats(ask, len(answers), count)
    asks_later = repetition.when == "judged" and not is_done
    more = MoreAnswers(model, ask if asks_later else None)
    return replace(answers[0], again=tuple(answers[1:]), more=more)


async def _ask_repeats(
    ask: Callable[[int], Awaitable[MTBenchAnswer]], first: int, end: int
) -> list[MTBenchAnswer]:
    return await asyncio.gather(*(ask(repeat) for repeat in range(first, end)))


async def _answer_conversation(question: MTBenchQuestion, model: Model, repeat: int | None) -> MTBenchAnswer:
    """Return the answers of one conversation; a `repeat` has its number, from 0."""
    messages: list[Message] = []
    system = question.system_prompts.get(conversation_template(model.name, default="granite"), "")
    if system:
        messages.append({"role": "system", "content": system})
    answers: list[str] = []
    finish_reasons: list[str] = []
    reasonings: list[str] = []
    reason = None
    for number, turn in enumerate(question.turns, start=1):
        messages.append({"role": "user", "content": turn})
        seed = None
        if repeat is not None:
            seed = seed_of(question.seed, "answer", question.id, number, repeat=repeat)
        try:
            completion = await model.chat(
                messages, temperature=question.temperature, max_tokens=ANSWER_TOKENS, seed=seed
            )
        except ModelError as error:
            reason = str(error)
            if isinstance(error, NoAnswerError):
                finish_reasons.append(error.finish_reason)
                reasonings.append(error.reasoning)
            break
        answers.append(completion.text)
        finish_reasons.append(completion.finish_reason)
        reasonings.append(completion.reasoning)
        messages.append({"role": "assistant", "content": completion.text})
    return MTBenchAnswer(
        tuple(answers), reason, finish_reasons=tuple(finish_reasons), reasonings=tuple(reasonings)
    )


async def grade_mt_bench(question: MTBenchQuestion, answer: MTBenchAnswer, judge: Judge) -> list[Score]:
    """Return a score per turn, "turn_1" and "turn_2"; the second turn's judge sees both.

    A turn without an answer is an error and isn't judged. A turn that can't be asked about leaves
    the other turn's score as it is. Of several answers the mean counts, as one question.
    """
    answers = [answer, *answer.again]
    more = answer.more
    if question.auto is None or more is None:
        return _pooled(question, await _grade_answers(question, answers, judge, 0))
    repetition, key = question.auto.repetition, (question.auto.name, more.model.name)
    graded: list[list[Score]] = [[] for _ in question.turns]
    answer_count = 0
    while answers:
        with repetition.under_way(key):
            further = await _grade_answers(question, answers, judge, answer_count)
            graded = [[*first, *then] for first, then in zip(graded, further, strict=True)]
            answer_count += len(answers)
            scores = _pooled(question, graded)
            repetition.add(key, scores, answer_count)
        if more.ask is None or any(score.error for score in scores):
            break
        needed = await repetition.kept_number(key, answer_count, more.model)
        with repetition.under_way(key):
            answers = await _ask_repeats(more.ask, answer_count, needed)
    return scores


async def _grade_answers(
    question: MTBenchQuestion, answers: Sequence[MTBenchAnswer], judge: Judge, before: int
) -> list[list[Score]]:
    """Return the scores of each turn, one for each answer; so many answers were graded before these."""
    # All at the same time, so that judges that are swapped have one each.
    graded = await asyncio.gather(
        *(
            _grade_turn(question, one_answer, judge, turn, str(count))
            for turn in range(1, len(question.turns) + 1)
            for count, one_answer in enumerate(answers, start=before + 1)
        )
    )
    return [graded[turn * len(answers) : (turn + 1) * len(answers)] for turn in range(len(question.turns))]


def _pooled(question: MTBenchQuestion, graded: Sequence[Sequence[Score]]) -> list[Score]:
    """Return the score of each turn from those of its answers."""
    scores = []
    for of_turn in graded:
        if len(of_turn) == 1:
            scores.append(of_turn[0])
            continue
        parts = {str(count): score for count, score in enumerate(of_turn, start=1)}
        score = pool_scores(parts, "answer", all_needed=False)
        replies = tuple(reply for part in of_turn if part.evidence for reply in part.evidence.replies)
        evidence = replace(score.evidence or Evidence(), replies=replies)
        same = question.temperature == 0 and len({reply.text for reply in replies}) == 1
        scores.append(replace(score, evidence=evidence, same_answers=same))
    return scores


async def _grade_turn(
    question: MTBenchQuestion, answer: MTBenchAnswer, judge: Judge, number: int, count: str
) -> Score:
    """Return the score of one turn in one answer, whose number is `count`."""
    metric, turn = f"turn_{number}", number - 1
    about = Evidence(
        question.turns[turn], replies=(answer.reply(number),), origin=Origin(category=question.category)
    )
    if number > len(answer.turns):
        unanswered = len(answer.turns) + 1
        reason = answer.error or "the model gave no answer"
        if number > unanswered:
            reason = f"not asked, since turn {unanswered} has no answer"
        return Score(None, metric, ONE_TO_TEN.highest, error=reason, evidence=about)
    fields = {f"ref_answer_{position}": text for position, text in enumerate(question.references, start=1)}
    for position in range(number):
        fields[f"question_{position + 1}"] = question.turns[position]
        fields[f"answer_{position + 1}"] = answer.turns[position]
    score = await judge.grade(
        question.turns[turn],
        answer.turns[turn],
        reference=question.references[turn] if question.references else None,
        prompt=replace(question.judge_prompts[turn], fields=fields),
        metric=metric,
        answer_id=f"{question.id} {count}",
    )
    evidence = score.evidence or about
    return replace(score, evidence=replace(evidence, replies=about.replies, origin=about.origin, turn=number))


def prompt_of_first_turn(question: MTBenchQuestion) -> Put:
    """Return how an answer is put to the judge: by the prompt of the first turn of this question."""

    async def put(judge: Judge, text: str, reference: str, answer: str) -> Score:
        prompts = question.judge_prompts[:1]
        trial_question = replace(question, turns=(text,), references=(reference,), judge_prompts=prompts)
        (score,) = await grade_mt_bench(trial_question, MTBenchAnswer((answer,)), judge)
        return score

    return put


def _mt_bench_question(
    record: Mapping[str, Any],
    prompts: Mapping[str, Mapping[str, Any]],
    references: Mapping[str, Mapping[str, Any]],
    files: MTBenchFiles,
    location: str,
) -> MTBenchQuestion:
    try:
        category, identifier, turns = str(record["category"]), str(record["question_id"]), record["turns"]
        temperature = float(record.get("required_temperature", TEMPERATURES.get(category, OTHER_TEMPERATURE)))
    except KeyError as error:
        raise DataError(f"question.jsonl of {location}: a question lacks {error}") from None
    except (TypeError, ValueError):
        raise DataError(f"question.jsonl of {location}: required_temperature must be a number") from None
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        raise DataError(
            f"question.jsonl of {location}: the turns of question {identifier} must be a list of texts"
        )
    if not 1 <= len(turns) <= 2:
        raise DataError(f"question.jsonl of {location}: question {identifier} must have one or two turns")
    reference = reference_answers(references, category, identifier, len(turns), location)
    stem = "single-math-v1" if reference else "single-v1"
    names: Sequence[str] = (stem, f"{stem}-multi-turn")[: len(turns)]
    file = f"judge_prompts.jsonl of {location}"
    return MTBenchQuestion(
        number=identifier,
        category=category,
        turns=tuple(turns),
        temperature=temperature,
        judge_prompts=tuple(
            judge_prompt(prompts, name, number, file) for number, name in enumerate(names, start=1)
        ),
        references=reference,
        system_prompts=files.system_prompts,
    )


def _with_repeats(questions: Sequence[MTBenchQuestion], settings: Settings) -> list[MTBenchQuestion]:
    from pytest_instructlab_eval.suites.repetition import auto_repeats  # with the gates, for `auto` alone

    autos = auto_repeats(BENCHMARK, questions, settings)
    return [replace(question, auto=auto) for question, auto in zip(questions, autos, strict=True)]


BENCHMARK = Benchmark(
    name="mt_bench",
    title="MT-Bench",
    question=MTBenchQuestion,
    read=lambda settings: mt_bench_questions(
        settings.mt_bench_data,
        repeats=settings.fixed_repeat,
        judgments=settings.judgments,
        seed=settings.seed,
    ),
    metrics={"turn_1": ONE_TO_TEN.highest, "turn_2": ONE_TO_TEN.highest},
    judged=True,
    by_default=True,
    fixed_groups=True,
    with_repeats=_with_repeats,
    references=lambda question: question.references,
    judged_like=prompt_of_first_turn,
    files=AnswerFiles(lambda ref: Path("mt_bench"), lambda question: question),
)
