"""Settings in which recipes differ."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.plain import leaves

MOST_VALUES = 4
"""Values in which a recipe differs that its name has."""
Values = list[tuple[str, Any]]
_PHASE = re.compile(r"^phases\.\d+\.")


def differing(names: Sequence[str], recipes: Sequence[Mapping[str, Any]]) -> list[Values]:
    """Of each recipe the keys and values in which it differs from others of its name.

    Example:
        >>> differing(["a", "a", "b"], [{"lr": 1, "r": 8}, {"lr": 2, "r": 8}, {"lr": 3}])
        [[('lr', 1)], [('lr', 2)], []]
    """
    flat = [dict(leaves(each)) for each in recipes]
    found: list[Values] = []
    for name, values in zip(names, flat, strict=True):
        others = [each for each, other in zip(flat, names, strict=True) if other == name]
        found.append(
            [
                (key, value)
                for key, value in values.items()
                if any(value not in _at(each, key) for each in others)
            ]
        )
    return found


def told_apart(
    names: Sequence[str], recipes: Sequence[Mapping[str, Any]]
) -> list[tuple[tuple[str, str], ...]]:
    """Keys and values that tell recipes apart; none where they are too many to be told.

    They are those among all recipes, or else among those of one name.

    Example:
        >>> told_apart(["a", "b"], [{"lr": 1, "r": 8}, {"lr": None, "r": 8}])
        [(('lr', '1'),), (('lr', 'null'),)]
    """
    found = differing([""] * len(names), recipes)
    if any(len(each) > MOST_VALUES for each in found):
        found = differing(names, recipes)
    return [
        tuple((key, as_given(value)) for key, value in each) if len(each) <= MOST_VALUES else ()
        for each in found
    ]


def as_given(value: Any) -> str:
    """A value as a recipe has it: null, true and false."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _at(flat: Mapping[str, Any], key: str) -> list[Any]:
    """The value at a key: of phases, which stands at the top where all of them have one."""
    if key in flat:
        return [flat[key]]
    top = _PHASE.sub("", key)
    if top != key:
        return [flat.get(top)]
    inside = [value for name, value in flat.items() if _PHASE.sub("", name) == key] or [None]
    return inside[:1] if all(value == inside[0] for value in inside) else []
