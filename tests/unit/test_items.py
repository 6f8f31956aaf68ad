"""Which pytest items are eval tests, what they are called, and which may run before their turn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_instructlab_eval.session import items
from pytest_instructlab_eval.session.item_state import state_of
from pytest_instructlab_eval.session.items import ItemIdentity
from pytest_instructlab_eval.session.marker import marker_problem

HEAD = "import asyncio, pytest\n"
MARKED = "@pytest.mark.eval('knots')\n"
BOAT = "@pytest.fixture{}\ndef boat(): ...\n"

Source = tuple[str, str]  # of a test module, and of the conftest.py beside it
SOURCES: list[Source] = []  # of every test below; they are collected in one go


def about(source: str, conftest: str = "") -> pytest.MarkDecorator:
    """Hands the one test of a module to the test here as `item`."""
    return pytest.mark.parametrize("item", [kept(source, conftest)], ids=["item"], indirect=True)


def about_each(table: Mapping[str, tuple[str, bool]]) -> pytest.MarkDecorator:
    """Hands the one test of each module to the test here, with what is expected."""
    cases = [(kept(source), expected) for source, expected in table.values()]
    return pytest.mark.parametrize(("item", "expected"), cases, ids=list(table), indirect=["item"])


def kept(source: str, conftest: str = "") -> Source:
    SOURCES.append((source, conftest))
    return source, conftest


class Collector:
    """A pytest plugin that keeps the items."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = list(session.items)


