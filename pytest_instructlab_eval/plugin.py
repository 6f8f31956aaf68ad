"""The pytest hooks and fixtures of the plugin; they delegate, and import nothing heavy."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, cast

import pytest

from pytest_instructlab_eval import options
from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.escaping import escape_text
from pytest_instructlab_eval.session import command_line, configuration
from pytest_instructlab_eval.session.pytest_internals import early_options
from pytest_instructlab_eval.suites.registry import BUILT_IN, benchmark_fixtures

if TYPE_CHECKING:
    import argparse

    from pytest_instructlab_eval.judges import BlockingJudge, Judge
    from pytest_instructlab_eval.models import BlockingModel, Model
    from pytest_instructlab_eval.records.recorder import Recorder
    from pytest_instructlab_eval.session.session import EvalSession
    from pytest_instructlab_eval.settings import Settings

SESSION: pytest.StashKey[EvalSession] = pytest.StashKey()
MARKER = (
    "eval(name, max_score=1, group='', cluster=None, gates=(), content=None): a test of the benchmark "
    "`name`, with scores up to `max_score` and gates that the run must pass. Tests of one `cluster` "
    "('group', or the name of a parameter) are not independent, and tests of another `content` are not "
    "compared with an earlier run (pytest-instructlab-eval)"
)
INERT = "needs a model to evaluate; name one with --eval-model"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that the plugin calls."""
    from pytest_instructlab_eval.session import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the plugin."""
    configuration.add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser
) -> Generator[None, object, object]:
    """Restart in the user's root folder if needed, and skip conftest files of tests that will not run."""
    early = early_options(early_config)
    if command_line.asks_for_us(early_config):
        try:
            configuration.add_own_options(parser)
        except ConfigurationError as error:
            raise _refused(early_config, early, error) from None
    command_line.start_anew(early_config, parser)
    if configuration.names_a_model(early_config) and not early.file_or_dir:
        early.file_or_dir = [str(early_config.invocation_params.dir)]
    return (yield)


@pytest.hookimpl(specname="pytest_load_initial_conftests", wrapper=True)
def pytest_check_spelling(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Refuse an unknown --eval- option with a suggestion, after all conftests have declared theirs."""
    result = yield
    if any(argument.startswith("--e") for argument in args):
        known, unknown = parser.parse_known_and_unknown_args(args)
        try:
            # argparse takes an argument that contains a blank for a path.
            paths = [path for path in known.file_or_dir if path.startswith(options.PREFIX)]
            options.check_spelling([*unknown, *paths])
        except ConfigurationError as error:
            raise _refused(early_config, known, error) from None
    return result


def _refused(
    config: pytest.Config, arguments: argparse.Namespace, error: ConfigurationError
) -> pytest.UsageError:
    """Write the summary of a run that an option ends, and return the UsageError to raise."""
    folder = configuration.refused_folder(config, arguments)
    if folder is not None:
        from pytest_instructlab_eval.session.run_output import write_refusal
        from pytest_instructlab_eval.settings import Settings

        keep = None if arguments.eval_baseline else Settings.keep_previous
        write_refusal(folder, arguments.eval_model or ("the model",), str(error), keep=keep)
    return pytest.UsageError(escape_text(str(error)))


@pytest.hookimpl(specname="pytest_cmdline_main", wrapper=True)
def pytest_choose_distribution(config: pytest.Config) -> Generator[None, object, object]:
    """Choose the distribution of xdist, in a wrapper, which always runs before xdist's own hook."""
    if configuration.names_a_model(config):
        from pytest_instructlab_eval.session import xdist_internals

        if config.getoption("eval_plan"):
            xdist_internals.choose_one_process(config)
        else:
            xdist_internals.choose_work_stealing(config)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the settings, and register the parts of the run if a model is named."""
    config.addinivalue_line("markers", MARKER)
    try:
        settings = configuration.read_settings(config)
    except ConfigurationError as error:
        raise _refused(config, config.option, error) from None
    if settings is None:
        command_line.check_model(config)
        return
    from pytest_instructlab_eval.session import garbage_collection

    garbage_collection.pause_collection(config)
    from pytest_instructlab_eval.session.installed_benchmarks import collected_arguments
    from pytest_instructlab_eval.session.parts import parts_of
    from pytest_instructlab_eval.session.session import EvalSession

    config.stash[SESSION] = session = EvalSession(config, settings)
    for part in parts_of(session):
        config.pluginmanager.register(part, f"instructlab-eval-{type(part).__name__.lower()}")
    try:
        config.args[:] = collected_arguments(config, settings)
    except ConfigurationError as error:
        raise _refused(config, config.option, error) from None
    if configuration.asks_for_benchmarks(config):
        # Otherwise xdist's workers would search for the root and the ini file at the installed benchmarks.
        config.option.rootdir = str(config.rootpath)
        config.option.inifilename = str(config.inipath) if config.inipath else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Without a model, skip the tests of installed benchmarks, without importing their packages."""
    if SESSION in metafunc.config.stash:
        return
    for name in list(metafunc.fixturenames):
        if name.endswith("_question") and name not in BUILT_IN:
            with contextlib.suppress(ConfigurationError):  # an evaluation would refuse the package
                if name in benchmark_fixtures():
                    skipped = pytest.param(None, marks=pytest.mark.skip(reason=f"{name} {INERT}"))
                    metafunc.parametrize(name, [skipped], ids=["question"])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked eval test if no model is named."""
    if SESSION not in item.config.stash and item.get_closest_marker("eval") is not None:
        pytest.skip(INERT)


# --- fixtures ---


def _fixture_value(request: pytest.FixtureRequest, name: str) -> object:
    session = request.config.stash.get(SESSION, None)
    if session is None:
        pytest.skip(f"{name} {INERT}")
    from pytest_instructlab_eval.session.pytest_internals import requesting_item

    return session.fixture(name, requesting_item(request), getattr(request, "param", None))


@pytest.fixture
def served_model(request: pytest.FixtureRequest) -> Model | BlockingModel:
    """The model under evaluation, an item for each `--eval-model`; in a plain `def` test its methods "
    "block."""
    return cast("Model | BlockingModel", _fixture_value(request, "served_model"))


@pytest.fixture
def judge(request: pytest.FixtureRequest) -> Judge | BlockingJudge:
    """The judge, with its method `grade`; in a plain `def` test its methods block."""
    return cast("Judge | BlockingJudge", _fixture_value(request, "judge"))


@pytest.fixture
def record_score(request: pytest.FixtureRequest) -> Recorder:
    """The recorder of this test's scores: a `Score` or a number, one for each metric."""
    return cast("Recorder", _fixture_value(request, "record_score"))


@pytest.fixture
def eval_settings(request: pytest.FixtureRequest) -> Settings:
    """The settings of the run."""
    return cast("Settings", _fixture_value(request, "eval_settings"))


def _question_fixture(name: str) -> object:
    def skip() -> None:
        pytest.skip(f"{name} {INERT}")

    skip.__doc__ = f"A {name.rpartition('_')[2]} of {BUILT_IN[name]}, one item for each."
    return pytest.fixture(name=name)(skip)


globals().update(
    {name: _question_fixture(name) for name in BUILT_IN}
)  # pytest finds fixtures in the module's namespace
