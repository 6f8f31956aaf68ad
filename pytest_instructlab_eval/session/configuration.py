"""The declaration of this plugin's options, and the reading of their values into settings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.options import ONLY_SHOWS, OPTIONS, known_options
from pytest_instructlab_eval.parsers import parse_integer
from pytest_instructlab_eval.session.pytest_internals import early_options
from pytest_instructlab_eval.settings import FIRST_N_VARIABLE, MIN_TASKS_VARIABLE, Settings
from pytest_instructlab_eval.suites.option import Option

if TYPE_CHECKING:
    import argparse

T = TypeVar("T")

# The groups of `pytest --help`, each with its name and its title.
COMMON_GROUP = ("instructlab-eval", "evaluation of language models (instructlab-eval)")
EXPERT_GROUP = (
    "instructlab-eval-expert", "evaluation of language models: options for experts (instructlab-eval)"
)  # fmt: skip
OF_SERVERS = ("vllm_args", "vllm_python", "gpus", "judge_gpus")  # options for a server that the run starts


# --- declared ---


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and its ini name, in two groups of `pytest --help`: common and expert ones."""
    _declare(parser, OPTIONS)


def add_own_options(parser: pytest.Parser) -> None:
    """Declare the options of the benchmarks of installed packages; raises ConfigurationError."""
    _declare(parser, known_options()[len(OPTIONS) :])


def _declare(parser: pytest.Parser, options: Iterable[Option]) -> None:
    groups = parser.getgroup(*COMMON_GROUP), parser.getgroup(*EXPERT_GROUP)
    for option in options:
        group = groups[option.expert]
        default = f" (default: {option.default})" if option.default else ""
        if option.places == "ini":
            pass
        elif option.metavar is None:
            group.addoption(*option.flags, dest=option.name, action="store_const", const="true",
                            default=None, help=option.help)  # fmt: skip
        else:
            group.addoption(*option.flags, dest=option.name, metavar=option.metavar, default=None,
                            action="append" if option.repeatable else "store",
                            help=option.help + default)  # fmt: skip
        kind: Literal["linelist", "string"] = "linelist" if option.repeatable else "string"
        if option.places != "flag":
            also = f"; as {option.flag}" if option.places == "both" else ""
            for name in option.names:
                parser.addini(name, option.help + also, type=kind, default=None)


# --- read ---


def names_a_model(config: pytest.Config) -> bool:
    """Return whether the command line or the ini file names a model; works before conftests."""
    names = ("eval_model", "eval_checkpoints")
    early = early_options(config)
    return any(getattr(early, name) or config.getini(name) for name in names)


def asks_for_benchmarks(config: pytest.Config) -> bool:
    """Return whether benchmarks are collected, and not only tests of the user.

    That is so if the command line names a benchmark, beside the files that it names, or if it names a model
    and no file. A model in the ini file is for the project's own tests.
    """
    if config.getoption("eval_benchmark"):
        return True
    names_files = config.args_source is config.ArgsSource.ARGS
    return not names_files and any(config.getoption(name) for name in ("eval_model", "eval_checkpoints"))


def read_settings(config: pytest.Config) -> Settings | None:
    """Return the run's settings, or None where no model is named and the plugin does nothing.

    Raises ConfigurationError for an invalid value and quotes it.
    """
    values = {option.field: _option_value(config, option, config.option) for option in OPTIONS}
    given: dict[str, Any] = {field: value for field, value in values.items() if value is not None}
    if "checkpoints" in given:
        from pytest_instructlab_eval.data.checkpoints import checkpoints

        given["model"] = (*given.get("model", ()), *checkpoints(given["checkpoints"]))
    if not given.get("model"):
        return None
    from pytest_instructlab_eval.session.settings_checks import check_settings

    given |= _derived(config, given)
    of_packages = known_options()[len(OPTIONS) :]
    own = {option.field: _option_value(config, option, config.option) for option in of_packages}
    settings = Settings(**given, own=own)
    check_settings(settings)
    _check_use(config, settings)
    if asks_for_benchmarks(config):
        _check_benchmarks(settings)
    return settings


