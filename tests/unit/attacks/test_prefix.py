from __future__ import annotations

from unlearnkit.attacks.prefix import long_enough
from unlearnkit.data.example import Example


def test_two_tokens_are_left_to_be_measured_at_every_length_shown() -> None:
    rows = [Example((4,), (5,) * length, length, "") for length in (3, 6, 11)]
    numbers, kept = long_enough(rows)
    assert numbers == [0, 2, 4, 8]
    assert [row.row for row in kept] == [11]
    numbers, kept = long_enough(rows[:2])
    assert numbers == [0, 2, 4]
    assert [row.row for row in kept] == [6]
