"""Memory-efficient sequences of many small objects."""

from __future__ import annotations

import marshal
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")
S = TypeVar("S")

_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


class _Made(Sequence[T], ABC):
    """A sequence whose items are made at each look."""

    @abstractmethod
    def _item(self, index: int) -> T:
        """The item at an index from 0."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._item(place) for place in range(*index.indices(len(self)))]
        return self._item(range(len(self))[index])

    def __iter__(self) -> Iterator[T]:
        return map(self._item, range(len(self)))


class Packed(_Made[T]):
    """Items held as bytes one behind the other, each made anew whenever it is looked at.

    A row of a file as a list has it, a dictionary of texts, takes 400 bytes beside the text.

    Args:
        items: The first items.
        pack: Gives an item as a plain value: text, numbers, and lists, tuples or dictionaries of
            them. An item that is something else is held as it is.
        unpack: Makes the item of such a value.

    Example:
        >>> rows = Packed([{"a": 1}, {"a": "x"}])
        >>> rows.append({"a": None})
        >>> len(rows), rows[1], rows[1:], rows.only([0, 2])[1]
        (3, {'a': 'x'}, [{'a': 'x'}, {'a': None}], {'a': None})
    """

    def __init__(
        self,
        items: Iterable[T] = (),
        pack: Callable[[T], Any] = lambda item: item,
        unpack: Callable[[Any], T] = lambda value: value,
    ) -> None:
        self._pack, self._unpack = pack, unpack
        self._bytes = bytearray()
        self._borders = array("Q", [0])
        self._as_they_are: dict[int, T] = {}
        for item in items:
            self.append(item)

    def append(self, item: T) -> None:
        """Adds an item at the end."""
        value = self._pack(item)
        if _is_plain(value):
            self._bytes += marshal.dumps(value)
        else:
            self._as_they_are[len(self)] = item
        self._borders.append(len(self._bytes))

    def only(self, indices: Iterable[int]) -> Packed[T]:
        """Some of the items, in the order given."""
        some: Packed[T] = Packed((), self._pack, self._unpack)
        for index in indices:
            if index in self._as_they_are:
                some._as_they_are[len(some)] = self._as_they_are[index]
            some._bytes += self._bytes_of(index)
            some._borders.append(len(some._bytes))
        return some

    def __len__(self) -> int:
        return len(self._borders) - 1

    def _item(self, index: int) -> T:
        if index in self._as_they_are:
            return self._as_they_are[index]
        # The bytes are our own of a moment ago: marshal reads nothing that came from elsewhere.
        return self._unpack(marshal.loads(self._bytes_of(index)))

    def _bytes_of(self, index: int) -> bytearray:
        return self._bytes[self._borders[index] : self._borders[index + 1]]


class Mapped(_Made[T]):
    """What a function makes of the items of another sequence, at each look.

    Example:
        >>> list(Mapped([1, 2], str))
        ['1', '2']
    """

    def __init__(self, items: Sequence[S], make: Callable[[S], T]) -> None:
        self._items: Sequence[Any] = items
        self._make: Callable[[Any], T] = make

    def __len__(self) -> int:
        return len(self._items)

    def _item(self, index: int) -> T:
        return self._make(self._items[index])


def only(items: list[T] | Packed[T], indices: Iterable[int]) -> list[T] | Packed[T]:
    """Some of the items, in the order given."""
    return items.only(indices) if isinstance(items, Packed) else [items[i] for i in indices]


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether ``marshal`` gives the value back as it is: it takes an array of NumPy for bytes."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if depth > 50:
        return False
    if kind is dict:
        return _is_plain((*value, *value.values()), depth)
    if kind not in (list, tuple):
        return False
    return all(type(each) in _ATOMS or _is_plain(each, depth + 1) for each in value)
