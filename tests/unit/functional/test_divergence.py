import math

import pytest
import torch
from rounding import near

from unlearnkit.functional import forward_kl, reverse_kl, uniform_kl

A = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
B = torch.tensor([[0.25, 0.5, 0.25]], dtype=torch.float64).log()
C = torch.tensor([[0.5, 0.375, 0.125]], dtype=torch.float64).log()


def test_values_by_hand():
    # 1/2 * 1 bit - 1/4 * 1 bit
    assert forward_kl(B, A).item() == pytest.approx(0.25 * math.log(2))
    assert reverse_kl(B, A).item() == pytest.approx(0.25 * math.log(2))


def test_the_directions_are_named_for_who_is_averaged_under():
    under_a = 0.25 * math.log(0.25 / 0.375) + 0.25 * math.log(0.25 / 0.125)
    under_c = 0.375 * math.log(0.375 / 0.25) + 0.125 * math.log(0.125 / 0.25)
    assert forward_kl(C, ref_logits=A).item() == pytest.approx(under_a)
    assert reverse_kl(C, ref_logits=A).item() == pytest.approx(under_c)
    assert under_a != pytest.approx(under_c, rel=1e-3)


@pytest.mark.parametrize("kl", [forward_kl, reverse_kl])
def test_zero_with_zero_gradient_at_the_reference(kl, logits):
    value = kl(logits, logits.detach())
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(value, torch.zeros_like(value))
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_gradient_of_forward_kl_is_the_difference_of_probabilities(logits, ref_logits):
    (gradient,) = torch.autograd.grad(forward_kl(logits, ref_logits).mean(), logits)
    expected = (logits.softmax(-1) - ref_logits.softmax(-1)) / len(logits)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("kl", [forward_kl, reverse_kl])
def test_a_constant_added_to_all_logits_changes_nothing(kl, logits, ref_logits):
    torch.testing.assert_close(kl(logits + 5, ref_logits - 3), kl(logits, ref_logits))


def test_uniform_kl_by_hand():
    p = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    mean_bits = (1 + 2 + 3 + 3) / 4
    assert uniform_kl(p).item() == near((mean_bits - 2) * math.log(2))


def test_uniform_kl_is_zero_at_uniform():
    assert uniform_kl(torch.full((1, 8), 3.0)).item() == near(0, size=math.log(8))


def test_gradient_of_uniform_kl(logits):
    (gradient,) = torch.autograd.grad(uniform_kl(logits).mean(), logits)
    expected = (logits.softmax(-1) - 1 / logits.shape[-1]) / len(logits)
    torch.testing.assert_close(gradient, expected)


NEVER = -torch.inf


def test_a_token_that_neither_can_say_adds_nothing():
    logits = torch.tensor([[0.0, math.log(3.0), NEVER]], requires_grad=True)
    ref_logits = torch.tensor([[0.0, 0.0, NEVER]])
    value = forward_kl(logits, ref_logits)
    assert value.item() == pytest.approx(0.5 * math.log(4 / 3), rel=1e-5)
    value.sum().backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.tensor([[-0.25, 0.25, 0.0]]))


def test_a_token_that_the_reference_alone_cannot_say_adds_nothing():
    logits = torch.zeros(1, 3, requires_grad=True)
    value = forward_kl(logits, torch.tensor([[0.0, 0.0, NEVER]]))
    assert value.item() == pytest.approx(math.log(1.5), rel=1e-5)
    value.sum().backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, torch.tensor([[-1 / 6, -1 / 6, 1 / 3]]))


def test_a_token_that_the_policy_alone_cannot_say_is_as_far_as_can_be():
    value = forward_kl(torch.tensor([[0.0, 0.0, NEVER]]), torch.zeros(1, 3))
    assert value.item() > 1e30
