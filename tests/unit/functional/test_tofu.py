from __future__ import annotations

import math

import pytest
import torch
from rounding import near

from unlearnkit.functional import tofu

RIGHT, WRONG = torch.tensor([1.0]), torch.tensor([[2.0, 4.0]])


def test_probability_among_options() -> None:
    assert tofu.probability(RIGHT).item() == pytest.approx(math.exp(-1))
    share = math.exp(-1) / (math.exp(-1) + math.exp(-2) + math.exp(-4))
    found = tofu.probability_with_options(RIGHT, WRONG)
    assert found.item() == pytest.approx(share)
    theirs = tofu.probability_with_options(RIGHT, WRONG, compat="open-unlearning")
    assert theirs.item() == near(share)


def test_the_truth_ratio_compares_mean_wrong_with_right() -> None:
    assert tofu.truth_ratio(RIGHT, WRONG).item() == pytest.approx(math.exp(1 - 3))
    mean = (math.exp(-2) + math.exp(-4)) / 2
    found = tofu.truth_ratio(RIGHT, WRONG, "arithmetic")
    assert found.item() == pytest.approx(mean / math.exp(-1))


def test_mean_loss_is_of_logarithms_or_probabilities() -> None:
    assert tofu.mean_loss(WRONG, "geometric").item() == 3.0
    expected = -math.log((math.exp(-2) + math.exp(-4)) / 2)
    assert tofu.mean_loss(WRONG, "arithmetic").item() == pytest.approx(expected)
