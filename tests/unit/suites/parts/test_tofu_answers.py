from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.scoring import TokenScores
from unlearnkit.suites.parts.tofu_answers import (
    Asked,
    compared_answers,
    losses_of,
    probability_of,
    truth_ratio,
)


def example(*ids: int) -> Example:
    return Example((4,), ids, 0, "a:1")


def test_losses_are_means_over_each_answers_tokens_in_the_order_of_the_answers() -> None:
    asked = [
        Asked(example(9), "", example(5), [example(6, 7)]),
        Asked(example(9), "", example(5, 5), [example(6), example(8)]),
    ]
    tokens = [each.response_ids for each in compared_answers(asked)]
    assert tokens == [(5,), (6, 7), (5, 5), (6,), (8,)]
    logps = -torch.tensor([1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 7.0])
    sequence = torch.tensor([0, 1, 1, 2, 2, 3, 4])
    scores = TokenScores(logps, logps > 0, None, None, sequence, 5)
    assert losses_of(scores, asked) == [(1.0, [3.0]), (4.0, [6.0, 7.0])]


def test_the_ratio_is_that_of_the_wrong_answers_geometric_mean_to_the_right_one() -> None:
    # Wrong answers cost 2 and 4 nats a token, 3 on average; the right one costs 1.
    assert truth_ratio(1.0, [2.0, 4.0]) == pytest.approx(math.exp(1 - 3))


def test_probability_is_of_the_answer_or_its_share_among_the_wrong_ones() -> None:
    row = {"nll": 1.0, "nll_wrong": [2.0, 3.0]}
    assert probability_of(row, among=False) == pytest.approx(math.exp(-1))
    share = math.exp(-1) / (math.exp(-1) + math.exp(-2) + math.exp(-3))
    assert probability_of(row, among=True) == pytest.approx(share)
