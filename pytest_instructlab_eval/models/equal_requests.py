"""The numbers that tell equal requests of one test apart."""

from __future__ import annotations


class EqualRequests:
    """The numbers of equal requests of one test, from 0: repeats of a request are kept apart by them.

    A request that failed gives its number back, so that the next one like it has it.
    """

    def __init__(self) -> None:
        self._taken: dict[bytes, set[int]] = {}

    def take(self, request: bytes) -> int:
        """Return the smallest number that no equal request has."""
        taken = self._taken.setdefault(request, set())
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        taken.add(number)
        return number

    def give_back(self, request: bytes, number: int) -> None:
        """Let the next equal request have the number."""
        self._taken[request].discard(number)
