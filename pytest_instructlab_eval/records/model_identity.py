"""The identity of a model: what tells it from another model under the same name."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_instructlab_eval.escaping import escape
from pytest_instructlab_eval.records.plain_data import plain_data

LEAST_DIFFERENCE = 0.02  # nats, below which two measurements are of one model however well each repeats
TIMES_REPEATABILITY = 10  # beyond which a difference is not the server's own
DECIMALS = 3  # of a stored log-probability: a twentieth of LEAST_DIFFERENCE
LONGEST = 60  # characters of a value in a sentence

Likelihoods = Mapping[str, float]
"""Log-probabilities (nats) of the likeliest next tokens, by their texts."""


@dataclass(frozen=True)
class Fingerprint:
    """The behaviour of a model: the likeliest tokens after each of some fixed prompts.

    `way` is how they were asked, `prompts` is a digest of the prompts, and only fingerprints with equal ones
    are compared. `repeatability` is the mean difference (nats) of two measurements at that time.
    """

    way: str
    prompts: str
    likelihoods: tuple[Likelihoods, ...]
    repeatability: float

    @classmethod
    def of(
        cls, way: str, prompts: str, first: Sequence[Likelihoods], second: Sequence[Likelihoods]
    ) -> Fingerprint:
        """Return the fingerprint of two measurements of the same prompts, rounded to be stored."""
        rounded = tuple({token: round(value, DECIMALS) for token, value in one.items()} for one in first)
        return cls(way, prompts, rounded, round(mean_distance(first, second), 4))

    def is_comparable(self, other: Fingerprint) -> bool:
        """Return whether both are of the same prompts, asked in the same way."""
        return (self.way, self.prompts, len(self.likelihoods)) == (
            other.way, other.prompts, len(other.likelihoods),
        )  # fmt: skip

    def difference(self, other: Fingerprint) -> str | None:
        """Return in words how the model's behaviour differs from an earlier one, None where it does not."""
        if not self.is_comparable(other):
            return None
        repeatability = max(self.repeatability, other.repeatability)
        nats = mean_distance(self.likelihoods, other.likelihoods)
        if nats <= max(LEAST_DIFFERENCE, TIMES_REPEATABILITY * repeatability):
            return None
        return (
            f"its log-probabilities after {len(self.likelihoods)} fixed prompts differ by {nats:.2g} nats in "
            f"the mean (and by {repeatability:.1g} when asked twice)"
        )


def mean_distance(first: Sequence[Likelihoods], second: Sequence[Likelihoods]) -> float:
    """Return the mean absolute difference (nats) of log-probabilities, prompt by prompt.

    A token that only one side lists is at most as likely on the other as the least likely token there, so
    what it adds is a lower bound.
    """
    differences = []
    for one, other in zip(first, second, strict=True):
        for token in {**one, **other}:
            if token in one and token in other:
                differences.append(abs(one[token] - other[token]))
            else:
                listed, absent = (one, other) if token in one else (other, one)
                differences.append(max(0.0, listed[token] - min(absent.values(), default=listed[token])))
    return statistics.fmean(differences) if differences else 0.0


@dataclass(frozen=True)
class ModelIdentity:
    """What is known of a model, apart from where it is served.

    `root` and `owner` are what its server lists of it. `created` is that too, once two looks at least two
    seconds apart have agreed; `created_once` is the value of a single look, and is not stored. `details` are
    further fixed facts, such as a quantisation. `digest` is that of the weights and tokenizer files where the
    run serves the model from a folder. `fingerprint` is the model's behaviour, and `without_fingerprint` is
    why it is not known.
    """

    name: str
    root: str | None = None
    owner: str | None = None
    created: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    fingerprint: Fingerprint | None = None
    without_fingerprint: str | None = None
    created_once: int | None = None

    @property
    def text(self) -> str:
        """The facts that are known before the first request and never waver, as canonical JSON.

        It is for the key of a request. `created` and the fingerprint are not in it: the one needs a second
        look, the other differs a little from one measurement to the next. Compare both with `difference`
        before an earlier reply is used. A model with a digest is that model under any name.
        """
        listed = {"name": self.name, "root": self.root, "owner": self.owner} if self.digest is None else {}
        facts = {**listed, "details": dict(self.details) or None, "digest": self.digest}
        return json.dumps(
            {name: value for name, value in facts.items() if value is not None},
            sort_keys=True, separators=(",", ":"),
        )  # fmt: skip

    def difference(self, earlier: ModelIdentity) -> str | None:
        """Return in words how this model differs from an earlier one; None where nothing known differs.

        That does not prove that it is the same; see `is_same`.
        """
        facts: list[tuple[str, object, object]]
        if None not in (self.digest, earlier.digest):
            facts = [("digest of weights and tokenizer", self.digest, earlier.digest)]
        else:
            facts = [
                ("name", self.name, earlier.name),
                ("root", self.root, earlier.root),
                ("owner", self.owner, earlier.owner),
            ]
            if self.created is not None or earlier.created is not None:
                facts.append(("time of creation", self._any_created, earlier._any_created))
        for name in dict.fromkeys([*self.details, *earlier.details]):
            facts.append((name, self.details.get(name), earlier.details.get(name)))
        for what, now, then in facts:
            if None not in (now, then) and now != then:
                return f"its {what} is {_shown(now)} now and was {_shown(then)}"
        if self.fingerprint is None or earlier.fingerprint is None:
            return None
        return self.fingerprint.difference(earlier.fingerprint)

    def other_model(self, earlier: ModelIdentity) -> str | None:
        """Return in words why this is not the earlier model; None where nothing shows it.

        Unlike in `difference`, the way that models go on after fixed prompts outweighs what servers list of
        them: the same weights are often served from another folder.
        """
        ours, theirs = self.fingerprint, earlier.fingerprint
        if self.digest is None and ours is not None and theirs is not None and ours.is_comparable(theirs):
            return ours.difference(theirs)
        return self.difference(earlier)

    @property
    def _any_created(self) -> int | None:
        return self.created_once if self.created is None else self.created

    def is_same(self, earlier: ModelIdentity) -> bool:
        """Return whether this is surely the earlier model: both were looked at, and nothing differs."""
        if self.text != earlier.text or self.difference(earlier) is not None:
            return False
        if self.digest is not None:
            return True
        ours, theirs = self.fingerprint, earlier.fingerprint
        return ours is not None and theirs is not None and ours.is_comparable(theirs)

    def confirmed(self, later: ModelIdentity) -> ModelIdentity:
        """Return this identity with the time of creation that a later look, of two seconds on, confirms."""
        created = self.created_once if self.created_once == later.created_once else None
        return replace(self, created=created)

    def to_plain(self) -> dict[str, object]:
        """Return the identity as plain data for JSON, without what is not known."""
        plain: dict[str, object] = plain_data(replace(self, created_once=None))
        return {name: value for name, value in plain.items() if value not in (None, {})}


def plain_identities(identities: Mapping[str, ModelIdentity]) -> dict[str, object]:
    """Return identities by label as plain data for JSON."""
    return {label: identity.to_plain() for label, identity in identities.items()}


def _shown(value: object) -> str:
    return escape(repr(value), LONGEST)
