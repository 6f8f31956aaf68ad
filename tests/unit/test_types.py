"""The types of models tell the truth: `async` tests have a `Model`, plain ones a `BlockingModel`."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from pytest_instructlab_eval import BlockingJudge, BlockingModel, Judge, Model

EXAMPLES = Path(__file__).parents[2] / "examples"


async def asked_in_an_async_test(model: Model) -> str:
    return (await model.chat("Hello")).text


def asked_in_a_plain_test(model: BlockingModel) -> str:
    return model.chat("Hello").text


# mypy runs over this file and is told of an ignore that ignores nothing: each of these is an error to it.
async def awaited_though_it_waits(model: BlockingModel) -> None:
    await model.chat("Hello")  # type: ignore[misc]


def not_awaited(model: Model) -> None:
    _ = model.chat("Hello").text  # type: ignore[attr-defined]


METHODS = [name for name, _ in inspect.getmembers(Model, inspect.iscoroutinefunction)]


@pytest.mark.parametrize("name", METHODS)
def test_a_blocking_model_has_the_methods_of_a_model(name: str) -> None:
    waiting, awaited = getattr(BlockingModel, name), getattr(Model, name)
    assert inspect.signature(waiting) == inspect.signature(awaited)
    assert not inspect.iscoroutinefunction(waiting)


def test_a_blocking_model_has_nothing_else() -> None:
    names = {name for name in vars(BlockingModel) if not name.startswith("_")}
    assert names == {name for name in vars(Model) if not name.startswith("_")}
    assert {"chat", "choice_logprobs"} <= set(METHODS)


def test_no_example_asks_mypy_to_look_away() -> None:
    ignoring = [path.name for path in EXAMPLES.rglob("*.py") if "type: ignore" in path.read_text("utf-8")]
    assert ignoring == []


@pytest.mark.parametrize("name", ["grade", "chat"])
def test_a_blocking_judge_has_the_methods_of_a_judge(name: str) -> None:
    waiting, awaited = getattr(BlockingJudge, name), getattr(Judge, name)
    assert inspect.signature(waiting) == inspect.signature(awaited)
    assert not inspect.iscoroutinefunction(waiting)
    assert inspect.iscoroutinefunction(awaited)
