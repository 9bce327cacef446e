from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rounding import near
from scipy.stats import ks_2samp

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


VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 7.5, math.inf]), min_size=2)


@given(VALUES, VALUES)
def test_the_distance_of_distributions_is_the_statistic_of_scipys_test(x, y) -> None:
    # That of an exact p-value is rounded to a fraction.
    assert tofu.ks_distance(x, y) == ks_2samp(x, y, method="asymp").statistic


def test_a_distance_that_cannot_be_told_is_nan() -> None:
    assert math.isnan(tofu.ks_distance([0.1, math.nan, 0.2], [0.1, 0.2]))
    assert math.isnan(tofu.ks_distance([0.1, 0.2], [math.nan, 0.2]))
    assert math.isnan(tofu.ks_distance([0.1], [0.1, 0.2]))