def _derived(config: pytest.Config, given: Mapping[str, Any]) -> dict[str, object]:
    """Return the settings that follow from the given ones or from the environment."""
    derived: dict[str, object] = {"min_tasks": bool(os.environ.get(MIN_TASKS_VARIABLE))}
    if "judge_model" in given:
        derived["judge_model"] = tuple(_as_named(name, given["model"]) for name in given["judge_model"])
    if "first_n" not in given and (text := os.environ.get(FIRST_N_VARIABLE)):
        derived["first_n"] = _parse_option(f"${FIRST_N_VARIABLE}", parse_integer(1), text)
    if "shard" in given and not (config.getoption("eval_output_dir") or config.getini("eval_output_dir")):
        # Parts that run at the same time must not write to one folder.
        derived["output_dir"] = given["output_dir"] / "shard-{}-of-{}".format(*given["shard"])
    if "sample" in given:
        derived["sample_seed"] = given.get("sample_seed", 0)
    return derived


def _as_named(name: str, models: Sequence[str]) -> str:
    """Return the model's name for the same folder, so that one server serves both; else the name itself."""
    folder = os.path.realpath(os.path.expanduser(name))
    if not os.path.isdir(folder):
        return name
    return next((model for model in models if os.path.realpath(os.path.expanduser(model)) == folder), name)


def refused_folder(config: pytest.Config, arguments: argparse.Namespace) -> Path | None:
    """Return the output folder of a run that could not start, None where it should have no summary.

    That is so for a run that evaluates nothing, only shows something, or is a shard, and for an invalid path.
    """
    only_shows = any(getattr(arguments, name, False) for name in ONLY_SHOWS)
    if only_shows or arguments.eval_shard is not None or not names_a_model(config):
        return None
    with contextlib.suppress(ConfigurationError):
        folder = _option_value(config, next(o for o in OPTIONS if o.field == "output_dir"), arguments)
        return folder if isinstance(folder, Path) else None
    return None


def _option_value(config: pytest.Config, option: Option, arguments: argparse.Namespace) -> object:
    """Return the option's parsed value from the command line, else the ini file, else its default."""
    source, base, given = _given(config, option, arguments)
    if given is None:
        return () if option.repeatable else None
    if option.repeatable:
        return tuple(_parse_option(source, option.parse, text) for text in given)
    value = _parse_option(source, option.parse, str(given))
    return Path(os.path.abspath(base / value)) if option.is_path and isinstance(value, Path) else value


def _parse_option(source: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except (ValueError, ConfigurationError) as error:  # a package's parser may raise either
        raise ConfigurationError(f"{source}: {error}") from None


def _given(
    config: pytest.Config, option: Option, arguments: argparse.Namespace
) -> tuple[str, Path, str | Sequence[str] | None]:
    """Return the name of an option in its source, the folder of its relative paths, and its raw value."""
    folder = config.invocation_params.dir
    given = None if option.places == "ini" else getattr(arguments, option.name)
    if given is not None:
        return option.flag, folder, given
    for name in option.names if option.places != "flag" else ():
        if given := config.getini(name):
            if config.inipath is None:
                return option.flag, folder, given
            return f"{name} in {config.inipath.name}", config.inipath.parent, given
    return option.flag, folder, option.default


def _check_use(config: pytest.Config, settings: Settings) -> None:
    """Raise ConfigurationError for an option of the command line that this run would ignore."""
    if config.getoption("eval_judge_base_url") and not settings.judge_model:
        raise ConfigurationError(
            "--eval-judge-base-url needs --eval-judge-model, the judge's name on that server"
        )
    for whose in ("", "judge_", "base_model_"):
        has_key = settings.api_key_env or settings.value(f"{whose}api_key_env")
        if config.getoption(f"eval_{whose}api_key_header") and not has_key:
            option = f"--eval-{whose}api-key".replace("_", "-")
            raise ConfigurationError(
                f"{option}-header needs {option}-env, the name of the variable that holds the key"
            )
    for name in OF_SERVERS if not settings.hosted and settings.stage != "judge" else ():
        if config.getoption(f"eval_{name}") is not None:
            raise ConfigurationError(
                f"--eval-{name.replace('_', '-')} is for a server that the run starts, but this run starts "
                "none; leave out the option, or leave out --eval-base-url (and --eval-judge-base-url)"
            )


def _check_benchmarks(settings: Settings) -> None:
    """Raise ConfigurationError where no benchmark can run."""
    from pytest_instructlab_eval.suites.selection import left_out_benchmarks, selected_benchmarks

    if not selected_benchmarks(settings):
        reasons = "; ".join(
            f"{name}: {reason}"
            for name, reason in left_out_benchmarks(settings).items()
            if not settings.benchmark or name in settings.benchmark
        )
        raise ConfigurationError(f"no benchmark can run ({reasons})")
