"""The call of the hook `pytest_eval_run_finished`."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_instructlab_eval.reports.run_report import RunReport

HOOK = "pytest_eval_run_finished"
# pytest.fail() and pytest.skip() raise what is no Exception; pytest.exit() is to end pytest.
RAISED = (Exception, pytest.fail.Exception, pytest.skip.Exception)


def hook_problems(config: pytest.Config, report: RunReport, folder: Path) -> Iterator[str]:
    """Call each plugin's hook with the report, and yield a sentence for each that raised an exception.

    `folder` is where the run's files were written.
    """
    manager = config.pluginmanager
    plugins = [
        implementation.plugin for implementation in config.hook.pytest_eval_run_finished.get_hookimpls()
    ]
    if not plugins:
        return
    from pytest_instructlab_eval.reports.finished_run import finished_run

    view = finished_run(report, folder)
    for plugin in reversed(plugins):  # as pytest calls them: the last registered first
        others = [other for other in plugins if other is not plugin]
        try:
            manager.subset_hook_caller(HOOK, others)(report=view)
        except RAISED as error:
            name = manager.get_name(plugin) or "a plugin"
            frames = traceback.extract_tb(error.__traceback__)
            lines = {Path(frame.filename).name: frame.lineno for frame in frames}  # the last of each file
            line = lines.get(Path(name).name, frames[-1].lineno)
            reason = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split()))))
            yield (
                f"the hook {HOOK} of {name}, line {line} failed: {reason}; the results were written before it"
            )
