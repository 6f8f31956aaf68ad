"""Groups of questions that are computed together, since they begin with the same tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

LEAST_SHARE = 128  # tokens; to compute fewer again costs less than a batch of its own


def first_group(contexts: Sequence[Sequence[int]]) -> int:
    """Return how many of the contexts, from the first, to compute together: those of one task, say.

    The group ends where neighbours share less than half of what the pair before or after does.
    """
    shares = (shared_length(*pair) for pair in itertools.pairwise(contexts))
    before, here = 0, next(shares, 0)
    for size, after in enumerate(itertools.chain(shares, [0]), start=1):
        if 2 * here < max(before, after) >= LEAST_SHARE:
            return size
        before, here = here, after
    return len(contexts)


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences begin with alike."""
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
