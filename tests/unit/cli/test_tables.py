from __future__ import annotations

import math

import pytest

from unlearnkit.cli.tables import figure


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.500"), (None, "-"), (math.nan, "-"), (12345.678, "1.23e+04"), (-2.0, "-2.000")],
)
def test_three_decimals_or_three_digits_or_a_dash(value, shown) -> None:
    assert figure(value) == shown
