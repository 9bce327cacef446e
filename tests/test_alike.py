"""Tests of properties hang on no clock, and are of the same values each time."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st


def _drawn() -> list[int]:
    """What a property was tried with, at the first of which the machine stood still."""
    drawn: list[int] = []

    @settings(max_examples=5)
    @given(st.integers())
    def holds(number: int) -> None:
        time.sleep(0.3 * (not drawn))
        drawn.append(number)

    holds()
    return drawn


def test_a_property_that_takes_long_once_holds_and_is_tried_alike() -> None:
    assert _drawn() == _drawn()
