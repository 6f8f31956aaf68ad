"""The tables of the reference that are made from the code.

    python -m tests.docs.tables

writes them into the pages of docs/reference, between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from pytest_instructlab_eval.gates.figures import FIGURES, MEAN, Figure
from pytest_instructlab_eval.options import OPTIONS
from pytest_instructlab_eval.suites.option import Option

from .markdown import REFERENCE, slug
from .product import command_options, commands, objects, schema

BLOCK = re.compile(r"(?<=<!-- table: )(?P<name>[\w. -]+) -->\n.*?(?=<!-- end of table -->)", re.DOTALL)
KINDS = {  # what an ini name takes, by the parser of its value
    "parse_text": "text",
    "parse_path": "path",
    "parse_price": "[NAME=]PRICE",
    "parse_report": "path, or `none`",
    "parse_program": "path or name of a program",
    "parse_url": "URL",
    "parse_boolean": "`true` or `false`",
    "parse_integer": "whole number",
    "parse_repeat": "whole number, or `auto`",
    "parse_seconds": "seconds, 0 or more",
    "parse_timeout": "seconds, more than 0",
    "parse_variable": "name of an environment variable",
    "parse_header": "name of a header",
    "parse_one_of": "one word",
    "_parse_benchmark": "name of a benchmark",
    "parse_shard": "K/N",
    "parse_power": "BENCHMARK=X",
    "parse_gate_text": "gate",
    "parse_prompt": "text, or @ and a file",
    "parse_vllm_arguments": "text",
}
FORMS = {"value": "a score (see below)"}  # of a baseline: it is written in several forms
UNITS = {
    "score": "the score's own",
    "share": "a share, 0 to 1, or a percentage",
    "count": "a number of questions",
}
FIGURE_TEXTS = {
    "mean": "the mean score, of a gate that names no figure",
    "drop": "how much lower the mean is than in the baseline or with the base model, question by question",
    "error_rate": "the share of questions that could not be asked",
    "unscored_rate": "the share of questions that got no usable rating",
    "n": "how many questions have a score",
}


SECTIONS = {  # of the page of files, by the file and the object that the section's table has the keys of
    "results": {
        "": "The file", "configuration": "Configuration", "silent": "Silent test", "adaptation": "Adaptation",
        "journal_use": "Use of the journal",
        "usage": "Usage", "model_usage": "Usage of a model",
        "rank": "Rank", "summary": "Summary", "row": "Row", "benchmark_score": "Score of a benchmark",
        "verdict": "Verdict", "gate": "Gate of a verdict",
        "gate.selector": "Selector of a gate", "verdict.worst": "Worst question of a verdict",
        "changes": "Changes", "change": "Change", "result": "Result", "chat": "Chat", "score": "Score",
        "sample": "Sample", "identity": "Identity", "identity.fingerprint": "Fingerprint of a model",
        "inputs": "Inputs",
    },
    "baseline": {
        "identity": "Identity in a baseline",
        "identity.fingerprint": "Fingerprint of a model in a baseline",
        "": "Baseline file", "fingerprint": "Fingerprint of a baseline",
        "benchmark": "Benchmark of a baseline", "question": "Question of a baseline",
    },
}  # fmt: skip


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str) -> str:
    """Return a text as code; a bar would end the cell."""
    return f"`{text}`".replace("|", r"\|")


# --- options ---


def facts(option: Option) -> list[str]:
    """Return what the page of options must say of each: repeatable, default, ini name."""
    sentences = ["Repeatable."] if option.repeatable else []
    sentences += [f"Default: `{option.default}`."] if option.default else []
    sentences += [f"Ini name: `{option.name}`."] if option.places == "both" else []
    aliases = [*option.flags[1:], *option.names[1:]]
    return [*sentences, f"Also: {', '.join(map(code, aliases))}."] if aliases else sentences


def ini_table() -> str:
    """Return the ini names: the type, the default and the option of each."""
    shown = [option for option in OPTIONS if option.places != "flag"]
    return table(
        ["ini name", "type", "default", "option"],
        (
            [code(name), _kind(option), _default(option), _flag(option)]
            for option in shown
            for name in option.names
        ),
    )


def _kind(option: Option) -> str:
    kind = KINDS[option.parse.__qualname__.partition(".")[0]]
    return f"{kind}; one a line" if option.repeatable else kind


def _default(option: Option) -> str:
    return code(option.default) if option.default else ""


def _flag(option: Option) -> str:
    if option.places == "ini":
        return "[`--eval-gate`](options.md#--eval-gate-expr)"
    heading = option.flag if option.metavar is None else f"{option.flag} {option.metavar}"
    return f"[`{option.flag}`](options.md#{slug(heading)})"


def command_table(name: str) -> str:
    """Return the options of a command."""
    return table(
        ["option", "default", "what it does"],
        (_command_row(*entry) for entry in command_options(name).items()),
    )


def _command_row(long: str, option: click.Option) -> Sequence[str]:
    metavar = option.metavar or ("" if option.is_flag else getattr(option.type, "name", "").upper())
    short = [f" or {code(name)}" for name in option.opts if name != long]
    # A flag's default is that it is off.
    has_default = isinstance(option.default, (str, Path)) and not option.multiple
    note = "required" if option.required else "repeatable" if option.multiple else ""
    shown = code(str(option.default)) if has_default else note
    return [code(f"{long} {metavar}".strip()) + "".join(short), shown, option.help or ""]


# --- gates ---


def figure_table() -> str:
    """Return the figures of gates: unit, operators, the limit that each has by itself."""
    return table(
        ["figure", "what it is", "unit of the limit", "operators", "limit without a gate"],
        (_figure_row(figure) for figure in (MEAN, *FIGURES.values())),
    )


def _figure_row(figure: Figure) -> Sequence[str]:
    operators = "`<=`" if figure.compares else "`>=` `>` `<=` `<`"
    default = "" if figure.default is None else code(f"<= {figure.default:g}")
    return [code(figure.name), FIGURE_TEXTS[figure.name], UNITS[figure.unit], operators, default]


# --- files ---


def key_table(file: str, name: str) -> str:
    """Return the keys of an object of a schema: the type and the meaning of each."""
    keys = objects(file)[name]
    return table(
        ["key", "type", "meaning"],
        (
            [code(key), _type(file, f"{name}.{key}".strip("."), part), part.get("description", "")]
            for key, part in keys.items()
        ),
    )


def _type(file: str, name: str, part: Mapping[str, Any]) -> str:
    """Return the type of a key, with a link to the section of an object; `name` is that of the key itself."""
    if values := part.get("enum", [part["const"]] if "const" in part else []):
        return ", ".join(code("null" if value is None else str(value)) for value in values)
    if "anyOf" in part:
        return " or ".join(_type(file, name, one) for one in part["anyOf"])
    target = part.get("$ref", "").rpartition("/")[2] or name
    if target and (title := SECTIONS[file].get(target)):
        link = f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
        return f"array of {link}" if part.get("type") == "array" else link
    if "$ref" in part:
        return FORMS.get(target) or _type(file, "", schema(file)["$defs"][target])
    kinds = part.get("type", "any")
    inner = part.get("items", part.get("additionalProperties"))
    if isinstance(inner, dict) and kinds in ("array", "object"):
        return f"{kinds} of {_type(file, '', inner)}"
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


# --- all of them ---

TABLES: dict[str, Callable[[], str]] = {
    "ini": ini_table,
    "figures": figure_table,
    **{f"command {name}": partial(command_table, name) for name in commands() if command_options(name)},
    **{
        f"{file} {name or 'file'}": partial(key_table, file, name)
        for file, sections in SECTIONS.items()
        for name in sections
    },
}


def renewed(text: str) -> str:
    """Return a page with its tables made anew; raises KeyError for a table that nobody makes."""
    return BLOCK.sub(lambda found: f"{found['name']} -->\n\n{TABLES[found['name']]()}\n", text)


def main() -> None:
    """Write the tables into the pages."""
    for page in sorted(REFERENCE.glob("*.md")):
        before = page.read_text("utf-8")
        if (after := renewed(before)) != before:
            page.write_text(after, "utf-8")
            print(f"written: {page.relative_to(REFERENCE.parents[1])}")


if __name__ == "__main__":
    main()
