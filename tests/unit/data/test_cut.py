from __future__ import annotations

import numpy as np

from unlearnkit.data.cut import Cut


def test_pairs_of_answers_and_rooms_are_counted_as_by_hand() -> None:
    # Answers of 1, 3 and 5 tokens behind prompts that leave 4 and 2.
    found = Cut.of_pairs(np.array([5, 1, 3]), np.array([4, 2]))
    assert found == (3, 6, 1 + 1 + 3, 18, "pairs of prompt and answer")


def test_parts_are_added_and_nothing_cut_is_none() -> None:
    assert Cut.total([Cut(1, 2, 3, 9), Cut(0, 4, 0, 8)]) == Cut(1, 6, 3, 17)
    assert Cut.total([Cut(0, 2, 0, 9)]) is None
    assert str(Cut(1, 2, 3, 9)) == "1 of 2 rows, 3 of 9 response tokens"
