import pytest
import torch

from unlearnkit.functional import satimp, token_logps, wga


def test_gradient_of_wga(logits, target):
    beta = 0.5
    (found,) = torch.autograd.grad(wga(token_logps(logits, target), beta).mean(), logits)
    p = logits.softmax(-1).detach()
    one_hot = torch.nn.functional.one_hot(target, 6)
    p_target = (p * one_hot).sum(-1, keepdim=True)
    # The loss falls with the target's probability: minus the NLL's gradient p - e_y.
    torch.testing.assert_close(found, p_target**beta * (one_hot - p) / len(target))


@pytest.mark.parametrize("loss", [lambda x: wga(x, beta=0.0), lambda x: satimp(x, 0.0, 0.0)])
def test_without_exponents_it_is_gradient_ascent(loss, logits, target):
    logps = token_logps(logits, target)
    torch.testing.assert_close(loss(logps), logps)


def test_gradient_of_satimp():
    p = torch.tensor([0.25, 0.5], dtype=torch.float64)
    logps = p.log().requires_grad_()
    (found,) = torch.autograd.grad(satimp(logps, 2.0, 1.0).sum(), logps)
    assert found.tolist() == pytest.approx([0.25**2 * 0.75, 0.5**2 * 0.5])


def test_weight_of_satimp_is_largest_where_the_paper_has_it():
    p = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    logps = p.log().requires_grad_()
    (weight,) = torch.autograd.grad(satimp(logps, 5.0, 1.0).sum(), logps)
    assert p[weight.argmax()].item() == pytest.approx(5 / 6, abs=1e-3)