def collected(folder: Path, *options: str) -> list[pytest.Item]:
    """The items of a folder, whose tests aren't run; of plugins there is ours alone."""
    collector = Collector()
    alone = ["-p", "pytest_instructlab_eval.plugin", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    where = [f"--rootdir={folder}", "-c/dev/null", "--import-mode=importlib", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        status = pytest.main([*where, *alone, *options, "-qq"], plugins=[collector])
    assert status == pytest.ExitCode.OK
    return collector.items


@pytest.fixture(scope="module")
def items_by_source(tmp_path_factory: pytest.TempPathFactory) -> dict[Source, pytest.Function]:
    folder = tmp_path_factory.mktemp("modules")
    for number, (source, conftest) in enumerate(SOURCES):
        place = folder / f"f{number}"
        place.mkdir()
        (place / f"test_{number}.py").write_text(HEAD + source, encoding="utf-8")
        if conftest:
            (place / "conftest.py").write_text(HEAD + conftest, encoding="utf-8")
    found = {item.path.parent: item for item in collected(folder, "--collect-only")}
    assert len(found) == len(SOURCES)
    by_source = {}
    for number, source_and_conftest in enumerate(SOURCES):
        item = found[folder / f"f{number}"]
        assert isinstance(item, pytest.Function)
        by_source[source_and_conftest] = item
    return by_source


@pytest.fixture
def item(request: pytest.FixtureRequest, items_by_source: dict[Source, pytest.Function]) -> pytest.Function:
    return items_by_source[request.param]


# --- is_eval_test ---


@about_each(
    {
        "marked": (MARKED + "async def test_x(): ...", True),
        "marked, but not async": (MARKED + "def test_x(): ...", False),
        "a model": ("async def test_x(served_model): ...", True),
        "a judge": ("async def test_x(judge): ...", True),
        "a recorder": ("async def test_x(record_score): ...", True),
        "the settings": ("async def test_x(eval_settings): ...", True),
        "a model, but not async": ("def test_x(served_model): ...", False),
        "another fixture": ("async def test_x(tmp_path): ...", False),
        "nothing": ("async def test_x(): ...", False),
        "a method": ("class TestX:\n    async def test_x(self, served_model): ...", True),
        "a marked module": ("pytestmark = pytest.mark.eval('knots')\nasync def test_x(): ...", True),
    }
)
def test_an_async_test_that_is_marked_or_asks_for_our_fixtures_is_an_eval_test(
    item: pytest.Function, expected: bool
) -> None:
    assert items.is_eval_test(item) is expected


@about(
    """
import functools
async def inner(): ...
@functools.wraps(inner)
def test_x(): ...
test_x = pytest.mark.eval('knots')(test_x)
"""
)
def test_a_function_around_the_test_does_not_hide_it(item: pytest.Function) -> None:
    assert items.is_eval_test(item)


# --- identity ---


@about("@pytest.mark.eval('knots', group='sailing')\nasync def test_bowline(): ...")
def test_an_eval_test_is_named_by_its_marker(item: pytest.Function) -> None:
    assert items.identity_of(item) == ItemIdentity("knots", "test_bowline", "sailing", None)


@about("async def test_knots(served_model): ...")
def test_without_a_marker_it_is_named_by_its_function(item: pytest.Function) -> None:
    assert items.identity_of(item) == ItemIdentity("knots", "test_knots", "", None)


@about(f"{MARKED}@pytest.mark.parametrize('knot', ['bowline'])\nasync def test_x(knot): ...")
def test_a_parameter_is_its_question(item: pytest.Function) -> None:
    assert items.identity_of(item).question == "test_x[bowline]"


@about(
    f"""
class Knot:
    group = 'loops'
{MARKED}@pytest.mark.parametrize('knot', [Knot()], ids=['bowline'])
async def test_x(knot): ...
"""
)
def test_an_object_of_the_users_is_not_taken_for_a_question_of_ours(item: pytest.Function) -> None:
    found = items.identity_of(item)
    assert (found.question, found.group) == ("test_x[bowline]", "")


CLUSTERED = "@pytest.mark.eval('knots', group='sea', cluster={})\n@pytest.mark.parametrize('knot', [{}])\n"


@about(f"{CLUSTERED.format(repr('group'), 1)}async def test_x(knot): ...")
def test_a_marker_may_take_its_group_for_a_cluster(item: pytest.Function) -> None:
    assert items.identity_of(item).cluster == "sea"


@about(f"{CLUSTERED.format(repr('knot'), repr('bowline'))}async def test_x(knot): ...")
def test_a_marker_may_take_a_parameter_for_a_cluster(item: pytest.Function) -> None:
    assert items.identity_of(item).cluster == "bowline"


@about(
    """
class Passage: pass
@pytest.mark.eval('reading', cluster='passage')
@pytest.mark.parametrize('passage', [Passage()], ids=['whales'])
async def test_x(passage): ...
"""
)
def test_a_cluster_that_is_no_text_is_called_by_its_place(item: pytest.Function) -> None:
    assert items.identity_of(item).cluster == "passage0"


@about("@pytest.mark.eval('knots')\nasync def test_x(): ...")
def test_without_a_word_a_question_is_a_cluster_of_its_own(item: pytest.Function) -> None:
    assert items.identity_of(item).cluster == ""


WRONG = ("'passage'", "3", "None", "''", "['knot']")
WRONGLY_CLUSTERED = {
    text: (f"{CLUSTERED.format(text, 1)}async def test_x(knot): ...", True) for text in WRONG
}


@about_each(WRONGLY_CLUSTERED)
def test_a_cluster_that_the_test_does_not_have_is_refused(item: pytest.Function, expected: bool) -> None:
    problem = marker_problem(item)
    assert (problem is not None) == expected
    assert "must be 'group' or a parameter of the test (got " in str(problem)
    assert str(problem).endswith("; its parameters: knot)")


MODEL = "@pytest.mark.parametrize('served_model', ['a-b'], indirect=True)\n"


@about(f"{MARKED}{MODEL}async def test_x(served_model): ...")
def test_the_model_alone_is_no_question(item: pytest.Function) -> None:
    found = items.identity_of(item)
    assert (found.question, found.model) == ("test_x", "a-b")


@about(
    f"{MARKED}{MODEL}@pytest.mark.parametrize('knot', ['reef-knot'])\n"
    "async def test_x(served_model, knot): ..."
)
def test_the_model_is_no_part_of_the_question(item: pytest.Function) -> None:
    found = items.identity_of(item)
    assert (found.question, found.model) == ("test_x[reef-knot]", "a-b")


# --- the recorder ---


@about(MARKED + "async def test_recorder(): ...")
def test_an_item_has_one_recorder(item: pytest.Function) -> None:
    assert state_of(item).recorder is state_of(item).recorder


@about("@pytest.mark.eval('knots', max_score=5)\nasync def test_x(): ...")
def test_the_marker_gives_the_maximum_of_a_number(item: pytest.Function) -> None:
    state_of(item).recorder(3)
    assert state_of(item).recorder.scores[-1].maximum == 5.0


@about("async def test_maximum(record_score): ...")
def test_without_a_marker_the_maximum_is_one(item: pytest.Function) -> None:
    state_of(item).recorder(1)
    assert state_of(item).recorder.scores[-1].maximum == 1.0


# --- running ahead ---


@about_each(
    {
        "no arguments": (MARKED + "async def test_x(): ...", True),
        "our fixtures": (
            MARKED + "async def test_x(served_model, judge, record_score, eval_settings): ...",
            True,
        ),
        "a parameter": (
            MARKED + "@pytest.mark.parametrize('n', [1])\nasync def test_x(n, served_model): ...",
            True,
        ),
        "a method": ("class TestX:\n    async def test_x(self, served_model): ...", True),
        "pytest's fixture": (MARKED + "async def test_x(tmp_path): ...", False),
        "the module's fixture": (BOAT.format("") + MARKED + "async def test_x(boat): ...", False),
        "the module's automatic fixture": (
            BOAT.format("(autouse=True)") + MARKED + "async def test_x(): ...",
            False,
        ),
        "a used fixture": (
            BOAT.format("") + MARKED + "@pytest.mark.usefixtures('boat')\nasync def test_x(): ...",
            False,
        ),
        "a fixture with parameters": (
            BOAT.format("(params=[1])") + MARKED + "async def test_x(boat): ...",
            False,
        ),
        "skip": (MARKED + "@pytest.mark.skip\nasync def test_x(): ...", False),
        "skipif": (MARKED + "@pytest.mark.skipif(False, reason='no')\nasync def test_x(): ...", False),
        "xfail": (MARKED + "@pytest.mark.xfail\nasync def test_x(): ...", False),
        "not async": (MARKED + "def test_x(): ...", False),
        "no eval test": ("async def test_x(): ...", False),
        "a setup of the module": ("def setup_module(): ...\n" + MARKED + "async def test_x(): ...", False),
        "a fixture in place of ours": (
            "@pytest.fixture\ndef served_model(): ...\n" + MARKED + "async def test_x(served_model): ...",
            False,
        ),
        "an indirect parameter": (
            "@pytest.fixture\ndef boat(request): return request.param\n"
            f"{MARKED}@pytest.mark.parametrize('boat', [1], indirect=True)\nasync def test_x(boat): ...",
            False,
        ),
    }
)
def test_a_test_that_needs_only_parameters_and_our_fixtures_may_run_ahead(
    item: pytest.Function, expected: bool
) -> None:
    assert items.can_run_ahead(item) is expected


@about(MARKED + "async def test_x(): ...", conftest=BOAT.format("(autouse=True)"))
def test_an_automatic_fixture_of_a_conftest_may_prepare_something(item: pytest.Function) -> None:
    assert not items.can_run_ahead(item)


@about(f"{MARKED}@pytest.mark.parametrize('n', [7])\nasync def test_x(n, record_score, served_model): ...")
def test_the_arguments_of_a_test_are_its_parameters_and_our_fixtures(item: pytest.Function) -> None:
    found = items.arguments_of_item(item, lambda name: f"our {name}")
    assert found == {"n": 7, "record_score": "our record_score", "served_model": "our served_model"}


@pytest.mark.parametrize("flag", ["--setup-only", "--setup-plan"])
def test_nothing_runs_ahead_where_only_the_setup_is_wanted(tmp_path: Path, flag: str) -> None:
    (tmp_path / "test_x.py").write_text(HEAD + MARKED + "async def test_x(): ...", encoding="utf-8")
    (item,) = collected(tmp_path, flag)
    assert items.is_eval_test(item)
    assert not items.can_run_ahead(item)


# --- task_requests ---

MMLU = "from pytest_instructlab_eval.suites.mmlu import MMLUTask\n"
TASK = """
@pytest.mark.eval('mmlu')
@pytest.mark.parametrize('task', [{}])
async def test_x(task, served_model): ...
"""


@about(MMLU + TASK.format("MMLUTask('anatomy', first_n=12)"))
def test_all_questions_of_a_task_are_asked_at_once(item: pytest.Function) -> None:
    assert items.task_requests(item) == 12


@about(MMLU + TASK.format("MMLUTask('anatomy')"))
def test_a_task_whose_size_is_not_known_holds_nothing_back(item: pytest.Function) -> None:
    assert items.task_requests(item) == 0


@about(TASK.format("'a text'"))
def test_a_test_that_is_no_task_holds_nothing_back(item: pytest.Function) -> None:
    assert items.task_requests(item) == 0
