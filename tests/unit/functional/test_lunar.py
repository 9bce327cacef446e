"""LUNAR's closed forms: what a layer is changed by."""

from __future__ import annotations

import pytest
import torch

from unlearnkit.functional import descended, redirection


@pytest.fixture
def inputs():
    """Inputs of a layer on forget and retain tokens, more of them than the layer is wide."""
    torch.manual_seed(0)
    return torch.randn(9, 6, dtype=torch.float64), torch.randn(20, 6, dtype=torch.float64)


def row(forget, retain, weight=1.0, ridge=0.0):
    return redirection(forget.sum(0), forget.T @ forget + weight * retain.T @ retain, ridge)


def test_of_one_token_it_is_the_exact_rank_one_solution():
    torch.manual_seed(1)
    a, r = torch.randn(1, 6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    change = 2.0 * torch.outer(r, row(a, torch.zeros(0, 6, dtype=torch.float64)))
    torch.testing.assert_close(change, 2.0 * torch.outer(r, a[0]) / a[0].square().sum())
    torch.testing.assert_close(change @ a[0], 2.0 * r)


def test_forget_inputs_that_are_orthogonal_to_the_others_cost_them_nothing():
    torch.manual_seed(2)
    basis = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    forget = torch.randn(2, 2, dtype=torch.float64) @ basis[:2]
    retain = torch.randn(5, 4, dtype=torch.float64) @ basis[2:]
    found = row(forget, retain)
    torch.testing.assert_close(forget @ found, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(retain @ found, torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("weight", [1.0, 0.25])
@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_it_is_the_minimum_of_the_sum_of_squares(inputs, weight, ridge):
    forget, retain = inputs
    r = torch.randn(4, dtype=torch.float64)
    change = torch.outer(r, row(forget, retain, weight, ridge)).requires_grad_()
    loss = (forget @ change.T - r).square().sum() + weight * (retain @ change.T).square().sum()
    loss = loss + ridge * change.square().sum()
    (gradient,) = torch.autograd.grad(loss, change)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)


def test_descent_comes_to_it(inputs):
    forget, retain = inputs
    r = torch.randn(4, dtype=torch.float64)
    weight = torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, tolerance_change=1e-14)

    def closure():
        optimizer.zero_grad()
        loss = (forget @ weight.T - r).square().sum() + (retain @ weight.T).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = torch.outer(r, row(forget, retain))
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_more_room_than_tokens_gives_the_smallest_change():
    torch.manual_seed(3)
    forget, retain = torch.randn(2, 8, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    found = row(forget, retain)
    stacked = torch.cat([forget, retain])
    target = torch.tensor([1.0, 1, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(found, torch.linalg.pinv(stacked) @ target)


def test_training_by_hand():
    """AdamW on (w - w0 - 1)^2, whose rate is multiplied by 0.9 after each pass."""
    w, first, second = 2.0, 0.0, 0.0
    for step, rate in enumerate([0.1, 0.09, 0.081], start=1):
        slope = 2 * (w - 3.0)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
        w -= rate * (0.01 * w + mean / (square**0.5 + 1e-8))
    one, none = torch.ones(1, 1), torch.zeros(0, 1)
    found = descended(torch.full((1, 1), 2.0), one, none, torch.ones(1), epochs=3, lr=0.1)
    assert found.item() == pytest.approx(w, rel=1e-5)


def test_training_comes_near_the_closed_form(inputs):
    forget, retain = inputs
    torch.manual_seed(3)
    weight, step = torch.randn(4, 6), torch.randn(4)
    found = descended(weight, forget, retain, step, epochs=60, lr=0.05, batch_size=8)
    best = weight + torch.outer(step, row(forget, retain).float())

    def loss(of):
        change = (of - weight).double()
        missed = (forget @ change.T - step).square().sum()
        return (missed + (retain @ change.T).square().sum()).item()

    gap = loss(weight) - loss(best)
    assert 0 < loss(found) - loss(best) < 0.1 * gap


def test_tokens_are_shuffled_by_the_seed(inputs):
    forget, retain = inputs
    options = {"epochs": 2, "batch_size": 4}
    start, step = torch.zeros(3, 6), torch.ones(3)
    one, again, other = (
        descended(start, forget, retain, step, seed=seed, **options) for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
