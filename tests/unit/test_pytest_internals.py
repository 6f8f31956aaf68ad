"""What is taken from pytest's private parts still has the form that `session/pytest_internals.py` expects."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

TESTS = """
import pytest

@pytest.fixture
def boat(): ...

@pytest.fixture(autouse=True)
def sea(): ...

@pytest.mark.parametrize("knot", ["reef", "bowline"])
def test_knot(boat, knot): ...

@pytest.mark.parametrize("knot", [])
def test_no_knot(knot): ...

def test_boat(boat): ...
"""

Check = Callable[[pytest.Session], None]
Inspect = Callable[..., None]


@contextlib.contextmanager
def taken(what: str) -> Iterator[None]:
    """Name the release where something is missing, or of another form."""
    try:
        yield
    except Exception as error:
        pytest.fail(
            f"pytest {pytest.__version__} has changed {what} ({type(error).__name__}: {error}): adapt "
            "session/pytest_internals.py",
            pytrace=False,
        )


@pytest.fixture
def internals() -> ModuleType:
    with taken("_pytest.compat.NOTSET"):
        return import_module("pytest_instructlab_eval.session.pytest_internals")


class Inspector:
    """A pytest plugin that looks at a run once, after the collection or in the first test."""

    def __init__(self, check: Check, *, in_test: bool) -> None:
        self.check = check
        self.in_test = in_test
        self.looked = False
        self.error: BaseException | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if not self.in_test:
            self.look(session)

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        if self.in_test and not self.looked:
            self.look(item.session)

    def look(self, session: pytest.Session) -> None:
        self.looked = True
        try:
            self.check(session)
        except Exception as error:
            self.error = error


@pytest.fixture
def inspect(tmp_path: Path) -> Inspect:
    """Runs the tests above and has a check look at the session."""
    (tmp_path / "test_knots.py").write_text(TESTS)

    def run(check: Check, *options: str, in_test: bool = False) -> None:
        inspector = Inspector(check, in_test=in_test)
        # Above confcutdir pytest would look at each folder beside this one, thousands in the whole suite.
        where = [f"--rootdir={tmp_path}", f"--confcutdir={tmp_path}", "-c/dev/null", str(tmp_path)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
            fixed = ("--import-mode=importlib", "-p", "no:unraisableexception")
            pytest.main([*where, *fixed, *options], plugins=[inspector])
        assert inspector.looked
        if inspector.error is not None:
            raise inspector.error

    return run


def named(session: pytest.Session, name: str) -> pytest.Function:
    (item,) = (item for item in session.items if item.name == name)
    assert isinstance(item, pytest.Function)
    return item


def test_a_parameter(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        item, without = named(session, "test_knot[bowline]"), named(session, "test_boat")
        assert internals.parameters(item) == {"knot": "bowline"}
        assert internals.parameters_id(item) == "bowline"
        assert internals.parameter_index(item, "knot") == 1
        assert internals.parameters(without) == {}
        assert internals.parameters_id(without) == ""

    with taken("item.callspec: its params, id or indices"):
        inspect(check)


def test_a_parameter_without_a_value(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        (item,) = (item for item in session.items if item.name.startswith("test_no_knot"))
        assert [internals.is_without_question(value) for value in internals.parameters(item).values()] == [
            True
        ]
        assert not internals.is_without_question(None)

    with taken("what stands for a parameter without a value, _pytest.compat.NOTSET"):
        inspect(check)


def test_the_fixtures_of_a_test(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        item = named(session, "test_knot[reef]")
        assert internals.argument_names(item) == ("boat", "knot")
        assert {"boat", "knot", "sea"} <= set(internals.fixture_names(item))
        assert internals.fixture_function(item, "boat").__name__ == "boat"
        assert internals.fixture_function(item, "no such fixture") is None

    with taken("item._fixtureinfo: its argnames or name2fixturedefs, or item.fixturenames"):
        inspect(check)


def test_a_parameter_that_is_no_fixture(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        item = named(session, "test_knot[reef]")
        assert internals.is_direct_parameter(internals.fixture_function(item, "knot"))
        assert not internals.is_direct_parameter(internals.fixture_function(item, "boat"))

    with taken("get_direct_param_fixture_func, the fixture of a parameter that is none"):
        inspect(check)


def test_the_modules_of_pytest(internals: ModuleType) -> None:
    with taken("the package _pytest"):
        assert internals.is_of_pytest(pytest.Function.__module__)
        assert not internals.is_of_pytest(__name__)


def test_the_options_before_conftest_files(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        assert internals.early_options(session.config).file_or_dir

    with taken("config.known_args_namespace"):
        inspect(check)


def test_what_failed_last(internals: ModuleType, inspect: Inspect, tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text("def test_that_fails():\n    assert False\n")
    cache = ("-p", "cacheprovider", f"-ocache_dir={tmp_path / 'cache'}")

    def check_first(session: pytest.Session) -> None:
        assert internals.last_failed_ids(session.config) == set()

    def check_second(session: pytest.Session) -> None:
        assert internals.last_failed_ids(session.config) == {"test_failing.py::test_that_fails"}

    with taken("the plugin lfplugin, or its lastfailed"):
        inspect(check_first, *cache)
        inspect(check_second, *cache)


def test_the_handlers_of_log_records(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        handlers = internals.log_handlers(session.config)
        assert len(handlers) == 2
        assert all(isinstance(handler, logging.Handler) for handler in handlers)

    with taken("the plugin logging-plugin: its caplog_handler or report_handler"):
        inspect(check)


def test_the_terminal(internals: ModuleType, inspect: Inspect) -> None:
    def check(session: pytest.Session) -> None:
        reporter = internals.terminal_reporter(session.config)
        methods = ("ensure_newline", "write_line", "section", "flush")
        assert all(callable(getattr(reporter, name)) for name in methods)
        assert not reporter.isatty  # it is captured
        assert callable(internals.terminal_file(session.config).write)
        writer = session.config.get_terminal_writer()
        assert isinstance(writer.width_of_current_line, int)
        assert isinstance(writer.fullwidth, int)

    with taken("its terminal reporter, or the _file of its terminal writer"):
        inspect(check)


def test_output_past_the_capture(
    internals: ModuleType, inspect: Inspect, capfd: pytest.CaptureFixture[str]
) -> None:
    def check(session: pytest.Session) -> None:
        print("hidden")
        with internals.uncaptured_output(session.config):
            print("shown")

    with taken("the plugin capturemanager, or its global_and_fixture_disabled"):
        inspect(check, "--capture=sys", in_test=True)
        shown = capfd.readouterr().out
        assert "shown" in shown
        assert "hidden" not in shown


@pytest.mark.parametrize("plugin", ["terminal", "capture", "logging", "cacheprovider"])
def test_a_user_may_leave_out_a_plugin(internals: ModuleType, inspect: Inspect, plugin: str) -> None:
    def check(session: pytest.Session) -> None:
        config = session.config
        if plugin == "terminal":
            assert internals.terminal_reporter(config) is None
        elif plugin == "logging":
            assert internals.log_handlers(config) == []
        elif plugin == "cacheprovider":
            assert internals.last_failed_ids(config) == set()
        else:
            with internals.uncaptured_output(config):
                pass

    with taken(f"what -p no:{plugin} leaves out"):
        inspect(check, "-p", f"no:{plugin}")


def test_the_test_that_a_fixture_is_made_for(request: pytest.FixtureRequest, internals: ModuleType) -> None:
    with taken("FixtureRequest._pyfuncitem"):
        assert internals.requesting_item(request) is request.node
