"""O3's gate: closed forms and limits."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.functional.ood_gate import (
    layer_entropy,
    mahalanobis_score,
    o3_score,
    published_weight,
    soft_gate,
)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("two_sided", [True, False])
def test_at_the_middle_and_far_away(two_sided):
    g = torch.tensor([0.5, -1e6, 1e6], dtype=torch.float64)
    w = soft_gate(g, 2.0, -1.0, 0.7, two_sided=two_sided)
    assert w[0].item() == pytest.approx(sigmoid(8))
    assert w[1].item() == pytest.approx(sigmoid(-2))
    assert w[2].item() == pytest.approx(sigmoid(-2) if two_sided else sigmoid(8))


def test_it_is_symmetric_and_falls_away_from_the_middle():
    away = torch.linspace(0, 5, 50, dtype=torch.float64)
    above, below = soft_gate(1 + away, 2.0, 0.0, 1.0), soft_gate(1 - away, 2.0, 0.0, 1.0)
    torch.testing.assert_close(above, below)
    assert (above.diff() < 0).all()
    assert torch.equal(soft_gate(1 - away, 2.0, 0.0, 1.0, two_sided=False), below)


def test_one_standard_deviation_by_hand():
    """Both Gaussians at 0: P(1) = 0.8413, P(-1) = 0.1587, gap 0.6827."""
    w = soft_gate(torch.tensor([1.0], dtype=torch.float64), 0.0, 0.0, 1.0)
    assert w.item() == pytest.approx(sigmoid(10 * (1 - math.erf(1 / math.sqrt(2))) - 2))


def test_scores_against_a_loop():
    torch.manual_seed(0)
    h, train = torch.randn(3, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    root = torch.randn(4, 4, dtype=torch.float64)
    mean, precision = train.mean(0), root @ root.T
    gaussian = mahalanobis_score(h, mean, precision)
    both = o3_score(h, mean, precision, train)
    for i in range(3):
        d = h[i] - mean
        near = max(float(h[i] @ t / (h[i].norm() * t.norm())) for t in train)
        expected = -0.5 * float(d @ precision @ d)
        assert gaussian[i].item() == pytest.approx(expected)
        assert both[i].item() == pytest.approx(expected - 1000 * near)


def test_the_contrast_of_states_by_hand():
    # One layer, two inputs, states of one number: likeness 0 and ln 3 give 1/4 and 3/4.
    states, frozen = torch.tensor([[[1.0]], [[0.0]]]), torch.tensor([[[0.0]], [[math.log(3)]]])
    first = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert layer_entropy(states, frozen).item() == pytest.approx((first + math.log(2)) / 2)
    both = torch.cat([states, torch.zeros_like(states)], dim=1), frozen.repeat(1, 2, 1)
    expected = (first + math.log(2)) / 2 + math.log(2)
    assert layer_entropy(*both).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ("scienceqa", [0.0, 0.0, 0.0, 0.31, 0.4, 0.0, 0.0, 1.2]),
        ("tofu", [0.0, 0.0, 10 * 0.3**2, 10 * 0.31**2, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_the_steps_of_the_published_code_at_their_edges(gate, expected):
    weights = torch.tensor([0.12, 0.2, 0.3, 0.31, 0.4, 0.41, 0.9, 0.91], dtype=torch.float64)
    found = published_weight(weights, gate)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
