"""What is proven of a loss's weights is so, and what is not so is not proven."""

from __future__ import annotations

import pytest
import torch
from rounding import margin
from torch import Tensor

from unlearnkit.engine.step import kernels
from unlearnkit.engine.step.patterns import Kind, Pattern, prove
from unlearnkit.models.logit_transform import LogitTransform

SEQUENCE, LENGTHS = torch.tensor([0, 0, 1, 1, 1, 2]), torch.tensor([2, 3, 1])
OPTIONS = kernels.Options(LogitTransform(), 4, gradient_bytes=10**9)
OTHER = torch.tensor([1, 3, 2])


def _logps(kind: Kind) -> tuple[Tensor, Pattern, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(6, 5, generator=generator)
    weight = torch.randn(7, 5, generator=generator).requires_grad_()
    weights = torch.ones(6) if kind == "token" else 1.0 / LENGTHS[SEQUENCE]
    pattern = Pattern(weights, kind, LENGTHS, SEQUENCE)
    target = torch.arange(6)
    return kernels.token_logps(hidden, weight, target, pattern, OPTIONS), pattern, weight


def _rows(x: Tensor) -> Tensor:
    return x.new_zeros(3).index_add(0, SEQUENCE, x)


TOKEN = {
    "sum": lambda x: -x.sum() / 6.0,
    "sequence sums": lambda x: 0.5 * (_rows(-x).sum() / 3.0),
    "twice": lambda x: torch.stack([x.sum(), 2.0 * _rows(x).sum()]).sum() - x.sum() / 3,
    "by a tensor": lambda x: torch.tensor(3.0) * x.sum(),
}
BY_SEQUENCE = {
    "means": lambda x: (_rows(-x) / LENGTHS).sum() / 3.0,
    "a sign after": lambda x: -(_rows(2.0 * x) / LENGTHS).sum(),
}
NEITHER = {
    "log-sigmoid": lambda x: torch.nn.functional.logsigmoid(_rows(x)).sum(),
    "hinge": lambda x: (x + 100.0).relu().sum(),
    "weights": lambda x: (x * torch.arange(6.0)).sum(),
    "some tokens": lambda x: x[1:].sum(),
    "other lengths": lambda x: (_rows(x) / OTHER).sum(),
    "both": lambda x: x.sum() + (_rows(x) / LENGTHS).sum(),
    "means and a hinge": lambda x: (_rows(x) / LENGTHS).sum() + x.relu().sum(),
    "other rows": lambda x: (x.new_zeros(3).index_add(0, SEQUENCE.flip(0), x) / LENGTHS).sum(),
}


@pytest.mark.parametrize("kind", ["token", "sequence"])
@pytest.mark.parametrize("name", [*TOKEN, *BY_SEQUENCE, *NEITHER])
def test_only_what_is_so_is_proven(kind: Kind, name: str, monkeypatch) -> None:
    right = TOKEN if kind == "token" else BY_SEQUENCE
    loss_of = {**TOKEN, **BY_SEQUENCE, **NEITHER}[name]
    logps, pattern, weight = _logps(kind)
    loss = loss_of(logps)
    prove(loss, [pattern])
    assert pattern.proven == (name in right)
    (found,) = torch.autograd.grad(loss, weight)
    # The same without a pattern, where logits are computed twice.
    monkeypatch.setattr(pattern, "weights", None)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(6, 5, generator=generator)
    whole = torch.log_softmax(hidden @ weight.T, -1)[torch.arange(6), torch.arange(6)]
    (expected,) = torch.autograd.grad(loss_of(whole), weight)
    assert torch.allclose(found, expected, rtol=1e-5, atol=margin())


def test_a_loss_that_reads_no_kernel_proves_nothing() -> None:
    _, pattern, weight = _logps("token")
    prove(weight.sum(), [pattern])
    assert not pattern.proven


def test_a_gradient_that_is_handed_on_is_not_copied() -> None:
    """The kept gradient becomes ``.grad`` as it is; a copy would double the head's share."""
    logps, pattern, weight = _logps("token")
    loss = -logps.sum()
    prove(loss, [pattern])
    kept = logps.grad_fn.kept.data_ptr()
    loss.backward()
    assert weight.grad.data_ptr() == kept
