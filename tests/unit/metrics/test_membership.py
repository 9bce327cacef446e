"""Membership attacks and their curves, by hand and by brute force."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unlearnkit.functional import membership
from unlearnkit.metrics import MembershipAUC, MembershipTPR, PrivLeak

scores = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)


@given(scores, scores)
def test_auc_is_the_share_of_ordered_pairs(forget, holdout):
    wins = sum((h > f) + (h == f) / 2 for f in forget for h in holdout)
    found = membership.auc(torch.tensor(forget), torch.tensor(holdout))
    assert found == pytest.approx(wins / len(forget) / len(holdout), rel=1e-15)


@given(scores, scores, st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0]))
def test_true_positive_rate_is_the_best_threshold(forget, holdout, rate):
    thresholds = [-1.0, *forget, *holdout, 99.0]
    best = max(
        sum(f < t for f in forget) / len(forget)
        for t in thresholds
        if sum(h < t for h in holdout) <= rate * len(holdout)
    )
    found = membership.true_positive_rate(torch.tensor(forget), torch.tensor(holdout), rate)
    assert found == best


def test_one_percent_of_two_hundred_is_two():
    holdout = torch.arange(200).float()
    forget = torch.tensor([0.5, 1.5, 2.5])
    assert membership.true_positive_rate(forget, holdout) == pytest.approx(2 / 3)


@given(st.lists(st.lists(st.integers(-9, 0), min_size=1, max_size=7), min_size=1, max_size=4))
def test_min_k_sorts_within_each_text(rows):
    flat = torch.tensor([float(x) for row in rows for x in row])
    sequence = torch.tensor([i for i, row in enumerate(rows) for _ in row])
    expected = []
    for row in rows:
        lowest = sorted(row)[: max(1, int(0.4 * len(row)))]
        expected.append(-sum(lowest) / len(lowest))
    found = membership.min_k(flat, sequence, len(rows), 0.4)
    assert found.tolist() == pytest.approx(expected)


def test_min_k_of_a_text_too_short_for_the_share():
    one = torch.tensor([-2.0]), torch.tensor([0]), 1, 0.2
    assert membership.min_k(*one).item() == 2.0
    assert membership.min_k(*one, compat="mimir").isnan()
    assert membership.min_k(*one, compat="open-unlearning").item() == 0.0


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="too few tokens"):
        membership.auc(torch.tensor([math.nan]), torch.tensor([1.0]))


@pytest.mark.parametrize("is_forget", [0, 1])
def test_one_set_alone_tells_nothing(is_forget):
    """No rate is 0 or 1 because there are no rows that could be told apart."""
    sets = [torch.zeros(0), torch.tensor([1.0, 2.0])]
    assert math.isnan(membership.auc(*sets))
    assert math.isnan(membership.true_positive_rate(*sets))
    assert math.isnan(membership.true_positive_rate(*sets[::-1]))
    for metric in (MembershipAUC(), MembershipTPR(), PrivLeak()):
        metric.update(torch.tensor([1.0, 2.0]), torch.tensor([is_forget, is_forget]))
        assert math.isnan(metric.compute().item())


def test_rows_without_a_score_are_left_out_of_both_sets():
    scores, is_forget = torch.tensor([1.0, math.nan, 2.0]), torch.tensor([1, 1, 0])
    metric = MembershipAUC()
    metric.update(scores, is_forget)
    assert metric.compute().item() == 1.0
    assert metric.left_out() == 1


def test_standardised_logps_of_a_known_distribution():
    log_probs = torch.tensor([[0.5, 0.25, 0.25]]).log()
    mean = -1.5 * math.log(2)
    deviation = 0.5 * math.log(2)
    found = membership.standardised_logps(log_probs, torch.tensor([0]))
    assert found.item() == pytest.approx((-math.log(2) - mean) / deviation)


def test_a_uniform_distribution_has_a_floor_under_its_variance():
    log_probs = torch.full((1, 4), 0.25).log()
    assert membership.standardised_logps(log_probs, torch.tensor([1])).abs().item() < 1e-3


def test_recall_is_higher_for_texts_that_the_prefix_does_not_hurt():
    member, other = membership.recall(torch.tensor([2.0, 2.0]), torch.tensor([3.0, 2.1]))
    assert member.item() == -1.5
    assert other.item() == pytest.approx(-1.05)


def test_gradient_norm_counts_unused_tensors_as_zero():
    used = torch.tensor([3.0, 4.0], requires_grad=True)
    unused = torch.ones(2, requires_grad=True)
    frozen = torch.ones(2)
    loss = used.square().sum() / 2
    assert membership.gradient_norm(loss, [used, unused, frozen]).item() == 2.5


def test_metrics_are_those_of_the_functions():
    values = torch.tensor([1.0, 2.0, 2.0, 5.0, 6.0])
    is_forget = torch.tensor([True, True, False, False, False])
    auc, tpr, privleak = MembershipAUC(), MembershipTPR(0.01), PrivLeak(auc_gold=0.5)
    for metric in (auc, tpr, privleak):
        metric.update(values[:3], is_forget[:3], rows=[0, 1, 2])
        metric.update(values[2:], is_forget[2:], rows=[2, 3, 4])
    assert auc.compute().item() == 5.5 / 6
    assert tpr.compute().item() == 0.5
    assert privleak.compute().item() == pytest.approx(-100 * (5.5 / 6 - 0.5) / 0.5)
