import pytest
import torch

from unlearnkit.functional import dual_step, pdu


def test_uniform_logits_are_flat():
    assert pdu(torch.full((2, 5), 3.0)).tolist() == [0, 0]


def test_by_hand():
    assert pdu(torch.tensor([[6.0, 0.0, 0.0]])).item() == pytest.approx(16)


def test_a_constant_changes_nothing_and_a_factor_is_squared(logits):
    torch.testing.assert_close(pdu(logits + 7), pdu(logits))
    torch.testing.assert_close(pdu(3 * logits), 9 * pdu(logits))


@pytest.mark.parametrize(
    ("dual", "constraint", "expected"),
    [(2.0, 0.0, 2.0), (2.0, 0.3, 3.5), (1.0, -0.3, 0.0), (0.0, -0.1, 0.0)],
)
def test_dual_step(dual, constraint, expected):
    assert dual_step(dual, step_size=5.0, constraint=constraint) == pytest.approx(expected)
