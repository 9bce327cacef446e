from __future__ import annotations

import math

import pytest

from unlearnkit.plain import leaves, number, spaced


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.500"), (None, "-"), (math.nan, "-"), (12345.678, "1.23e+04"), (-2.0, "-2.000")],
)
def test_three_decimals_or_three_digits_or_a_dash(value, shown) -> None:
    assert number(value) == shown


def test_rows_are_evenly_spaced() -> None:
    assert list(spaced(range(10), 4)) == [0, 2, 5, 7]
    assert list(spaced(range(2), 4)) == list(spaced(range(2), None)) == [0, 1]


def test_leaves_have_the_keys_on_their_way() -> None:
    tree = {"a": [{"b": 1}, {"init_args": {"b": 2}}], "c": [{"d": 3}, 4], "e": None}
    assert dict(leaves(tree)) == {"a.0.b": 1, "a.1.b": 2, "c": [{"d": 3}, 4], "e": None}
