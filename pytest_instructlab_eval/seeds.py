"""Seeds of sampled answers and judgments: no two questions share one."""

from __future__ import annotations

import hashlib


class Seed(int):
    """A seed with the number of its repeat, from 0."""

    repeat: int

    def __new__(cls, value: int, repeat: int) -> Seed:
        """Return a seed of this value."""
        seed = super().__new__(cls, value)
        seed.repeat = repeat
        return seed


def seed_of(run: int, *names: object, repeat: int) -> Seed:
    """Return the seed of one repeat of what the names identify: 31 bits, the same on every machine.

    `run` is the run's own seed (`--eval-seed`). Questions whose repeats had the same seeds would share their
    noise, and a mean over them would vary more from run to run than its standard error says.
    """
    texts = [str(part).encode("utf-8", "surrogatepass") for part in (run, *names, repeat)]
    joined = b"".join(len(text).to_bytes(8, "big") + text for text in texts)
    return Seed(int.from_bytes(hashlib.sha256(joined).digest()[:4], "big") >> 1, repeat)
