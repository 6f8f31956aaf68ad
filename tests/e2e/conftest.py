import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .vllm_environment import Server, VLLMServer, running_server, tiny_model

# A developer's shortcut: the tests use the server at this URL, and none is started.
RUNNING = "PYTEST_INSTRUCTLAB_EVAL_VLLM_URL"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real vLLM that serves the tiny model as chance made it: for likelihoods."""
    yield from served(tmp_path_factory.mktemp("vllm"), trained=False)


@pytest.fixture(scope="session")
def judging_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real vLLM that serves the tiny model trained to answer and to judge."""
    yield from served(tmp_path_factory.mktemp("vllm"), trained=True)


def served(folder: Path, *, trained: bool) -> Iterator[Server]:
    if url := os.environ.get(RUNNING):
        yield running_server(url)
        return
    model = tiny_model(trained=trained)
    with VLLMServer(model, log=folder / "server.log", name="tiny", max_model_len=16384) as server:
        yield server
