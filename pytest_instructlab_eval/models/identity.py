"""Looks at a model behind a server: what the server lists of it, and how it goes on after fixed prompts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from pytest_instructlab_eval.errors import ModelError
from pytest_instructlab_eval.models.logprobs import Top, log_likelihood
from pytest_instructlab_eval.records.model_identity import Fingerprint, Likelihoods, ModelIdentity

PROMPTS = (
    "The capital of Australia is",
    "for index in range(",
    "Two plus three is five, and seven minus four is",
    "Der Hund schläft unter dem",
    "Question: Which metal is liquid at room temperature?\nAnswer:",
    "She opened the old letter and began to",
    '{"name": "Ada", "year":',
    "Plants turn sunlight into",
)
"""Short enough that no server's cache of prompts holds them, of several languages and kinds of text."""
PROMPTS_DIGEST = hashlib.sha256("\0".join(PROMPTS).encode()).hexdigest()[:12]
MOST_LISTED = 5  # likeliest tokens; OpenAI's limit, which every server accepts
DETAILS = ("parent", "size", "n_params", "ftype", "quantization")
"""Further facts in a list of models that belong to the weights: of vLLM's adapters and of llama.cpp."""

Likeliest = Callable[[str], Awaitable[Top]]
"""Returns the likeliest tokens after a prompt; empty where the server does not tell. Raises ModelError."""


def listed_identity(name: str, card: Mapping[str, object]) -> ModelIdentity:
    """Return the identity that a server lists of a model of this name; what is no text or number is left out.

    vLLM and llama.cpp give another `created` at every call, so it is only a first look; see `confirmed`.
    """
    meta = card.get("meta")
    facts = {**(meta if isinstance(meta, Mapping) else {}), **card}
    details = {key: str(facts[key]) for key in DETAILS if type(facts.get(key)) in (str, int)}
    created = card.get("created")
    return ModelIdentity(
        name,
        root=_text(card.get("root")),
        owner=_text(card.get("owned_by")),
        details=details,
        created_once=created if type(created) is int else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def joined_identity(replicas: Sequence[ModelIdentity]) -> ModelIdentity:
    """Return the identity of a model at several servers: that of the first, if the others do not differ.

    Otherwise it has no fingerprint, as it is not one model that was looked at, and says so.
    """
    first, *others = replicas
    for other in others:
        if (difference := first.other_model(other)) is not None:
            reason = f"its servers have different models: on the first, {difference} on another"
            return replace(first, fingerprint=None, without_fingerprint=reason)
    return first


async def add_fingerprint(identity: ModelIdentity, ways: Mapping[str, Likeliest]) -> ModelIdentity:
    """Return the identity with the model's fingerprint, by the first of these ways that the server has.

    Without one the identity says why; a server that gives no log-probabilities is not an error. The prompts
    are asked twice, first all together and then one by one, since that is what changes numbers on a server.
    """
    reason = "the server gives no log-probabilities"
    for way, likeliest in ways.items():
        try:
            tops = await asyncio.gather(*map(likeliest, PROMPTS), return_exceptions=True)
            first = []
            for top in tops:  # all of them have ended by now, so that none runs on after an error
                if isinstance(top, BaseException):
                    raise top
                first.append(_likelihoods(top))
            if not all(first):
                continue
            second = [_likelihoods(await likeliest(prompt)) for prompt in PROMPTS]
        except ModelError as error:
            reason = f"log-probabilities could not be had: {error}"
            continue
        return replace(identity, fingerprint=Fingerprint.of(way, PROMPTS_DIGEST, first, second))
    return replace(identity, without_fingerprint=reason)


def _likelihoods(top: Top) -> Likelihoods:
    """Return the log-probability of each token; tokens without a usable one are left out."""
    likelihoods = {}
    for token, values in top.items():
        try:
            likelihoods[token] = log_likelihood(values)
        except ModelError:  # such as -9999, which stands for minus infinity
            continue
    return likelihoods
