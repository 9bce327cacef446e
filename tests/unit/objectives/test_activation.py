import pytest
import torch

from unlearnkit.functional import control_vector
from unlearnkit.objectives import RMU, RetainHidden
from unlearnkit.testing import stream_view


@pytest.fixture
def hidden():
    random = torch.Generator().manual_seed(2)
    return torch.randn(6, 4, generator=random, dtype=torch.float64)


def view(hidden, ref_hidden=None):
    return stream_view(
        torch.zeros(6, 3),
        torch.zeros(6, dtype=torch.long),
        [2, 1, 3],
        ref_logits=torch.zeros(6, 3),
        hidden=hidden,
        ref_hidden=ref_hidden,
    )


def test_rmu_averages_over_tokens_then_sequences(hidden):
    objective = RMU(layer=1, steering=2.0, seed=5)
    assert objective.layers == (1,)
    target = control_vector(4, 2.0, seed=5)
    distance = (hidden - target).square().mean(1)
    expected = (distance[:2].mean() + distance[2] + distance[3:].mean()) / 3
    torch.testing.assert_close(objective({"forget": view(hidden)}), expected)


def test_rmu_from_the_origin():
    loss = RMU(steering=6.5)({"forget": view(torch.zeros(6, 4))})
    assert loss.item() == pytest.approx(6.5**2 / 4)


def test_open_unlearning_separates_sums_and_lengths(hidden):
    objective = RMU(steering=2.0, compat="open-unlearning")
    distance = (hidden - control_vector(4, 2.0, seed=0)).square().mean(1)
    sums = torch.stack([distance[:2].sum(), distance[2], distance[3:].sum()])
    table = sums[None, :] / torch.tensor([[2.0], [1.0], [3.0]])
    torch.testing.assert_close(objective({"forget": view(hidden)}), table.mean())


def test_open_unlearning_is_the_formula_for_equal_lengths(hidden):
    def loss(compat):
        rows = stream_view(
            torch.zeros(6, 3), torch.zeros(6, dtype=torch.long), [2, 2, 2], hidden=hidden
        )
        return RMU(compat=compat)({"forget": rows})

    torch.testing.assert_close(loss("open-unlearning"), loss(None))


def test_retain_hidden(hidden):
    moved = hidden + 2.0
    loss = RetainHidden(layer=1)({"retain": view(moved, hidden)})
    assert loss.item() == pytest.approx(4.0)


def test_retain_hidden_at_the_start(hidden):
    leaf = hidden.clone().requires_grad_()
    loss = RetainHidden()({"retain": view(leaf, hidden)})
    (gradient,) = torch.autograd.grad(loss, leaf)
    assert loss.item() == 0
    assert not gradient.any()


def test_topics_have_their_own_direction():
    first, second = RMU(seed=0).control_vector(8), RMU(seed=1).control_vector(8)
    assert not torch.equal(first, second)
