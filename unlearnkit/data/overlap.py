"""Detection of rows that two streams share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.errors import Place

logger = logging.getLogger(__name__)

_SHOWN = 10


class Overlap(NamedTuple):
    """Rows of one stream that are also in another."""

    first: EncodedRows
    second: EncodedRows
    exact: list[tuple[Place, Place]]
    """Places in the first and in the second file."""
    loose: list[tuple[Place, Place]]
    """Places of rows that are equal up to white space and case."""

    def __str__(self) -> str:
        message = (
            f"{_rows(len(self.exact), self.first.source)} also in {self.second.source}"
            f"{self._places(self.exact)}"
        )
        if self.loose:
            message += f"; {len(self.loose)} more up to spaces and case{self._places(self.loose)}"
        return message

    def _places(self, pairs: Sequence[tuple[Place, Place]]) -> str:
        shown = [
            f"{self.first.name} {a.words} = {self.second.name} {b.words}" for a, b in pairs[:_SHOWN]
        ]
        more = [f"and {len(pairs) - _SHOWN} more"] if len(pairs) > _SHOWN else []
        return f" ({', '.join(shown + more)})" if pairs else ""


def find_overlaps(streams: Mapping[str, StreamData]) -> list[Overlap]:
    """Rows that are in two streams, compared by text before any template.

    Example:
        >>> forget, retain = EncodedRows("forget", "f.jsonl"), EncodedRows("retain", "r.jsonl")
        >>> forget.append([([1], [2])], Place(1, line=1), text="Who rows? Ada.")
        >>> retain.append([([1], [2])], Place(4, line=4), text="Who rows? Ada.")
        >>> print(*find_overlaps({"forget": forget, "retain": retain}))
        1 row of f.jsonl is also in r.jsonl (forget line 1 = retain line 4)
    """
    rows = [data for data in streams.values() if isinstance(data, EncodedRows)]
    overlaps = (
        _overlap(first, second)
        for first, second in combinations(rows, 2)
        if not _asked_elsewhere(first, second)
    )
    return [overlap for overlap in overlaps if overlap.exact or overlap.loose]


def warn_of_overlap(streams: Mapping[str, StreamData]) -> None:
    """Logs a warning for each pair of streams that share rows."""
    for overlap in find_overlaps(streams):
        logger.warning("%s", overlap)


def warn_of_repeats(streams: Mapping[str, StreamData], anchor: str) -> None:
    """Logs a warning for rows of the anchor stream that its file holds more than once.

    They are drawn as often as they are there, so they are forgotten harder than the others.
    """
    rows = streams.get(anchor)
    if not isinstance(rows, EncodedRows):
        return
    first: dict[int, Place] = {}
    again: list[str] = []
    for row, key in enumerate(rows.exact_keys):
        place = rows.place(row)
        known = first.setdefault(key, place)
        if known != place:  # the pieces of one text share its place
            again.append(f"{place.words} = {known.words}")
    if again:
        more = [f"and {len(again) - _SHOWN} more"] if len(again) > _SHOWN else []
        logger.warning(
            "%s in %s more than once, and trained on as often (%s)",
            _rows(len(again), rows.source), anchor, ", ".join(again[:_SHOWN] + more),
        )  # fmt: skip


def warn_of_unknown(streams: Mapping[str, StreamData], unknown: int | None) -> None:
    """Logs a warning for rows whose responses are unknown tokens alone, end token aside."""
    if unknown is None:
        return
    for name, rows in streams.items():
        if not isinstance(rows, EncodedRows):
            continue
        found = [
            rows.place(rows.row_of(each)).words
            for each in range(rows.sequences)
            if unknown in (said := rows.response(each)) and set(said[:-1] or said) == {unknown}
        ]
        if found:
            logger.warning(
                "%s: the responses of %d rows are unknown tokens alone, from which nothing is "
                "learned or forgotten (%s)",
                name, len(found), ", ".join(found[:_SHOWN]),
            )  # fmt: skip


def _asked_elsewhere(first: EncodedRows, second: EncodedRows) -> bool:
    """Whether they are forget rows and the same behind other prompts, which ``unseen`` is for."""
    if {first.name, second.name} != {"forget", "unseen"}:
        return False
    return _prompts(first).isdisjoint(_prompts(second))


def _prompts(rows: EncodedRows) -> set[tuple[int, ...]]:
    return {each.prompt_ids for each in rows.examples()}


def _overlap(first: EncodedRows, second: EncodedRows) -> Overlap:
    exact = _matches(first, second, first.exact_keys, second.exact_keys)
    matched = {place for place, _ in exact}
    loose = _matches(first, second, first.loose_keys, second.loose_keys)
    return Overlap(first, second, exact, [pair for pair in loose if pair[0] not in matched])


def _matches(
    first: EncodedRows, second: EncodedRows, keys: Sequence[int], others: Sequence[int]
) -> list[tuple[Place, Place]]:
    """Each row of the first file that is matched, with the first row that matches it."""
    where: dict[int, int] = {}
    for row, key in enumerate(others):
        where.setdefault(key, row)
    pairs = {
        first.place(row): second.place(where[key]) for row, key in enumerate(keys) if key in where
    }
    return list(pairs.items())


def _rows(count: int, source: str) -> str:
    return f"1 row of {source} is" if count == 1 else f"{count} rows of {source} are"
