"""A model with a journal: each finished request is asked once, and only the very same request is replayed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_instructlab_eval.errors import ModelError, NoAnswerError
from pytest_instructlab_eval.judges import LLMJudge
from pytest_instructlab_eval.models import Completion, Message
from pytest_instructlab_eval.models.equal_requests import EqualRequests
from pytest_instructlab_eval.models.journalled_model import (
    AskedModelName,
    AskingTest,
    JournalledModel,
    kept_number,
)
from pytest_instructlab_eval.models.protocol import ChoiceLogprobs
from pytest_instructlab_eval.models.transcribed_model import TranscribedModel
from pytest_instructlab_eval.records.journal import Journal
from pytest_instructlab_eval.records.journal_folder import journal_files

from .fakes import FakeModel, Prompt

TEST = AskingTest("own", 1, "test_own.py::test_own", "capital of France")
NAME = AskedModelName("model", "tiny", '{"name": "tiny"}')


class Run:
    """One run of a test with a journal in a folder, each a process of its own."""

    def __init__(self, folder: Path, fake: FakeModel | None = None) -> None:
        self.fake = FakeModel() if fake is None else fake
        self.journal = Journal(folder / "journal", "main", reuse=True)
        self.numbers = EqualRequests()

    def model(self, test: AskingTest = TEST, name: AskedModelName = NAME) -> JournalledModel:
        return JournalledModel(self.fake, self.journal, test=test, name=name, numbers=self.numbers)

    @property
    def asked(self) -> int:
        return len(self.fake.chats) + len(self.fake.prompts)


class Numbered(FakeModel):
    """A model that never answers alike."""

    def __init__(self) -> None:
        super().__init__(lambda messages: f"answer {len(self.chats)}")


def chat(model: JournalledModel, text: str = "Capital of France?", **options: object) -> Completion:
    return asyncio.run(model.chat(text, **options))  # type: ignore[arg-type]


def weigh(model: JournalledModel, prompt: Prompt, choices: Sequence[str]) -> list[float]:
    return asyncio.run(model.choice_logprobs(prompt, choices))


def test_a_finished_chat_is_replayed_whole(tmp_path: Path) -> None:
    class Reasoning(FakeModel):
        async def chat(self, *args: object, **options: object) -> Completion:
            await super().chat("", **options)  # type: ignore[arg-type]
            return Completion("Paris \ud800", "length", 3, 4, 1.5, "as it is")

    first, second = Run(tmp_path, Reasoning()), Run(tmp_path)
    before = chat(first.model(), temperature=0.7, seed=3)
    second = Run(tmp_path)
    after = chat(second.model(), temperature=0.7, seed=3)
    assert (after, second.asked) == (before, 0)
    assert (second.journal.use.reused, second.journal.use.requests) == (1, 1)


def test_likelihoods_are_replayed_with_their_way(tmp_path: Path) -> None:
    first = Run(tmp_path, FakeModel(weigh=lambda prompt, choices: ChoiceLogprobs([-0.1, -3], "echo")))
    before = weigh(first.model(), "1 + 1 =", [" 2", " 3"])
    second = Run(tmp_path)
    after = weigh(second.model(), "1 + 1 =", [" 2", " 3"])
    assert (list(after), second.asked) == (list(before), 0)
    assert isinstance(after, ChoiceLogprobs)
    assert after.way == "echo"


@pytest.mark.parametrize(
    ("test", "name", "text", "options"),
    [
        (dataclasses.replace(TEST, benchmark="b"), NAME, "text", {}),
        (dataclasses.replace(TEST, version=2), NAME, "text", {}),
        (dataclasses.replace(TEST, location="b"), NAME, "text", {}),
        (dataclasses.replace(TEST, question="b"), NAME, "text", {}),
        (TEST, dataclasses.replace(NAME, role="judge"), "text", {}),
        (TEST, dataclasses.replace(NAME, identity="other weights"), "text", {}),
        (TEST, NAME, "other text", {}),
        (TEST, NAME, "text", {"temperature": 0.5}),
        (TEST, NAME, "text", {"max_tokens": 5}),
        (TEST, NAME, "text", {"seed": 1}),
    ],
)
def test_another_request_is_asked(
    tmp_path: Path, test: AskingTest, name: AskedModelName, text: str, options: dict[str, object]
) -> None:
    chat(Run(tmp_path).model(), "text")
    again = Run(tmp_path)
    chat(again.model(test, name), text, **options)
    assert again.asked == 1


def test_another_label_is_the_same_model(tmp_path: Path) -> None:
    chat(Run(tmp_path).model())
    again = Run(tmp_path)
    chat(again.model(name=dataclasses.replace(NAME, label="path/tiny")))
    assert again.asked == 0


@pytest.mark.parametrize("other", [("p", [" a"]), ("p", [" a", " c"]), ("q", [" a", " b"])])
def test_other_choices_are_asked(tmp_path: Path, other: tuple[str, list[str]]) -> None:
    weigh(Run(tmp_path).model(), "p", [" a", " b"])
    again = Run(tmp_path)
    weigh(again.model(), *other)
    assert again.asked == 1


def test_equal_requests_of_one_test_are_each_asked(tmp_path: Path) -> None:
    first = Run(tmp_path, Numbered())
    answers = [chat(first.model()).text for _ in range(3)]
    assert len(set(answers)) == 3
    second = Run(tmp_path, Numbered())
    assert [chat(second.model()).text for _ in range(4)] == [*answers, "answer 1"]


@given(st.lists(st.sampled_from("ab"), max_size=8), st.integers(0, 8))
def test_a_test_that_is_cut_off_anywhere_goes_on_as_if_it_was_not(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    first = Run(folder, Numbered())
    before = [chat(first.model(), text).text for text in texts[:cut]]
    second = Run(folder, Numbered())
    after = [chat(second.model(), text).text for text in texts]
    assert after[:cut] == before
    assert second.asked == len(texts[cut:])


def test_an_error_is_asked_again_under_its_number(tmp_path: Path) -> None:
    def fail(messages: Sequence[Message]) -> str:
        if len(first.fake.chats) == 1:
            raise NoAnswerError("tiny gave no answer: it stopped after its reasoning")
        return "Paris"

    first = Run(tmp_path, FakeModel(fail))
    with pytest.raises(NoAnswerError):
        chat(first.model())
    chat(first.model())
    second = Run(tmp_path)
    assert chat(second.model()).text == "Paris"
    assert second.asked == 0


def test_a_request_that_is_cancelled_is_not_finished(tmp_path: Path) -> None:
    class Slow(FakeModel):
        async def chat(self, *args: object, **options: object) -> Completion:
            await asyncio.sleep(600)
            raise AssertionError

    async def cancel() -> None:
        asked = asyncio.ensure_future(Run(tmp_path, Slow()).model().chat("text"))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait({asked})

    asyncio.run(cancel())
    assert journal_files(tmp_path / "journal") == []


@pytest.mark.parametrize(
    "reply", ['{"text":7}', '{"text":"a","finish_reason":"stop","prompt_tokens":-1}', "[]", "null"]
)
def test_a_reply_of_another_form_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    class Foreign(FakeModel):
        async def chat(self, *args: object, **options: object) -> Completion:
            return Completion("x", "stop", 0, 0, 0.0)

    first = Run(tmp_path, Foreign())
    add = first.journal.add
    monkeypatch.setattr(
        first.journal, "add", lambda key, record, _: add(key, {**record, "chat": json.loads(reply)})
    )
    chat(first.model())
    second = Run(tmp_path)
    assert chat(second.model()).text == "answer to Capital of France?"
    assert (second.asked, second.journal.use.left_out) == (1, 1)


def test_what_could_not_be_sent_is_not_journalled(tmp_path: Path) -> None:
    run = Run(tmp_path, Numbered())
    asyncio.run(run.model().chat([{"role": "user", "content": "x", "more": object()}]))  # type: ignore[typeddict-unknown-key]
    assert run.asked == 1
    assert journal_files(tmp_path / "journal") == []


def test_nothing_is_used_that_could_not_be_kept(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no folder")
    run = Run(tmp_path)
    with pytest.raises(ModelError, match=r"the journal in .* cannot be written .File exists.*--eval-resume"):
        chat(run.model())


# --- how often a question is asked ---


def kept(run: Run, number: int, about: object = "a gate", name: AskedModelName = NAME) -> int:
    async def decide() -> int:
        return number

    model = TranscribedModel(run.model(name=name), [])
    return asyncio.run(kept_number(model, about, decide))


def test_a_number_is_decided_once_for_what_it_is_for(tmp_path: Path) -> None:
    assert kept(Run(tmp_path), 5) == 5
    again = Run(tmp_path)
    assert kept(again, 9) == 5
    assert kept(again, 9, about="another gate") == 9
    assert kept(again, 7, name=dataclasses.replace(NAME, judges="another judge")) == 7
    assert kept(again, 8, name=dataclasses.replace(NAME, identity="other weights")) == 8
    assert (again.journal.use.reused, again.journal.use.requests) == (0, 0)  # no request


@pytest.mark.parametrize("number", [True, 0, -3, "5", None, 2.0])
def test_what_is_no_number_is_decided_anew(tmp_path: Path, number: object) -> None:
    kept(Run(tmp_path), number)  # type: ignore[arg-type]
    assert kept(Run(tmp_path), 4) == 4


def test_without_a_journal_it_is_decided_each_time() -> None:
    async def decide() -> int:
        return 3

    assert asyncio.run(kept_number(FakeModel(), "a gate", decide)) == 3


# --- judgments ---


def grade(run: Run) -> float | None:
    model = run.model(name=dataclasses.replace(NAME, role="judge"))
    judge = LLMJudge(model, discard=model.discard)
    return asyncio.run(judge.grade("Capital of France?", "Paris", reference="Paris")).value


def test_a_judgment_is_reused_only_with_its_rating(tmp_path: Path) -> None:
    unrated = Run(tmp_path, FakeModel(lambda messages: "no idea"))
    assert (grade(unrated), unrated.asked) == (None, 2)
    rated = Run(tmp_path, FakeModel(lambda messages: "[[7]]"))
    assert (grade(rated), rated.asked) == (7, 1)
    again = Run(tmp_path, FakeModel(lambda messages: "[[2]]"))
    assert (grade(again), again.asked) == (7, 0)


def test_a_first_try_without_a_rating_is_replayed_with_the_second(tmp_path: Path) -> None:
    first = Run(tmp_path, FakeModel(lambda messages: "[[7]]" if len(first.fake.chats) > 1 else "no idea"))
    assert (grade(first), first.asked) == (7, 2)
    again = Run(tmp_path)
    assert (grade(again), again.asked) == (7, 0)
