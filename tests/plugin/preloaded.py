"""What the process that runs are forked from has done already, since each run would do it again.

It has imported the libraries, this plugin and pytest's own plugins, has read what is installed, and knows the
file of each module (`inspect` looks for it when the first traceback is shown).
"""

import functools
import gc
import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
from importlib.metadata import PathDistribution

import lm_eval.utils
from _pytest.config import default_plugins

import pytest_instructlab_eval
from pytest_instructlab_eval.data import typed_json
from pytest_instructlab_eval.models.protocol import Completion
from pytest_instructlab_eval.records.journal_models import JournalModels
from pytest_instructlab_eval.records.run import Run
from pytest_instructlab_eval.reports.html.page import page_template
from pytest_instructlab_eval.suites import mmlu

from . import pytest_start

LIBRARIES = (
    "pytest", "aiohttp", "tabulate", "yaml", "numpy", "scipy.special", "git", "click", "jsonlines", "execnet",
    "xdist.plugin", "xdist.newhooks", "xdist.looponfail", "xdist.dsession", "lm_eval.api.task",
    "lm_eval.tasks", "platformdirs.pytest_plugin", "faulthandler", "pdb", "readline",
    "_pytest._argcomplete", *(f"_pytest.{name}" for name in default_plugins),
)  # fmt: skip
ALONE = (
    "pytest_instructlab_eval.__main__",
    "pytest_instructlab_eval.models.local",
)  # no run imports them at once
OWN = tuple(
    module.name
    for module in pkgutil.walk_packages(pytest_instructlab_eval.__path__, "pytest_instructlab_eval.")
    if not module.name.startswith((*ALONE, "pytest_instructlab_eval.benchmarks"))
)


class Installed(PathDistribution):
    """A distribution whose metadata is read once: nothing is installed or removed while the tests run."""

    read_text = functools.cache(PathDistribution.read_text)  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Installed) and self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)


def _read_what_is_installed() -> None:
    """Read each distribution's metadata, and mark the modules of plugins as not to be rewritten.

    Without the mark pytest warns of a plugin's module that was imported before pytest could rewrite it.
    """
    for name in ("metadata", "entry_points", "files", "_normalized_name"):
        setattr(Installed, name, property(functools.cache(getattr(PathDistribution, name).fget)))
    importlib.metadata.PathDistribution = Installed  # type: ignore[misc]
    for distribution in importlib.metadata.distributions():
        assert distribution.name  # of the metadata, which each run would parse
        if any(entry.group == "pytest11" for entry in distribution.entry_points):
            for file in distribution.files or ():
                module = sys.modules.get(file.parts[0].removesuffix(".py"))
                if module is not None:
                    module.__doc__ = "PYTEST_DONT_REWRITE"


def _store_names_together() -> None:
    """Store the names of the modules side by side in memory.

    Code that goes through all names changes the count of references in each, and a forked run copies every
    page of memory that it writes to: it was a thousand pages, and is a hundred.
    """
    modules = {name.encode().decode(): module for name, module in sys.modules.items()}
    sys.modules.clear()
    sys.modules.update(modules)


for name in (*LIBRARIES, *OWN):
    importlib.import_module(name)
_read_what_is_installed()
importlib.metadata.entry_points()
pytest_start.prepare()
lm_eval.utils.env.from_string = functools.cache(lm_eval.utils.env.from_string)  # it compiles at each use
mmlu._mmlu_index()
page_template()
for kind in (Run, JournalModels, Completion):
    typed_json._reader(kind)
inspect.getmodule(_read_what_is_installed.__code__, "a file of no module, so that all are looked at")
gc.collect()
_store_names_together()
gc.freeze()  # to look at what was imported would copy its memory in each process
