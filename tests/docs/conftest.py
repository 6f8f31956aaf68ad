"""What the commands of a page are run in: the small project and the servers of the plugin's tests."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.plugin.conftest")

from tests.plugin.conftest import make_project, mmlu_data, mt_bench_data, server  # noqa: E402

__all__ = ["make_project", "mmlu_data", "mt_bench_data", "server"]
