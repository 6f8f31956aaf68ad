"""The reason why a model could not be loaded, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence, Set

from pytest_instructlab_eval.models.local.jobs import short_error

CAUSES: tuple[tuple[Set[str], Sequence[str], str], ...] = (
    (
        {"GatedRepoError", "RepositoryNotFoundError"},
        (),
        "the hub has no model {source} that you may read; check the name, or log in with `hf auth login`",
    ),
    (
        {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectError", "ConnectionError"},
        (),
        "{source} is neither a folder here nor in the hub's cache, and the hub cannot be reached; give a "
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
        "{source} needs code of its own, which is not run; serve it yourself, and give the URL with "
        "--eval-base-url",
    ),
)
"""Types of errors, or words in them, with what they mean; the first that fits is taken."""


def load_error_text(name: str, source: str, error: Exception) -> str:
    """Return why a model couldn't be loaded, in one sentence."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    type_names, messages = {type(cause).__name__ for cause in causes}, "\n".join(map(str, causes))
    for kinds, words, sentence in CAUSES:
        if kinds & type_names or any(word in messages for word in words):
            return sentence.format(source=source)
    return f"{name} cannot be loaded by transformers ({short_error(error)})"
