"""The models that a journal's replies are of: kept beside it, and compared before a reply is used again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from pytest_instructlab_eval.data.text_files import replace_text
from pytest_instructlab_eval.data.typed_json import MisfitError, NotJSONError, load_json, read_as
from pytest_instructlab_eval.errors import DataError
from pytest_instructlab_eval.escaping import escape_json
from pytest_instructlab_eval.records.journal_folder import MODELS
from pytest_instructlab_eval.records.model_identity import ModelIdentity, plain_identities

Identities = Mapping[str, ModelIdentity]
"""Identities by label."""


class JournalModels(TypedDict):
    """The evaluated models and the judges of a journal, by label."""

    models: Identities
    judges: Identities


def write_models(folder: Path, models: JournalModels) -> None:
    """Write the file of a journal's models; raises OSError."""
    plain = {"models": plain_identities(models["models"]), "judges": plain_identities(models["judges"])}
    folder.mkdir(parents=True, exist_ok=True)
    replace_text(folder / MODELS, escape_json(json.dumps(plain, indent=1, ensure_ascii=False) + "\n"))


def read_models(folder: Path) -> JournalModels | None:
    """Return the models of a journal; None where it has no such file. Raises DataError for a damaged one."""
    path = folder / MODELS
    if not path.exists():
        return None
    try:
        return read_as(JournalModels, load_json(path))
    except (NotJSONError, MisfitError) as error:
        raise DataError(f"{path} is damaged: {error}") from None


def other_models(now: JournalModels, then: JournalModels) -> Iterator[str]:
    """Yield, for each model and judge of now that is another one than then, how it differs."""
    for kind, label, identity, earlier in _pairs(now, then):
        if earlier is not None and (difference := identity.difference(earlier)) is not None:
            yield f"the {kind} {label} is another one: {difference}"


def unproven_models(now: JournalModels, then: JournalModels | None) -> Iterator[str]:
    """Yield the labels of the models and judges whose weights cannot be compared."""
    for _, label, identity, earlier in _pairs(now, then or JournalModels(models={}, judges={})):
        if identity.digest is None and (earlier is None or not identity.is_same(earlier)):
            yield label


def _pairs(
    now: JournalModels, then: JournalModels
) -> Iterator[tuple[str, str, ModelIdentity, ModelIdentity | None]]:
    """Yield whether it is a model or a judge, its label, its identity, and the one it had; None without."""
    for label, identity in now["models"].items():
        yield "model", label, identity, then["models"].get(label)
    for label, identity in now["judges"].items():
        yield "judge", label, identity, then["judges"].get(label)
