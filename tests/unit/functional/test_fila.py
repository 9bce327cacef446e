"""FILA's closed forms: the weighted low-rank part of a weight."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from unlearnkit.functional.fila import relative_importance, weighted_low_rank

R, SCALING = 3, 0.5


@pytest.fixture
def weight():
    torch.manual_seed(0)
    return torch.randn(7, 9, dtype=torch.float64)


@pytest.fixture
def d():
    torch.manual_seed(1)
    return torch.rand(7, dtype=torch.float64) + 0.1


def residual(weight, d, a, b):
    return torch.linalg.norm(d[:, None] * (weight - SCALING * b @ a))


def test_what_is_left_is_the_tail_of_the_weighted_spectrum(weight, d):
    a, b = weighted_low_rank(weight, d, R, SCALING, epsilon=0.0)
    tail = torch.linalg.svdvals(d[:, None] * weight)[R:].square().sum().sqrt()
    torch.testing.assert_close(residual(weight, d, a, b), tail)
    plain = weighted_low_rank(weight, torch.ones_like(d), R, SCALING, epsilon=0.0)
    assert residual(weight, d, *plain) > tail


def test_no_other_adapter_of_the_rank_leaves_less(weight, d):
    a, b = weighted_low_rank(weight, d, R, SCALING, epsilon=0.0)
    least = residual(weight, d, a, b)
    torch.manual_seed(2)
    for _ in range(20):
        near = a + 1e-3 * torch.randn_like(a), b + 1e-3 * torch.randn_like(b)
        assert residual(weight, d, *near) > least


def test_equal_weights_for_all_rows_give_peft_s_pissa():
    torch.manual_seed(3)
    layer = nn.Sequential(nn.Linear(9, 7, bias=False))
    weight = layer[0].weight.detach().clone()
    config = LoraConfig(r=R, lora_alpha=2 * R, target_modules=["0"], init_lora_weights="pissa")
    begun = get_peft_model(layer, config).base_model.model[0]
    a, b = weighted_low_rank(weight, torch.full((7,), 4.0), R, 2.0, epsilon=0.0)
    theirs = begun.lora_B["default"].weight @ begun.lora_A["default"].weight
    torch.testing.assert_close(b @ a, theirs, rtol=1e-4, atol=1e-5)


def test_both_factors_take_the_same_share_of_the_singular_values(weight, d):
    a, b = weighted_low_rank(weight, d, R, SCALING, epsilon=0.0)
    share = torch.linalg.svdvals(d[:, None] * weight)[:R] / SCALING
    torch.testing.assert_close(a.square().sum(1), share)
    torch.testing.assert_close((d[:, None] * b).square().sum(0), share)


def test_the_randomised_decomposition_comes_near_the_exact_one(weight, d):
    exact = residual(weight, d, *weighted_low_rank(weight, d, R, SCALING))
    torch.manual_seed(4)
    quick = residual(weight, d, *weighted_low_rank(weight, d, R, SCALING, iterations=16))
    assert exact <= quick < 1.01 * exact


def test_rows_of_no_importance_stay_finite(weight):
    a, b = weighted_low_rank(weight, torch.zeros(7), R, SCALING)
    assert torch.isfinite(a).all()
    assert torch.equal(b @ a, torch.zeros(7, 9, dtype=torch.float64))


def test_importance_by_hand():
    on_forget, on_retain = torch.tensor([[8.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0]] * 2)
    found = relative_importance(on_forget, on_retain, epsilon=0.0)
    assert found.tolist() == [3.0, 0.0]
    assert relative_importance(torch.ones(1, 1), torch.zeros(1, 1)) == pytest.approx(1e5**0.5)
