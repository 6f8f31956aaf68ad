"""This plugin's options on the command line, and a restart where pytest takes the value of one for a path.

pytest chooses its root folder and its ini file before it knows a plugin's options. With
`--eval-model ./granite` it reads the ini file of that folder, which may be a stranger's; with
`--eval-model=./granite` it does not.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from pytest_instructlab_eval.options import ONLY_SHOWS, OPTIONS, PREFIX, known_options

ADDOPTS = "PYTEST_ADDOPTS"  # names the user's further arguments, which pytest puts before the others
OF_THE_USER = "--eval-output-dir"  # its folder is the user's own


def given_arguments(config: pytest.Config) -> list[str]:
    """Return the arguments of environment and command line, with each `@FILE` replaced by its lines."""
    return _expanded([*shlex.split(os.environ.get(ADDOPTS, "")), *config.invocation_params.args])


def _expanded(given: Iterable[str]) -> list[str]:
    """Return the arguments with each `@FILE` replaced by the lines of the file, like argparse."""
    result: list[str] = []
    for argument in given:
        lines = None
        if argument.startswith("@"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                lines = Path(argument[1:]).read_text(sys.getfilesystemencoding()).splitlines()
        result += [argument] if lines is None else _expanded(lines)
    return result


def our_flags(given: Sequence[str]) -> list[str]:
    """Return this plugin's flags among the arguments."""
    ours = _flags(given)
    options = itertools.takewhile(lambda argument: argument != "--", (flag for flag, _ in _tokens(given)))
    return [flag for option in options if (flag := option.partition("=")[0]) in ours]


def asks_for_us(config: pytest.Config) -> bool:
    """Return whether the command line or the ini file has one of this plugin's options, or asks for help."""
    given = given_arguments(config)
    if any(argument.startswith(PREFIX) or argument in ("-h", "--help") for argument in given):
        return True
    names = (name for option in OPTIONS if option.places != "flag" for name in option.names)
    return any(map(config.getini, names))


def check_model(config: pytest.Config) -> None:
    """Raise UsageError where the command line has an option for an evaluation but names no model."""
    given = our_flags(given_arguments(config))
    if given and not any(getattr(config.option, name, False) for name in ONLY_SHOWS):
        raise pytest.UsageError(f"{given[0]} needs a model to evaluate; name one with --eval-model")


def with_joined_values(given: Sequence[str]) -> list[str]:
    """Return the arguments with each `--eval-x value` joined to `--eval-x=value`."""
    return [flag if value is None else f"{flag}={value}" for flag, value in _tokens(given)]


def values_taken_for_paths(given: Sequence[str]) -> list[tuple[str, str]]:
    """Return each of this plugin's flags whose value pytest takes for a path, with the value."""
    return [(flag, value) for flag, value in _tokens(given) if value is not None and _path(value) is not None]


def _tokens(given: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each argument, a flag of this plugin together with its value if that is the next argument."""
    takes_value = _flags(given)
    index = 0
    while index < len(given):
        argument = given[index]
        if argument == "--":  # what follows are paths
            yield from ((path, None) for path in given[index:])
            return
        following = given[index + 1] if index + 1 < len(given) else "-"
        has_value = takes_value.get(argument, False) and not following.startswith("-")
        yield argument, following if has_value else None
        index += 2 if has_value else 1


def _flags(given: Sequence[str]) -> dict[str, bool]:
    """Return this plugin's flags, and whether each takes a value.

    Packages with benchmarks are imported only where an argument may be one of their flags."""
    may_have_own = any(argument.startswith(PREFIX) for argument in given)
    options = known_options() if may_have_own else OPTIONS
    ours = (option for option in options if option.places != "ini")
    return {flag: option.metavar is not None for option in ours for flag in option.flags}


def _path(value: str) -> Path | None:
    """Return the folder that pytest takes a value for, None where no such path exists."""
    path = Path(os.path.abspath(value.partition("::")[0]))
    with contextlib.suppress(OSError, ValueError):
        if path.exists():
            return path if path.is_dir() else path.parent
    return None


def start_anew(config: pytest.Config, parser: pytest.Parser) -> None:
    """Restart pytest where it took a value for a path, with the value joined to its option, and exit.

    This must be called before a conftest file is loaded and before a plugin reads the ini file. It raises
    UsageError where the ini file is a stranger's and may have run code already.
    """
    given = given_arguments(config)
    mistaken = values_taken_for_paths(given)
    if not mistaken:
        return
    if (why := _may_have_run_code(config, parser)) and _is_foreign(config, parser, given, mistaken):
        forms = " ".join(f"{flag}={shlex.quote(value)}" for flag, value in mistaken)
        raise pytest.UsageError(
            f"{config.inipath} sets {why}, so code from that folder may have run: pytest takes a value after "
            f"a blank for a folder of tests and reads its ini file; write {forms}"
        )
    for path in map(str, config.getini("pythonpath")):
        if path in sys.path:
            sys.path.remove(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(ADDOPTS, raising=False)  # `with_joined_values` has them
        sys.exit(int(pytest.main(with_joined_values(given), config.invocation_params.plugins)))


def _is_foreign(
    config: pytest.Config, parser: pytest.Parser, given: list[str], mistaken: Sequence[tuple[str, str]]
) -> bool:
    """Return whether pytest found the ini file only through the value of an option."""
    user = parser.parse_known_args(given)
    if config.inipath is None or user.inifilename:
        return False
    own = [folder for path in user.file_or_dir if (folder := _path(path))] or [config.invocation_params.dir]
    strangers = [folder for flag, value in mistaken if flag != OF_THE_USER and (folder := _path(value))]
    return _above(config.inipath.parent, strangers) and not _above(config.inipath.parent, own)


def _above(folder: Path, others: Iterable[Path]) -> bool:
    return any(folder in (other, *other.parents) for other in others)


def _may_have_run_code(config: pytest.Config, parser: pytest.Parser) -> str | None:
    """Return the ini setting by which pytest may have imported code before it loaded this plugin."""
    addopts = list(config.getini("addopts"))
    if config.getini("pythonpath"):
        return "pythonpath"
    if any(argument.startswith("-p") for argument in addopts):
        return "-p in addopts"
    filters = [*config.getini("filterwarnings"), *(parser.parse_known_args(addopts).pythonwarnings or ())]
    if any("." in "".join(text.split(":")[2:3]) for text in filters):
        return "a warning filter that names a module"
    return None
