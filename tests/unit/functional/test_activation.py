import pytest
import torch

from unlearnkit.functional import control_vector, rmu


def test_control_vector_has_its_norm_and_no_negative_component():
    u = control_vector(64, norm=6.5, seed=3)
    assert u.norm().item() == pytest.approx(6.5)
    assert bool((u >= 0).all())


def test_control_vector_is_given_by_its_seed():
    assert torch.equal(control_vector(8, 1.0, seed=3), control_vector(8, 1.0, seed=3))
    assert not torch.equal(control_vector(8, 1.0, seed=3), control_vector(8, 1.0, seed=4))


def test_from_the_origin_the_loss_is_the_squared_norm_per_dimension():
    value = rmu(torch.zeros(3, 16), control_vector(16, norm=6.5, seed=0))
    assert value.tolist() == pytest.approx([6.5**2 / 16] * 3)


def test_zero_with_zero_gradient_at_the_reference():
    hidden = torch.randn(3, 16, requires_grad=True)
    value = rmu(hidden, hidden.detach())
    value.sum().backward()
    assert value.tolist() == [0, 0, 0]
    assert hidden.grad is not None
    assert not hidden.grad.any()
