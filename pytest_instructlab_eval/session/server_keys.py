"""Which key each model of a run is asked with. A key is sent only to the servers that it was given for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pytest_instructlab_eval.settings import Settings


@dataclass(frozen=True)
class ServerKey:
    """The environment variable of a server's key, None if it needs none, its header, and its option."""

    variable: str | None
    header: str | None
    option: str = field(compare=False)


def model_key(settings: Settings, name: str) -> ServerKey:
    """Return the key of an evaluated model; the base model may have its own."""
    if name != settings.base_model:
        return _candidate_key(settings)
    own = ServerKey(
        settings.base_model_api_key_env, settings.base_model_api_key_header, "--eval-base-model-api-key-env"
    )
    return _completed(own, settings, settings.urls(name))


def judge_key(settings: Settings, name: str) -> ServerKey:
    """Return the key of a judge."""
    own = ServerKey(settings.judge_api_key_env, settings.judge_api_key_header, "--eval-judge-api-key-env")
    return _completed(own, settings, settings.judge_urls(name))


def _candidate_key(settings: Settings) -> ServerKey:
    return ServerKey(settings.api_key_env, settings.api_key_header, "--eval-api-key-env")


def _completed(own: ServerKey, settings: Settings, urls: tuple[str, ...]) -> ServerKey:
    """Return a key with what is not given taken from the candidate's, where both have the same servers."""
    if urls != settings.base_url:
        return own
    shared = _candidate_key(settings)
    header = own.header or shared.header
    return replace(shared if own.variable is None else own, header=header)
