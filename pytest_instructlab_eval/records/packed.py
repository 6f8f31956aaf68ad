"""A sequence of records, kept as compressed bytes: a run can have millions."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class Packed(Sequence[T]):
    """A sequence of records, which are unpacked each time that they are read."""

    __slots__ = ("_count", "_packed")

    def __init__(self, records: Iterable[T]) -> None:
        records = tuple(records)
        self._count = len(records)
        self._packed = zlib.compress(pickle.dumps(records, pickle.HIGHEST_PROTOCOL), 1)

    def __iter__(self) -> Iterator[T]:
        records: tuple[T, ...] = pickle.loads(zlib.decompress(self._packed))  # noqa: S301  (our own bytes)
        return iter(records)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...

    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        return tuple(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, Packed)) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))
