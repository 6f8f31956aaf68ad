"""Parsers of option values: each says what it expected, and quotes what it got."""

from __future__ import annotations

import io
import os
import re
import shlex
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pytest_instructlab_eval.errors import ConfigurationError, DataError
from pytest_instructlab_eval.settings import AUTO

# Of vLLM's arguments, those by which the run finds its own server.
VLLM_OWN = {"--model", "--served-model-name", "--host", "--port", "--uds", "--api-key", "--root-path",
            "--ssl-keyfile", "--ssl-certfile"}  # fmt: skip

# Headers that the client or a proxy sets, or that change how a message is read; none of them has a key.
CLIENT_HEADERS = frozenset({
    "accept", "accept-charset", "accept-encoding", "connection", "content-encoding", "content-length",
    "content-type", "cookie", "date", "expect", "host", "keep-alive", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip


def parse_text(value: str) -> str:
    """Return a text that isn't empty."""
    if not value.strip():
        raise ValueError("expected a text (got an empty one)")
    return value


def parse_program(value: str) -> str:
    """Return the name or path of a program; a shell leaves the ~ in `--option=~/bin/python` to us."""
    return os.path.expanduser(parse_text(value))


def parse_url(value: str) -> str:
    """Return the URL of an OpenAI-compatible API, without a slash at its end."""
    if value.count("://") > 1:
        raise ValueError("expected one URL (got several); give the option once for each")
    try:
        parts = urllib.parse.urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that don't match, a port that is no number
        usable = False
    if not usable:
        raise ValueError(f"expected a URL such as http://127.0.0.1:8000/v1 (got {without_password(value)!r})")
    if parts.username or parts.password:
        raise ValueError(
            f"expected a URL without a user or password (got {without_password(value)!r}); name the variable "
            "that holds the key with --eval-api-key-env or --eval-judge-api-key-env"
        )
    if parts.query or parts.fragment:
        raise ValueError(
            f"expected a URL without ? or # (got {without_password(value)!r}); name the variable that holds "
            "a key with --eval-api-key-env or --eval-judge-api-key-env"
        )
    return value.rstrip("/")


def without_password(url: str) -> str:
    """Return the URL without what may be secret: what stands before an @ in its host, and its query."""
    url, mark, _ = url.partition("?")
    url += f"{mark}…" if mark else ""
    scheme, separator, rest = url.rpartition("//")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}…@{host}" if at and user else url


def parse_integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`."""
    allowed = f"{least} or more" if most is None else f"from {least} to {most}"

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            raise ValueError(f"expected a whole number {allowed} (got {value!r})")
        return number

    return parse


def parse_repeat(value: str) -> int | Literal["auto"]:
    """Return a whole number of repeats, 1 or more, or "auto"."""
    if value.strip() == AUTO:
        return "auto"
    try:
        return parse_integer(1)(value)
    except ValueError:
        raise ValueError(f"expected a whole number 1 or more, or {AUTO} (got {value!r})") from None


def parse_seconds(value: str) -> float:
    """Return a duration in seconds, 0 or more."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError(f"expected a number of seconds, 0 or more (got {value!r})")
    return number


def parse_timeout(value: str) -> float:
    """Return a duration in seconds, more than 0."""
    number = parse_seconds(value)
    if number == 0:
        raise ValueError(f"expected a number of seconds, more than 0 (got {value!r})")
    return number


def parse_shard(value: str) -> tuple[int, int]:
    """Return the K of K/N and the N: one of N parts of a run."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value.strip())
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ValueError(f"expected K/N, part K of N, such as 2/5 (got {value!r})")
    return part, parts


def parse_power(value: str) -> str:
    """Return BENCHMARK=X as it was written; X is a drop above 0, or a percentage."""
    benchmark, _, drop = value.strip().partition("=")
    number = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?|[.][0-9]+)%?", drop.strip())
    if not benchmark.strip() or number is None or float(number[1]) == 0:
        raise ValueError(f"expected BENCHMARK=X, such as mmlu=0.02 or mt_bench=5% (got {value!r})")
    return f"{benchmark.strip()}={drop.strip()}"


def parse_variable(value: str) -> str:
    """Return the name of an environment variable that is set; its value is never shown."""
    if value not in os.environ:
        raise ValueError(
            "expected the name of an environment variable that is set "
            f"(got {shorten_key(value)!r}, which is not); export the key under that name"
        )
    return value


def parse_header(value: str) -> str:
    """Return the name of a header for a key: a token (RFC 9110, 5.6.2) that has no other use."""
    name = value.strip()
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", name):
        # What stands after a colon or a blank may be the key.
        shown = re.split(r"[:=\s]", name)[0]
        shown = shown if len(shown) <= 40 else shown[:4] + "…"
        raise ValueError(
            f"expected the name of a header alone, such as api-key (got one that begins with {shown!r}); the "
            "key itself stands in an environment variable"
        )
    if name.lower() in CLIENT_HEADERS:
        raise ValueError(
            f"expected a header for a key, such as api-key (got {name!r}, which has another use)"
        )
    return name


def shorten_key(value: str) -> str:
    """Return the value where it looks like a variable's name: a key in its place isn't shown."""
    return value if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", value) and len(value) <= 40 else value[:4] + "…"


def parse_one_of(*allowed: str) -> Callable[[str], str]:
    """Return a parser of one of the names."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)} (got {value!r})")
        return value

    return parse


def parse_vllm_arguments(value: str) -> str:
    """Return arguments as a shell would take them; none may set the server's address, name or key."""
    try:
        arguments = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"expected arguments as a shell takes them (got {value!r}: {error})") from None
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if name in VLLM_OWN:
            raise ValueError(
                f"expected no {name}, which the run sets itself; to serve the model in your own way, start "
                "vLLM yourself and give its URL with --eval-base-url"
            )
    return value


def parse_boolean(value: str) -> bool:
    """Return one of the truth values of ini files."""
    truth = {"true": True, "1": True, "yes": True, "on": True, "": False}
    truth |= {"false": False, "0": False, "no": False, "off": False}
    if value.strip().lower() not in truth:
        raise ValueError(f"expected true or false (got {value!r})")
    return truth[value.strip().lower()]


def parse_gate_text(value: str) -> str:
    """Return a gate in its small language, as it was written."""
    from pytest_instructlab_eval import gates

    try:
        gates.parse_gate(value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return value


def parse_prompt(value: str) -> str:
    """Return a text, or the text of the file named after an @."""
    from pytest_instructlab_eval.data.text_files import decode_utf8

    if not value.startswith("@"):
        return parse_text(value)
    try:
        text = decode_utf8(Path(value[1:]).read_bytes(), value[1:])  # of a pipe too, such as <(...)
        return parse_text(io.StringIO(text, newline=None).read())
    except (OSError, DataError) as error:
        raise ValueError(
            f"expected a text, or @ and a readable UTF-8 file (got {value!r}: {error})"
        ) from None


def parse_price(value: str) -> str:
    """Return [NAME=]PRICE as it was written; PRICE is a number, 0 or more."""
    try:
        price = float(value.rpartition("=")[2])
    except ValueError:
        price = -1.0
    if not 0 <= price < float("inf"):
        raise ValueError(f"expected PRICE or NAME=PRICE, such as 0.5 or my-judge=2.5 (got {value!r})")
    return value.strip()


def parse_report(value: str) -> Path | Literal["none"]:
    """Return the path of a file, or "none"."""
    return "none" if value.strip() == "none" else parse_path(value)


def parse_path(value: str) -> Path:
    """Return a path, made absolute later (an ini file's paths start at the ini file)."""
    try:
        return Path(parse_text(value)).expanduser()
    except RuntimeError:
        raise ValueError(f"expected a path (got {value!r}, of a user who has no home folder)") from None
