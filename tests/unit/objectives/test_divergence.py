import math

import pytest
import torch
from rounding import near

from unlearnkit.functional import forward_kl, reverse_kl
from unlearnkit.objectives import NegativeKL, RetainKL, UniformKL
from unlearnkit.testing import stream_view

TARGET = torch.tensor([0, 1, 2])


def pair(logits, ref_logits):
    return {"retain": stream_view(logits, TARGET, [1, 2], ref_logits=ref_logits)}


@pytest.fixture
def two():
    random = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 5, generator=random, dtype=torch.float64).unbind()


@pytest.mark.parametrize(("direction", "kl"), [("forward", forward_kl), ("reverse", reverse_kl)])
def test_direction(two, direction, kl):
    loss = RetainKL(direction=direction)(pair(*two))
    torch.testing.assert_close(loss, kl(*two).mean())


def test_reductions(two):
    kl = forward_kl(*two)
    by_sequence = RetainKL(reduction="sequence_sum")(pair(*two))
    torch.testing.assert_close(by_sequence, kl.sum() / 2)
    of_means = RetainKL(reduction="sequence_mean")(pair(*two))
    torch.testing.assert_close(of_means, (kl[0] + kl[1:].mean()) / 2)


def test_zero_with_zero_gradient_at_the_start(two):
    logits = two[0].requires_grad_()
    for objective in (RetainKL(), RetainKL(direction="reverse"), NegativeKL()):
        loss = objective(pair(logits, logits.detach()))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert gradient.abs().max().item() == pytest.approx(0, abs=1e-12)


def test_negative_kl(two):
    torch.testing.assert_close(NegativeKL()(pair(*two)), -RetainKL()(pair(*two)))


def test_llm_unlearn_has_the_kl_gradient_but_not_its_value(two):
    logits = two[0].requires_grad_()
    ours, theirs = RetainKL(), RetainKL(compat="llm_unlearn")
    gradients = [torch.autograd.grad(o(pair(logits, two[1])), logits)[0] for o in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    ref = two[1].softmax(-1)
    entropy = torch.special.entr(ref).sum(-1).mean()
    difference = theirs(pair(logits, two[1])) - ours(pair(logits, two[1]))
    torch.testing.assert_close(difference, entropy)


def test_muse_is_not_a_divergence():
    logits = torch.zeros(3, 5)
    loss = RetainKL(compat="Unlearn-Simple/MUSE")(pair(logits + 1, logits))
    # Each of 3 x 5 entries gives exp(0) * (0 - 1), over 2 sequences.
    assert loss.item() == pytest.approx(-7.5)


def test_uniform_kl():
    p = torch.tensor([[0.5, 0.25, 0.125, 0.125]] * 3).log()
    loss = UniformKL()({"retain": stream_view(p, TARGET)})
    assert loss.item() == near(0.25 * math.log(2), size=1.0)
