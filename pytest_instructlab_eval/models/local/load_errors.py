"""Why a model could not be loaded, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence, Set

from pytest_instructlab_eval.models.local.jobs import short_error

CAUSES: tuple[tuple[Set[str], Sequence[str], str], ...] = (
    (
        {"GatedRepoError", "RepositoryNotFoundError"},
        (),
        "the hub has no model {source}, or not for you; check the name, or log in with `hf auth login`",
    ),
    (
        {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"},
        (),
        "{source} is neither a folder here nor in the hub's cache, and the hub can't be reached; give a "
        "model's folder",
    ),
    (
        {"UnpicklingError"},
        ("torch.load",),
        "the weights of {source} are a pickle that could run code, so they are not loaded; convert them to "
        "safetensors",
    ),
    (
        set(),
        ("trust_remote_code",),
        "{source} brings code of its own, which is not run; evaluate it at a server of yours, and give the "
        "URL with --eval-base-url",
    ),
)
"""The names of an error's types, or words that it has, and what it means; the first that fits is told."""


def load_error_text(name: str, source: str, error: Exception) -> str:
    """Return why a model couldn't be loaded, in one sentence."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    found, said = {type(cause).__name__ for cause in causes}, "\n".join(map(str, causes))
    for kinds, words, sentence in CAUSES:
        if kinds & found or any(word in said for word in words):
            return sentence.format(source=source)
    return f"{name} can't be loaded by transformers ({short_error(error)})"
