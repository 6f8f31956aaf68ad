"""The parts of a run: which hook of which part comes before another's."""

from __future__ import annotations

import pytest

MODEL = ("--eval-model=tiny", "--eval-base-url=http://127.0.0.1:9/v1")
PREFIX = "instructlab-eval-"


def order(config: pytest.Config, hook: str) -> list[str]:
    """Return the parts that have a hook, in the order in which pytest calls them."""
    called = reversed(getattr(config.hook, hook).get_hookimpls())
    return [
        found.plugin_name.removeprefix(PREFIX) for found in called if found.plugin_name.startswith(PREFIX)
    ]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def config(pytester: pytest.Pytester) -> pytest.Config:
    return pytester.parseconfigure("-p", "pytest_instructlab_eval.plugin", *MODEL)


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        ("pytest_sessionstart", ["workers", "preparation"]),
        ("pytest_collection_modifyitems", ["parametrization", "collection"]),
        ("pytest_collection_finish", ["preparation", "execution"]),
        ("pytest_sessionfinish", ["runend"]),
    ],
)
def test_a_part_comes_before_another(config: pytest.Config, hook: str, expected: list[str]) -> None:
    assert order(config, hook) == expected


def test_what_was_collected_is_looked_at_once_it_has_been_told(config: pytest.Config) -> None:
    called = [found.plugin_name for found in reversed(config.hook.pytest_collection_finish.get_hookimpls())]
    assert called[-2:] == [f"{PREFIX}preparation", f"{PREFIX}execution"]


def test_without_a_model_there_are_no_parts(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfigure("-p", "pytest_instructlab_eval.plugin")
    assert not [name for name, _ in config.pluginmanager.list_name_plugin() if name.startswith(PREFIX)]
