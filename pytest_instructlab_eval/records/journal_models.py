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
from pytest_instructlab_eval.records.model_identity import ModelIdentity

Identities = Mapping[str, ModelIdentity]
"""Identities by label."""


class JournalModels(TypedDict):
    """The evaluated models and the judges of a journal, by label."""

    models: Identities
    judges: Identities


def write_models(folder: Path, models: JournalModels) -> None:
    """Write the file of a journal's models; raises OSError."""
    plain = {
        role: {label: identity.to_plain() for label, identity in identities.items()}
        for role, identities in (("models", models["models"]), ("judges", models["judges"]))
    }
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
    for kind, ours, theirs in (
        ("model", now["models"], then["models"]),
        ("judge", now["judges"], then["judges"]),
    ):
        for label, identity in ours.items():
            if label in theirs and (difference := identity.difference(theirs[label])) is not None:
                yield f"the {kind} {label} is another one: {difference}"


def unproven_models(now: JournalModels, then: JournalModels | None) -> Iterator[str]:
    """Yield the labels of the models and judges whose weights cannot be compared."""
    for role in ("models", "judges"):
        ours: Identities = now["models"] if role == "models" else now["judges"]
        theirs: Identities = {} if then is None else then["models"] if role == "models" else then["judges"]
        for label, identity in ours.items():
            if identity.digest is None and (label not in theirs or not identity.is_same(theirs[label])):
                yield label
