"""Exact memorisation and extraction strength, by hand and by a slow loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.functional.memorization import (
    exact_memorization,
    extraction_likelihood,
    extraction_strength,
)

rows_of_bools = st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=5)


def flat(rows):
    sequence = [i for i, row in enumerate(rows) for _ in row]
    return (
        torch.tensor([x for row in rows for x in row], dtype=torch.bool),
        torch.tensor(sequence, dtype=torch.long),
        len(rows),
    )


def smallest_prefix(row):
    """Extraction strength as its definition has it."""
    n = len(row)
    return 1 - min(k for k in range(n + 1) if all(row[k:])) / n


@given(rows_of_bools)
def test_extraction_strength_is_the_definition(rows):
    found = extraction_strength(*flat(rows)).tolist()
    assert found == pytest.approx([smallest_prefix(row) for row in rows])


@given(rows_of_bools)
def test_exact_memorization_is_a_mean(rows):
    found = exact_memorization(*flat(rows)).tolist()
    assert found == pytest.approx([sum(row) / len(row) for row in rows])


def test_floor_of_extraction_strength_is_zero():
    rows = [[True, True, False], [False], [True, False]]
    assert extraction_strength(*flat(rows)).tolist() == [0.0, 0.0, 0.0]
    published = extraction_strength(*flat(rows), compat="open-unlearning")
    assert published.tolist() == [1.0, 0.0, 1.0]


def test_responses_without_tokens():
    correct, sequence = torch.tensor([True]), torch.tensor([1])
    assert extraction_strength(correct, sequence, 3).isnan().tolist() == [True, False, True]
    assert exact_memorization(correct, sequence, 3).isnan().tolist() == [True, False, True]
    none = torch.zeros(0, dtype=torch.bool), torch.zeros(0, dtype=torch.long), 2
    assert extraction_strength(*none).isnan().tolist() == [True, True]
    assert extraction_strength(*none, compat="open-unlearning").tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([[1, 2, 3, 4], [2, 3, 4], [3, 4]], 1.0),
        ([[1, 2, 3, 9], [3, 4, 3], []], (2 / 3 + 1 / 2 + 0) / 3),
        # In any place, and a pair that the beginning has is none of the rest.
        ([[3, 4, 9, 9], [1, 2, 3], [2, 3, 4]], (1 / 3 + 1 / 2 + 1) / 3),
        ([[], [], []], 0.0),
    ],
)
def test_extraction_likelihood_by_hand(said, expected):
    assert extraction_likelihood(said, [1, 2, 3, 4], 2) == pytest.approx(expected)
