"""Rows that stand in two streams, so that their losses pull against each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from unlearnkit.data.encoded import EncodedRows, StreamData

logger = logging.getLogger(__name__)

_SHOWN = 10


class Overlap(NamedTuple):
    """Rows of one stream that are also in another."""

    first: EncodedRows
    second: EncodedRows
    exact: list[tuple[int, int]]
    """Lines in the first and in the second file."""
    loose: list[tuple[int, int]]
    """Lines of rows that are equal up to white space and case."""

    def __str__(self) -> str:
        message = (
            f"{_rows(len(self.exact), self.first.source)} also in {self.second.source}"
            f"{self._lines(self.exact)}"
        )
        if self.loose:
            message += f"; {len(self.loose)} more up to spaces and case{self._lines(self.loose)}"
        return message

    def _lines(self, pairs: Sequence[tuple[int, int]]) -> str:
        shown = [f"{self.first.name} {a} = {self.second.name} {b}" for a, b in pairs[:_SHOWN]]
        more = [f"and {len(pairs) - _SHOWN} more"] if len(pairs) > _SHOWN else []
        return f" (lines: {', '.join(shown + more)})" if pairs else ""


def find_overlaps(streams: Mapping[str, StreamData]) -> list[Overlap]:
    """Rows that are in two streams, compared by text before any template.

    Example:
        >>> forget, retain = EncodedRows("forget", "f.jsonl"), EncodedRows("retain", "r.jsonl")
        >>> forget.append([([1], [2])], line=1, text="Who rows? Ada.")
        >>> retain.append([([1], [2])], line=4, text="Who rows? Ada.")
        >>> print(*find_overlaps({"forget": forget, "retain": retain}))
        1 row of f.jsonl is also in r.jsonl (lines: forget 1 = retain 4)
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


def _asked_elsewhere(first: EncodedRows, second: EncodedRows) -> bool:
    """Whether they are forget rows and the same behind other prompts, which ``unseen`` is for."""
    if {first.name, second.name} != {"forget", "unseen"}:
        return False
    return _prompts(first).isdisjoint(_prompts(second))


def _prompts(rows: EncodedRows) -> set[tuple[int, ...]]:
    return {tuple(each.prompt_ids) for row in range(len(rows)) for each in rows.at(row, 0)}


def _overlap(first: EncodedRows, second: EncodedRows) -> Overlap:
    exact = _matches(first, second, first.exact_keys, second.exact_keys)
    matched = {line for line, _ in exact}
    loose = _matches(first, second, first.loose_keys, second.loose_keys)
    return Overlap(first, second, exact, [pair for pair in loose if pair[0] not in matched])


def _matches(
    first: EncodedRows, second: EncodedRows, keys: Sequence[int], others: Sequence[int]
) -> list[tuple[int, int]]:
    """Each line of the first stream that is matched, with the first line that matches it."""
    where: dict[int, int] = {}
    for line, key in zip(second.lines, others, strict=True):
        where.setdefault(key, line)
    pairs = {line: where[key] for line, key in zip(first.lines, keys, strict=True) if key in where}
    return list(pairs.items())


def _rows(count: int, source: str) -> str:
    return f"1 row of {source} is" if count == 1 else f"{count} rows of {source} are"
