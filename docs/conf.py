"""How Sphinx builds these pages: `python -m sphinx -W --keep-going -n -b html docs build/docs`.

The pages are plain Markdown, so that they also read well on a Git host. Nothing is downloaded.
"""

import re
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import pytest_instructlab_eval

project = "pytest-instructlab-eval"
author = "the pytest-instructlab-eval project"
version = release = installed_version(project)

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"{project} {version}"
exclude_patterns = ["_build"]

myst_heading_anchors = 4  # links such as gates.md#verdicts work here and on a Git host

default_role = "code"  # of docstrings: names in single backticks
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # ONE_TO_TEN, not what it consists of
add_module_names = False
python_use_unqualified_type_names = True

nitpick_ignore_regex = [
    ("py:.*", r"(collections\.abc|typing|pathlib)\..*"),  # Python's own, whose docs are not downloaded
    ("py:.*", r"(.*\.)?(AnswerFiles|Chat|Evidence|Judgment|Put)"),  # private types in public signatures
]

DOCS = Path(__file__).parent
LINK = re.compile(r"\]\((\.\./[^)#\s]*)(#[^)\s]*)?\)")


def link_outside(app: Sphinx, name: str, source: list[str]) -> None:
    """Make links to files outside docs/ downloads; a folder is represented by its README."""
    here = (DOCS / name).parent

    def as_download(link: re.Match[str]) -> str:
        target = here / link[1]
        if target.resolve().is_relative_to(DOCS):
            return link[0]
        return f"](path:{link[1].rstrip('/')}/README.md)" if target.is_dir() else f"](path:{link[1]})"

    source[0] = LINK.sub(as_download, source[0])


def public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """Resolve a type by its public name: annotations name the module that defines it."""
    name = node["reftarget"].rpartition(".")[2]
    if node["refdomain"] != "py" or name not in pytest_instructlab_eval.__all__:
        return None
    target = f"{pytest_instructlab_eval.__name__}.{name}"
    return env.domains.python_domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], target, node, shown
    )


def plain_signature(  # noqa: PLR0917  (Sphinx gives them so)
    app: Sphinx,
    what: str,
    name: str,
    value: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Write defaults that are functions as an ellipsis, without which a signature is not parsed."""
    return None if signature is None else (re.sub(r"<(?:[^<>]|<lambda>)*>", "...", signature), returned)


def setup(app: Sphinx) -> None:
    """Add what MyST and autodoc lack."""
    app.connect("source-read", link_outside)
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("missing-reference", public_name)
