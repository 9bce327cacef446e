import math
from typing import get_args

import pytest
import torch

from unlearnkit.functional import flat, token_logps
from unlearnkit.functional.f_divergence import Divergence, forget_term, template_term

# Generators f(u) of the divergences, from f-GAN's table; the terms are checked against their
# definition f*(t) = sup_u [t u - f(u)] on a grid of u.
GENERATORS = {
    "total_variation": lambda u: 0.5 * (u - 1).abs(),
    "kl": lambda u: u * u.log(),
    "reverse_kl": lambda u: -u.log(),
    "jeffrey": lambda u: (u - 1) * u.log(),
    "squared_hellinger": lambda u: (u.sqrt() - 1).square(),
    "pearson": lambda u: (u - 1).square(),
    "neyman": lambda u: (1 - u).square() / u,
    "jensen_shannon": lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
}
PROBABILITIES = (0.0, 0.1, 0.5, 0.9, 1.0)


def test_every_divergence_has_a_generator():
    assert set(GENERATORS) == set(get_args(Divergence))


@pytest.mark.parametrize("probability", PROBABILITIES)
@pytest.mark.parametrize("divergence", GENERATORS)
def test_forget_term_is_the_conjugate_of_the_template_term(divergence, probability):
    p = torch.tensor(probability, dtype=torch.float64)
    u = torch.logspace(-6, 6, 200_001, dtype=torch.float64)
    supremum = (-template_term(p, divergence) * u - GENERATORS[divergence](u)).max()
    found = forget_term(p, divergence)
    assert found.item() == pytest.approx(supremum.item(), abs=2e-4)


@pytest.mark.parametrize("divergence", get_args(Divergence))
def test_gradient(divergence):
    p = torch.tensor([0.1, 0.6, 0.95], dtype=torch.float64)
    h = 1e-6
    for term in (template_term, forget_term):
        x = p.clone().requires_grad_()
        (found,) = torch.autograd.grad(term(x, divergence).sum(), x)
        slope = (term(p + h, divergence) - term(p - h, divergence)) / (2 * h)
        torch.testing.assert_close(found, slope, atol=1e-8, rtol=0)


def test_total_variation_at_the_logits(logits, target):
    p_y = token_logps(logits, target).exp()
    loss = flat(torch.tensor(0.3, dtype=torch.float64), p_y.mean())
    (found,) = torch.autograd.grad(loss, logits)
    p = logits.softmax(-1)
    one_hot = torch.nn.functional.one_hot(target, 6)
    sech2 = 1 - p_y.mean().tanh() ** 2
    expected = 0.5 * sech2 * p_y[:, None] * (one_hot - p) / len(target)
    torch.testing.assert_close(found, expected)


def test_total_variation_of_equal_answers_is_zero_and_the_loss_is_bounded():
    p = torch.linspace(0, 1, 11)
    torch.testing.assert_close(flat(p, p), torch.zeros(11))
    extreme = flat(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    assert extreme.tolist() == pytest.approx([0.5 * math.tanh(1), -0.5 * math.tanh(1)])


def test_values_by_hand():
    half = torch.tensor(0.5, dtype=torch.float64)
    assert flat(half, half, "kl").item() == pytest.approx(math.exp(-0.5) - 0.5)
    assert flat(half, half, "pearson").item() == pytest.approx(1 / 16)


def test_unknown_divergence():
    with pytest.raises(ValueError, match="total_variation"):
        flat(torch.zeros(1), torch.zeros(1), "hellinger")  # pyright: ignore
