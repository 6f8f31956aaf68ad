"""Checks that a model which this process is to load exists: in a folder, on the hub or in its cache."""

from __future__ import annotations

from pathlib import Path

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.models.local.model_spec import folder_problem
from pytest_instructlab_eval.serving.vllm import model_source

SECONDS = 20.0  # for the hub to answer


def check_source(name: str, option: str, url_option: str) -> None:
    """Raise ConfigurationError where a model to load is no model's folder and not on the hub or in its cache.

    `option` named the model, and `url_option` would have named a server of it.
    """
    source = model_source(name, option)
    if Path(source).is_dir():
        if problem := folder_problem(Path(source)):
            raise ConfigurationError(f"{option}: {problem}")
        return
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.file_download import repo_folder_name

    try:
        cached = Path(HF_HUB_CACHE, repo_folder_name(repo_id=source, repo_type="model"), "snapshots")
        if not cached.is_dir():
            HfApi().model_info(source, timeout=SECONDS)
        return
    except HFValidationError:
        why = "a model on the hub cannot have this name"
    except GatedRepoError:
        why = "the hub asks you to accept its terms first (log in with `hf auth login`)"
    except RepositoryNotFoundError:
        why = "the hub has no model of this name that you may read"
    except Exception as error:  # whatever its client raises where there is no network
        why = f"the hub cannot be reached ({type(error).__name__})"
    raise ConfigurationError(
        f"{option}: {name} is not a folder here, and {why}; if a server has it, give its URL with "
        f"{url_option}"
    )
