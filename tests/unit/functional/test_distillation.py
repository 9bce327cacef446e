import math

import pytest
import torch

from unlearnkit.functional import ceu, undial


def gradient(value, x):
    return torch.autograd.grad(value, x)[0]


def teacher(logits, target, beta):
    lowered = logits.detach().clone()
    for row, y in enumerate(target.tolist()):
        lowered[row, y] -= beta
    return lowered.softmax(-1)


def test_value_by_hand():
    # Lowered by ln 3, the odds of the target fall from 1 : 1 to 1 : 3.
    logits = torch.tensor([[math.log(0.75), math.log(0.25)]])
    value = undial(logits, torch.zeros(1, 2), torch.tensor([0]), beta=math.log(3))
    expected = -0.25 * math.log(0.75) - 0.75 * math.log(0.25)
    assert value.item() == pytest.approx(expected)


def test_gradient_at_the_reference(logits, target):
    found = gradient(undial(logits, logits.detach(), target, 3.0).mean(), logits)
    expected = (logits.softmax(-1) - teacher(logits, target, 3.0)) / len(target)
    torch.testing.assert_close(found, expected.detach())


def test_probability_of_the_target_under_the_teacher(logits, target):
    beta = 3.0
    p_y = logits.softmax(-1)[torch.arange(4), target].detach()
    lowered = p_y * math.exp(-beta)
    found = gradient(undial(logits, logits.detach(), target, beta).sum(), logits)
    of_target = found[torch.arange(4), target]
    torch.testing.assert_close(of_target, p_y - lowered / (1 - p_y + lowered))


def test_a_large_beta_has_the_gradient_of_ceu(logits, target):
    far = gradient(undial(logits, logits.detach(), target, 1e4).sum(), logits)
    torch.testing.assert_close(far, gradient(ceu(logits, target).sum(), logits))


def test_no_gradient_at_the_reference_without_beta(logits, target):
    found = gradient(undial(logits, logits.detach(), target, 0.0).sum(), logits)
    torch.testing.assert_close(found, torch.zeros_like(found))


def test_the_minimum_is_at_the_teacher(ref_logits, target):
    best = teacher(ref_logits, target, 3.0).log().requires_grad_()
    value = undial(best, ref_logits, target, 3.0)
    found = gradient(value.sum(), best)
    torch.testing.assert_close(found, torch.zeros_like(found))
    nearby = undial(best + 0.1 * torch.randn(4, 6, dtype=torch.float64), ref_logits, target, 3.0)
    assert bool((nearby > value).all())


def test_the_reference_is_not_changed(logits, ref_logits, target):
    before = ref_logits.clone()
    undial(logits, ref_logits, target)
    assert torch.equal(before, ref_logits)
