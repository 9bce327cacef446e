import math

import pytest
import torch
from rounding import near

from unlearnkit.functional import ceu, ihl, unlikelihood


def gradient(value, x):
    return torch.autograd.grad(value, x)[0]


def target_probability(logits, target):
    return logits.softmax(-1)[torch.arange(len(target)), target]


class TestUnlikelihood:
    def test_value(self, logits, target):
        expected = -(1 - target_probability(logits, target)).log()
        torch.testing.assert_close(unlikelihood(logits, target), expected)

    def test_a_certain_model_has_a_finite_loss(self):
        logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
        value = unlikelihood(logits, torch.tensor([0]))
        assert value.item() == 2e4
        assert gradient(value.sum(), logits).tolist() == [[1.0, -1.0]]


class TestCEU:
    def test_value_is_entropy_plus_unlikelihood(self, logits, target):
        p = logits.softmax(-1)
        q = p.scatter(-1, target[:, None], 0.0)
        q = q / q.sum(-1, keepdim=True)
        entropy = torch.special.entr(q).sum(-1)
        expected = entropy - (1 - target_probability(logits, target)).log()
        torch.testing.assert_close(ceu(logits, target), expected)

    def test_gradient_is_that_of_unlikelihood(self, logits, target):
        found = gradient(ceu(logits, target).sum(), logits)
        p = logits.softmax(-1).detach()
        p_y = target_probability(logits, target)[:, None].detach()
        expected = (-p * p_y / (1 - p_y)).scatter(-1, target[:, None], p_y)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found, gradient(unlikelihood(logits, target).sum(), logits))


class TestIHL:
    def test_uniform_is_one(self):
        assert ihl(torch.zeros(3, 5), torch.tensor([0, 2, 4])).tolist() == [1.0, 1.0, 1.0]

    def test_by_hand(self):
        logits = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]]).log()
        assert ihl(logits, torch.tensor([0, 0])).tolist() == pytest.approx([1.2, 0.7])

    def test_bounds(self):
        sure = torch.tensor([[9.0, -9.0]])
        assert ihl(sure, torch.tensor([0])).item() == near(2)
        assert ihl(sure, torch.tensor([1])).item() == near(0, size=2)

    def test_gradient(self, logits, target):
        found = gradient(ihl(logits, target).sum(), logits)
        p = logits.softmax(-1).detach()
        for row, y in enumerate(target.tolist()):
            others = p[row].clone()
            others[y] = -1
            m = int(others.argmax())
            p_y, p_m = p[row, y], p[row, m]
            expected = p[row] * (p_m - p_y)
            expected[y] = p_y * (p_m - p_y + 1)
            expected[m] = p_m * (p_m - p_y - 1)
            torch.testing.assert_close(found[row], expected)

    def test_other_tokens_are_left_alone_when_both_are_equally_likely(self):
        logits = torch.tensor([[2.0, 2.0, 0.0, 1.0]], requires_grad=True)
        found = gradient(ihl(logits, torch.tensor([0])).sum(), logits)[0]
        assert found[2:].tolist() == near([0, 0], size=1)
        assert found[0].item() == pytest.approx(-found[1].item())


def test_values_do_not_depend_on_a_shift(logits, target):
    for loss in (unlikelihood, ceu, ihl):
        torch.testing.assert_close(loss(logits + 5, target), loss(logits, target))


def test_two_tokens_leave_one_alternative():
    logits = torch.tensor([[0.0, 0.0]])
    for loss in (unlikelihood, ceu):
        assert loss(logits, torch.tensor([1])).item() == pytest.approx(math.log(2))
