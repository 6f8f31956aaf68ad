"""Our options on the command line, and a new start where pytest takes the value of one for a path.

pytest chooses its root folder and its ini file before it knows a plugin's options. With
`--eval-model ./granite` it reads the ini file of that folder, which may be a stranger's; with
`--eval-model=./granite` it doesn't.
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

__all__ = ["arguments", "asks_for_us", "check_model", "flags", "joined", "start_anew", "taken_for_paths"]

ADDOPTS = "PYTEST_ADDOPTS"  # names the user's further arguments, which pytest puts before the others
OF_THE_USER = "--eval-output-dir"  # its folder is the user's own


def arguments(config: pytest.Config) -> list[str]:
    """Return what the user gave, in the environment and then on the command line, with each `@FILE` read."""
    return _expanded([*shlex.split(os.environ.get(ADDOPTS, "")), *config.invocation_params.args])


def _expanded(given: Iterable[str]) -> list[str]:
    """Return the arguments with the lines of a file in place of its `@FILE`, as argparse reads it."""
    result: list[str] = []
    for argument in given:
        lines = None
        if argument.startswith("@"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                lines = Path(argument[1:]).read_text(sys.getfilesystemencoding()).splitlines()
        result += [argument] if lines is None else _expanded(lines)
    return result


def flags(given: Sequence[str]) -> list[str]:
    """Return those of our flags that are among the arguments."""
    known = _flags(given)
    options = itertools.takewhile(lambda argument: argument != "--", (flag for flag, _ in _tokens(given)))
    return [flag for option in options if (flag := option.partition("=")[0]) in known]


def asks_for_us(config: pytest.Config) -> bool:
    """Return whether the command line or the ini file has an option of ours, or help is asked for."""
    given = arguments(config)
    if any(argument.startswith(PREFIX) or argument in ("-h", "--help") for argument in given):
        return True
    return any(config.getini(option.name) for option in OPTIONS if option.places != "flag")


def check_model(config: pytest.Config) -> None:
    """Raise UsageError where an option of the command line asks for an evaluation, and no model is named."""
    asked = flags(arguments(config))
    if asked and not any(getattr(config.option, name, False) for name in ONLY_SHOWS):
        raise pytest.UsageError(f"{asked[0]} needs a model to evaluate; name one with --eval-model")


def joined(given: Sequence[str]) -> list[str]:
    """Return the arguments with our `--eval-x value` as `--eval-x=value`."""
    return [flag if value is None else f"{flag}={value}" for flag, value in _tokens(given)]


def taken_for_paths(given: Sequence[str]) -> list[tuple[str, str]]:
    """Return each of our flags whose value pytest takes for a path to collect, with the value."""
    return [(flag, value) for flag, value in _tokens(given) if value is not None and _path(value) is not None]


def _tokens(given: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each argument; one of our flags whose value is the next argument comes with it."""
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
    """Return our flags, and whether each takes a value; a package is imported for a flag of ours alone."""
    asked = any(argument.startswith(PREFIX) for argument in given)
    options = known_options() if asked else OPTIONS
    return {option.flag: option.metavar is not None for option in options if option.places != "ini"}


def _path(value: str) -> Path | None:
    """Return the folder that pytest finds behind a value, None where there is none."""
    path = Path(os.path.abspath(value.partition("::")[0]))
    with contextlib.suppress(OSError, ValueError):
        if path.exists():
            return path if path.is_dir() else path.parent
    return None


def start_anew(config: pytest.Config, parser: pytest.Parser) -> None:
    """Run pytest anew where it took a value for a path, with that value joined to its option, and exit.

    To be called before any conftest file is loaded and before any plugin reads the ini file. Raises
    UsageError where that file is a stranger's and may have run code already.
    """
    given = arguments(config)
    mistaken = taken_for_paths(given)
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
        patch.delenv(ADDOPTS, raising=False)  # `joined` has them
        sys.exit(int(pytest.main(joined(given), config.invocation_params.plugins)))


def _is_foreign(
    config: pytest.Config, parser: pytest.Parser, given: list[str], mistaken: Sequence[tuple[str, str]]
) -> bool:
    """Return whether the ini file was found through the value of an option alone."""
    user = parser.parse_known_args(given)
    if config.inipath is None or user.inifilename:
        return False
    places = [found for path in user.file_or_dir if (found := _path(path))] or [config.invocation_params.dir]
    strangers = [found for flag, value in mistaken if flag != OF_THE_USER and (found := _path(value))]
    return _above(config.inipath.parent, strangers) and not _above(config.inipath.parent, places)


def _above(folder: Path, places: Iterable[Path]) -> bool:
    return any(folder in (place, *place.parents) for place in places)


def _may_have_run_code(config: pytest.Config, parser: pytest.Parser) -> str | None:
    """Return what of the ini file pytest applies before it loads plugins and by which code is imported."""
    addopts = list(config.getini("addopts"))
    if config.getini("pythonpath"):
        return "pythonpath"
    if any(argument.startswith("-p") for argument in addopts):
        return "-p in addopts"
    filters = [*config.getini("filterwarnings"), *(parser.parse_known_args(addopts).pythonwarnings or ())]
    if any("." in "".join(text.split(":")[2:3]) for text in filters):
        return "a warning filter that names a module"
    return None
