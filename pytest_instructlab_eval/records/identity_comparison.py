"""The comparison of a run's models and judges with those of a baseline that have their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_instructlab_eval.errors import ConfigurationError
from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.records.model_identity import LONGEST, ModelIdentity

Identities = Mapping[str, ModelIdentity]


def different_models(ours: Identities, theirs: Identities) -> Iterator[tuple[str, str]]:
    """Yield each label that both sides have, but of different models, and how ours differs from theirs."""
    for label, model in ours.items():
        if label in theirs and (difference := model.other_model(theirs[label])) is not None:
            yield label, difference


def check_judges(ours: Identities, theirs: Identities, name: str, advice: str) -> None:
    """Raise ConfigurationError where a judge is another model than the baseline's judge of its name.

    `name` is the baseline's name in the message, `advice` what to do next. Judges are compared as far as both
    sides know them.
    """
    for label, difference in different_models(ours, theirs):
        raise ConfigurationError(
            f"{name} has another judge under the name {escape(label, LONGEST)}: {difference} in the "
            f"baseline; {advice}"
        )


def identity_notes(ours: Identities, theirs: Identities) -> Iterator[str]:
    """Yield a sentence on each model whose name both sides have: whether it is the same, if that is known."""
    for label, model in ours.items():
        if label not in theirs:
            continue
        name, difference = escape(label, LONGEST), model.difference(theirs[label])
        if difference is not None:
            yield f"{name} is another model than the baseline's {name}: {difference} in the baseline"
        elif model.is_same(theirs[label]):
            facts = "its log-probabilities" if model.digest is None else "its files"
            yield f"{name} is the model of the baseline, as far as {facts} show"
