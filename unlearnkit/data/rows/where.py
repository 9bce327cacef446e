"""Selection of rows by field values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from unlearnkit.data.rows.values import quoted
from unlearnkit.errors import DataError, Problem
from unlearnkit.plain import load_yaml

if TYPE_CHECKING:
    from unlearnkit.data.rows.table import Row

    Scalar: TypeAlias = bool | int | float | str | None
else:

    class Scalar:
        """Text, a number, true, false or null, which a recipe's parser leaves as it is.

        A union of the types would have ``"no"`` read as false and ``"01"`` as 1.
        """


Where: TypeAlias = Mapping[str, Scalar]

_LOOKED_AT = 1000


def is_scalar(value: Any) -> bool:
    """Whether a value is of the kind that a field is compared with."""
    return value is None or isinstance(value, bool | int | float | str)


def is_same(found: Any, wanted: Scalar) -> bool:
    """Whether a field has a value; true and false are no numbers.

    Example:
        >>> is_same(1, 1.0), is_same(1, True), is_same("1", 1)
        (True, False, False)
    """
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def refuse_empty(file: str, rows: Sequence[Row], where: Where) -> None:
    """Says that no row was chosen, and what to quote where that is why.

    Raises:
        DataError: Always.
    """
    wanted = ", ".join(f"{key}: {_written(value)}" for key, value in where.items())
    present = list(dict.fromkeys(name for row in islice(rows, _LOOKED_AT) for name in row.fields))
    hints = [
        f"No row has the field '{key}'. The fields: {quoted(present[:12])}."
        for key in where
        if not any(key in row.fields for row in rows)
    ]
    hints += [hint for key, value in where.items() if (hint := _misread(rows, key, value))]
    problem = Problem(file, None, None, "0 rows", f"at least one with {wanted}")
    raise DataError([problem], hint="\n".join(hints) or None)


def _misread(rows: Sequence[Row], key: str, value: Scalar) -> str | None:
    """What to write for a value that stands in the file as another type."""
    cells = [row.fields[key] for row in islice(rows, _LOOKED_AT) if key in row.fields]
    if any(is_same(cell, value) for cell in cells):
        return None
    if isinstance(value, str):
        meant = next((c for c in cells if not isinstance(c, str) and _reads_as(value, c)), value)
        if meant != value:
            return f"The file holds {_written(meant)}, which is no text: {key}: {_written(meant)}"
        return None
    meant = next((c for c in cells if isinstance(c, str) and _reads_as(c, value)), None)
    if meant is None:
        return None
    word = _written(value)
    return f'Without quotes it is read as {word}, and the file holds text: {key}: "{meant}"'


def _reads_as(text: str, value: Any) -> bool:
    """Whether an unquoted text of a recipe is this value."""
    if not is_scalar(value):
        return False
    try:
        # As recipes have it, 1e3 is a number.
        found = float(text) if isinstance(value, float) else load_yaml(text)
    except (yaml.YAMLError, ValueError):
        return False
    return isinstance(found, bool) == isinstance(value, bool) and found == value


def _written(value: Scalar) -> str:
    """The value as a recipe has it."""
    return json.dumps(value, ensure_ascii=False)
