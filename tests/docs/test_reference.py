"""The reference has all that the product has, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pytest_instructlab_eval.options import OPTIONS
from pytest_instructlab_eval.suites.option import Option

from .markdown import REFERENCE, section
from .product import (
    command_options,
    commands,
    environment_variables,
    evidence_entries,
    exit_statuses,
    figures,
    fixtures,
    flags,
    ini_names,
    junit_properties,
    marker_arguments,
    objects,
    public_names,
)
from .tables import SECTIONS, TABLES, facts, renewed

ROW = r"^\| `(?P<name>{name})(?: [^`]*)?`(?=[ ,])"
WORD = r"[\w.-]+"


@dataclass(frozen=True)
class Kind:
    """Names of one kind, and where the reference must have them: a page, a section of it, a pattern.

    Where it is not `exact`, the reference may have more: what another package or an earlier release has.
    """

    title: str
    names: Sequence[str]
    page: str
    pattern: str = ROW.format(name=WORD)
    section: str | None = None
    exact: bool = True

    def text(self) -> str:
        """Return the text of the page."""
        return (REFERENCE / self.page).read_text("utf-8")

    def documented(self, text: str) -> dict[str, tuple[int, int]]:
        """Return the names that a text documents, each with its place."""
        start, end = (0, len(text)) if self.section is None else section(text, self.section)
        matches = re.compile(self.pattern, re.MULTILINE).finditer(text, start, end)
        return {match["name"]: match.span("name") for match in matches}

    def problems(self, text: str) -> list[str]:
        """Return what a page lacks, and what it has that does not exist."""
        documented = self.documented(text)
        lacking = [f"{self.page} lacks {name}" for name in self.names if name not in documented]
        unknown = [f"{self.page} has {name}" for name in documented if name not in self.names and self.exact]
        return [*lacking, *unknown]


NAMES_IN_ROWS = r"`(?P<name>[A-Z]+(?:_[A-Z]+)+)`(?=[,` ].*\|)"
AUTODOC = r"^\.\. (?:auto\w+|py:data):: pytest_instructlab_eval\.(?P<name>\w+)(?:\(\))?$"
KINDS = [
    Kind("options", flags(), "options.md", r"^### `(?P<name>--[\w-]+)"),
    Kind("ini names", ini_names(), "ini.md"),
    Kind("exit statuses", exit_statuses(), "exit-statuses.md", r"^\| (?P<name>\d+) \|", exact=False),
    Kind("environment variables", environment_variables(), "environment.md", NAMES_IN_ROWS, exact=False),
    Kind("figures", figures(), "gates.md", section="Figures"),
    Kind("fixtures", fixtures(), "fixtures-and-markers.md", section="Fixtures"),
    Kind("arguments of the marker", marker_arguments(), "fixtures-and-markers.md", section="The marker"),
    Kind("public names", public_names(), "api.md", AUTODOC),
    Kind("public names in the table", public_names(), "api.md", r"\[`(?P<name>\w+)`\]\(#\w+\)(?=.*\|)"),
    Kind("commands", list(commands()), "commands.md", r"^## (?P<name>\w+)$"),
    *(
        Kind(f"options of {name}", list(command_options(name)), "commands.md", section=name)
        for name in commands()
        if command_options(name)
    ),
    *(
        Kind(f"keys of {file}: {title}", list(objects(file)[name]), "files.md", section=title)
        for file, sections in SECTIONS.items()
        for name, title in sections.items()
    ),
    Kind("evidence", [*evidence_entries(), "judge", "repeat", "rating"], "files.md", section="Evidence"),
    Kind(
        "JUnit properties",
        junit_properties(),
        "files.md",
        r"`(?P<name>eval\.[a-z_]+)`(?=.*\|)",
        section="Test properties",
        exact=False,
    ),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)


@each_kind
def test_the_reference_has_each_and_no_other(kind: Kind) -> None:
    assert kind.names
    assert kind.problems(kind.text()) == []


@each_kind
def test_a_name_that_the_reference_lacks_or_invents_is_found(kind: Kind) -> None:
    text = kind.text()
    name = kind.names[0]
    start, end = kind.documented(text)[name]
    invented = name[:-1] + ("X" if name.isupper() else "9" if name.isdigit() else "x")
    problems = kind.problems(text[:start] + invented + text[end:])
    assert f"{kind.page} lacks {name}" in problems
    assert (f"{kind.page} has {invented}" in problems) == kind.exact


def test_every_object_of_the_schemas_has_a_section() -> None:
    for file, sections in SECTIONS.items():
        assert set(sections) == set(objects(file))


def test_every_key_of_the_schemas_says_what_it_means() -> None:
    for file in SECTIONS:
        for name, keys in objects(file).items():
            assert [key for key, part in keys.items() if not part.get("description")] == [], name


# --- tables that are made from the code ---


def test_the_tables_are_as_the_code_makes_them() -> None:
    for page in REFERENCE.glob("*.md"):
        text = page.read_text("utf-8")
        assert renewed(text) == text, f"{page.name} is out of date: run python -m tests.docs.tables"


def test_every_table_is_in_a_page() -> None:
    text = "".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    assert [name for name in TABLES if text.count(f"<!-- table: {name} -->") != 1] == []
    assert text.count("<!-- table: ") == text.count("<!-- end of table -->") == len(TABLES)


def test_a_table_that_is_out_of_date_is_found() -> None:
    text = (REFERENCE / "ini.md").read_text("utf-8")
    row = "| `eval_few_shots` | whole number | `5` |"
    stale = text.replace(row, row.replace("5", "4"))
    assert text == renewed(stale) != stale


# --- the page of options ---


def option_sections() -> dict[str, str]:
    """Return what the page says of each option, by its heading, in the page's order."""
    parts = re.split(r"^### `(.+)`$", (REFERENCE / "options.md").read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_options_are_in_the_groups_and_the_order_of_the_help() -> None:
    text = (REFERENCE / "options.md").read_text("utf-8")
    shown = [option for option in OPTIONS if option.places != "ini"]
    common = [option.flag for option in shown if not option.expert]
    assert list(KINDS[0].documented(text)) == flags()
    start, end = section(text, "Common options")
    assert list(KINDS[0].documented(text[start:end])) == common


@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.places != "ini"], ids=lambda option: option.flag
)
def test_an_option_has_its_value_its_default_and_its_ini_name(option: Option) -> None:
    heading = option.flag if option.metavar is None else f"{option.flag} {option.metavar}"
    first, meaning = option_sections()[heading].strip().split("\n\n", 1)
    for fact in facts(option):
        assert fact in first
    assert ("Repeatable." in first) == option.repeatable
    assert len(meaning.split()) >= 5
