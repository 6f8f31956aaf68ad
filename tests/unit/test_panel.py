"""Several judges as one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.judges import LLMJudge, Panel, ReferenceJudge
from pytest_instructlab_eval.records.evidence import Evidence
from pytest_instructlab_eval.records.scores import Result, Score
from pytest_instructlab_eval.reports.scores_table import agreement_text, scores_table
from pytest_instructlab_eval.stats.summary import summarise
from pytest_instructlab_eval.suites import mt_bench
from pytest_instructlab_eval.suites.instructlab_files import write_instructlab_files
from pytest_instructlab_eval.suites.mt_bench import MTBenchAnswer

from .fakes import FakeModel


def judge(says: str, name: str = "strict") -> LLMJudge:
    return LLMJudge(FakeModel(lambda messages: says, name=name))


def panel(**says: str) -> Panel:
    return Panel({name: judge(text, name) for name, text in says.items()})


def graded(judges: Panel, reference: str | None = None) -> Score:
    return asyncio.run(judges.grade("How many?", "Seven.", reference=reference))


def test_the_rating_of_a_panel_is_the_mean_of_its_judges() -> None:
    score = graded(panel(strict="Hm. [[3]]", kind="Nice. [[8]]"))
    assert (score.value, score.n, score.maximum, score.outcome) == (5.5, 1, 10.0, "scored")


def test_each_judges_rating_and_judgment_are_kept() -> None:
    metadata = graded(panel(strict="Hm. [[3]]", kind="Nice. [[8]]")).data
    assert metadata["judgments"] == [
        {"judge": "strict", "rating": 3.0, "judgment": "Hm. [[3]]", "judgment_finish_reason": "stop"},
        {"judge": "kind", "rating": 8.0, "judgment": "Nice. [[8]]", "judgment_finish_reason": "stop"},
    ]
    assert metadata["judgment"] == "judge strict: Hm. [[3]]\n\njudge kind: Nice. [[8]]"
    assert (metadata["question"], metadata["answer"]) == ("How many?", "Seven.")


def test_an_answer_that_one_judge_did_not_rate_is_unscored() -> None:
    score = graded(panel(strict="No idea.", kind="Nice. [[8]]"))
    assert (score.value, score.outcome) == (None, "unscored")
    assert [entry["rating"] for entry in score.data["judgments"]] == [None, 8.0]


def test_an_answer_that_one_judge_could_not_be_asked_about_is_an_error() -> None:
    def away(messages: object) -> str:
        raise ModelError("the server is away")

    judges = Panel({"strict": LLMJudge(FakeModel(away)), "kind": judge("Nice. [[8]]", "kind")})
    score = graded(judges)
    assert (score.value, score.outcome) == (None, "error")
    assert score.error == "judge strict: the judge could not be asked: the server is away"


def test_the_likeness_to_the_reference_may_be_one_of_a_panel() -> None:
    judges = Panel({"reference": ReferenceJudge(), "kind": judge("Nice. [[8]]", "kind")})
    assert judges.needs_reference
    score = graded(judges, reference="Seven.")
    assert score.value == (10 + 8) / 2
    assert "judge_prompt" not in score.data  # it is that of one judge alone
    assert score.data["judgments"][0]["chrf"] == 100


def test_each_judge_gets_its_system_prompt_as_its_own_name_wants_it(mt_bench_folder: Path) -> None:
    (question, *_) = mt_bench.mt_bench_questions(mt_bench_folder)
    models = {name: FakeModel(lambda _: "[[5]]", name=name) for name in ("prometheus", "gpt-4")}
    judges = Panel({name: LLMJudge(model) for name, model in models.items()})
    asyncio.run(mt_bench.grade_mt_bench(question, MTBenchAnswer(("One.", "Two.")), judges))
    roles = {name: [message["role"] for message in model.chats[0].messages] for name, model in models.items()}
    assert roles == {"prometheus": ["user"], "gpt-4": ["system", "user"]}


def test_a_panel_is_no_model_to_chat_with() -> None:
    with pytest.raises(ModelError, match="a, b are a panel"):
        asyncio.run(panel(a="", b="").chat([]))


# --- reports ---


def result(number: int, **ratings: float) -> Result:
    judgments = [{"judge": name, "rating": value, "judgment": "so"} for name, value in ratings.items()]
    evidence: Mapping[str, Any] = {
        "answer": "An answer.",
        "judgments": judgments,
        "judgment": "all",
        "judge_prompt": "single-v1",
        "turn": 1,
    }
    score = Score(
        sum(ratings.values()) / len(ratings), "turn_1", 10.0, evidence=Evidence.from_plain(evidence)
    )
    return Result("mt_bench", f"{number}-writing", "writing", "tiny", ", ".join(ratings), scores=(score,))


@pytest.mark.parametrize(("alpha", "text"), [(0.957, "0.96"), (-0.2, "-0.20"), (None, "not measurable")])
def test_the_agreement_in_words(alpha: float | None, text: str) -> None:
    (summary,) = summarise([Result("own", "q", "", "lab", scores=(Score(1.0),))])
    assert agreement_text(dataclasses.replace(summary, agreement=alpha)) == text


def test_the_table_has_the_agreement_of_the_judges() -> None:
    (summary,) = summarise([result(81, a=2, b=3), result(82, a=9, b=8)])
    assert summary.agreement == pytest.approx(1 - (2 * 0.5 + 2 * 0.5) / 4 / (37 / 3))
    (row,) = [line for line in scores_table([summary]) if "agreement" in line]
    assert row.strip().removeprefix("agreement (Krippendorff's alpha)").split() == ["0.96", "2"]


def test_each_judge_has_a_file_of_its_own_judgments(tmp_path: Path) -> None:
    write_instructlab_files(tmp_path, [result(81, a=2, b=3), result(82, a=9, b=8)])
    folder = tmp_path / "mt_bench" / "model_judgment"
    assert sorted(path.name for path in folder.iterdir()) == ["a_single.jsonl", "b_single.jsonl"]
    records = [json.loads(line) for line in (folder / "b_single.jsonl").read_text().splitlines()]
    assert [(record["judge"], record["score"]) for record in records] == [
        (["b", "single-v1"], 3),
        (["b", "single-v1"], 8),
    ]
