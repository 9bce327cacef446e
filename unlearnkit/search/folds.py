"""Rows that choose settings, apart from rows that are reported."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from unlearnkit.errors import RecipeError

Fold = Literal["choosing", "reporting"]
FOLDS: tuple[Fold, ...] = ("choosing", "reporting")
Row = Mapping[str, Any]
_LONG = 8
"""Words from which on a true text is one row's own; shorter ones, such as a name, recur."""


class Folds:
    """Halves the rows of suites: one half chooses, the other is reported.

    Rows of one source, or that share a prompt or a true text of eight words or more, are one group
    and stay together, in whatever streams and suites they are; case and white space do not count.
    So no text that chose a setting stands behind a value that is reported. In each stream the
    groups are dealt in an order that depends on their texts alone.

    Args:
        rows: Rows of each suite, as it gives them for any model.

    Raises:
        RecipeError: If a row names no text, or a stream is one group and cannot be halved.

    Example:
        >>> rows = [{"stream": "forget", "prompt": p} for p in ("a", "b", "A ", "c", "d")]
        >>> folds = Folds({"mine": rows})
        >>> sorted(len(folds.of(rows, fold)) for fold in FOLDS)
        [2, 3]
    """

    def __init__(self, rows: Mapping[str, Sequence[Row]]) -> None:
        self._above: dict[str, str] = {}
        streams: dict[str, Counter[str]] = {}
        every = [(suite, row) for suite, found in rows.items() for row in found]
        for suite, row in every:
            first, *others = _names(row, suite)
            self._above.setdefault(first, first)
            for other in others:
                self._above.setdefault(other, other)
                self._above[self._group(other)] = self._group(first)
        for suite, row in every:
            counts = streams.setdefault(f"{suite}/{row['stream']}", Counter())
            counts[self._group(_names(row, suite)[0])] += 1
        self._fold: dict[str, Fold] = {}
        for stream, groups in streams.items():
            self._halve(stream, groups)

    def of(self, rows: Iterable[Row], fold: Fold) -> list[Row]:
        """The rows of a fold, in their order.

        Raises:
            RecipeError: For a row that was not there when the rows were halved.
        """
        return [row for row in rows if self._fold_of(row) == fold]

    def _halve(self, stream: str, groups: Counter[str]) -> None:
        counts: Counter[Fold] = Counter()
        for group in groups.keys() & self._fold.keys():
            counts[self._fold[group]] += groups[group]
        for group in sorted(groups.keys() - self._fold.keys(), key=_order):
            fold = min(FOLDS, key=lambda each: counts[each])
            self._fold[group] = fold
            counts[fold] += groups[group]
        if not all(counts[fold] for fold in FOLDS):
            raise RecipeError(
                f"{stream}: its rows share their texts, so those that choose settings "
                "cannot be kept apart from those that are reported",
                hint="Give the stream at least two rows with texts of their own.",
            )

    def _fold_of(self, row: Row) -> Fold:
        name = _names(row, "a suite")[0]
        if name not in self._above:
            raise RecipeError(
                f"row {row.get('row')} of '{row.get('stream')}' was not among the rows of the "
                "starting model, so it is in no fold",
                hint="A suite that is searched with has to ask the same rows each time.",
            )
        return self._fold[self._group(name)]

    def _group(self, name: str) -> str:
        while self._above[name] != name:
            name = self._above[name]
        return name


def _names(row: Row, suite: str) -> list[str]:
    """What a row is recognised by."""
    prompt, reference = (_plain(row.get(key)) for key in ("prompt", "reference"))
    names = [f"prompt {prompt}"] if prompt else []
    if len(reference.split()) >= _LONG or (reference and not prompt):
        names.append(f"reference {reference}")
    if not names:
        raise RecipeError(
            f"{suite}: a row of '{row.get('stream')}' holds neither prompt nor reference, so rows "
            "that choose settings cannot be kept apart from those that are reported",
            hint="Let the suite's rows hold the text that they ask for, as 'prompt'.",
        )
    return [*names, f"source {row['source']}"] if row.get("source") else names


def _plain(text: Any) -> str:
    return " ".join(str(text or "").split()).casefold()


def _order(group: str) -> bytes:
    """A place that depends on the text alone, not on the file's order."""
    return hashlib.sha256(group.encode()).digest()
