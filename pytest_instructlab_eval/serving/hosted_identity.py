"""The identity of a model that the run serves itself: a digest of its files instead of a look at a server."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pytest_instructlab_eval.models.local.model_spec import HUB_OWNER
from pytest_instructlab_eval.models.weights_digest import folder_digest
from pytest_instructlab_eval.records.model_identity import ModelIdentity
from pytest_instructlab_eval.serving.plan import serving_way
from pytest_instructlab_eval.settings import Settings


def hosted_identity(settings: Settings, name: str, cache_folder: Path) -> ModelIdentity:
    """Return the identity of a model of `settings.hosted`, by its folder or its copy in the hub's cache.

    Raises ConfigurationError where there is no way to serve it. vLLM's arguments belong to the identity, as
    they can name an adapter or quantise the weights; `cache_folder` is that of `folder_digest`.
    """
    way = serving_way(settings)
    details = {"server": way}
    if way == "vllm" and settings.vllm_args:
        details["vllm_args"] = settings.vllm_args
    folder = Path(name).expanduser()
    source = folder if folder.is_dir() else _hub_snapshot(name)
    digest = None if source is None else folder_digest(source, cache_folder)
    reason = None if digest is not None else "its files are not in a folder here that could be read"
    return ModelIdentity(name, details=details, digest=digest, without_fingerprint=reason)


def _hub_snapshot(name: str) -> Path | None:
    """Return the folder of a model in the hub's cache, None where there is not just one that would be used.

    The branch `main` is what is loaded; the hub may have a newer one, which is then fetched first.
    """
    repository = name if "/" in name else f"{HUB_OWNER}/{name}"
    with contextlib.suppress(ImportError, OSError, ValueError):
        from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
        from huggingface_hub.file_download import repo_folder_name

        if not HF_HUB_OFFLINE:  # else what is loaded may be newer than what is in the cache
            return None
        cached = Path(HF_HUB_CACHE, repo_folder_name(repo_id=repository, repo_type="model"))
        commit = (cached / "refs" / "main").read_text(encoding="ascii").strip()
        snapshot = cached / "snapshots" / commit
        return snapshot if commit and snapshot.is_dir() else None
    return None
