import pytest
import torch

from unlearnkit.functional import l2, orthogonal_lora


def test_orthogonal_row_spaces_do_not_overlap():
    a = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert orthogonal_lora(a, torch.tensor([[0.0, 0.0, 5.0]])).item() == 0


def test_overlap_of_an_adapter_with_itself():
    a = torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    # A Aᵀ = [[2, 2], [2, 4]]
    assert orthogonal_lora(a, a).item() == pytest.approx(4 + 4 + 4 + 16)


def test_l2_has_the_distance_as_gradient():
    parameter = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    start = torch.randn(3, 2, dtype=torch.float64)
    (found,) = torch.autograd.grad(l2(parameter, start), parameter)
    torch.testing.assert_close(found, parameter.detach() - start)
