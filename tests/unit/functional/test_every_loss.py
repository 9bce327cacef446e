"""What holds for every functional loss: right gradients, no overflow, no half precision."""

import pytest
import torch
from torch.autograd import gradcheck

from unlearnkit import functional as F

TARGET = torch.tensor([0, 3, 5, 3])
WIDE = torch.tensor(
    [[1e4, -1e4, 0, 0, 1, 2], [-1e4, -1e4, 1e4, 1e4, 0, 0], [0] * 6, [1e4] * 6],
    dtype=torch.float32,
)


def _entropy(logits):
    logps = F.core.log_probabilities(logits)
    return -(logps.exp() * logps).sum(-1)


ON_LOGITS = {
    "forward_kl": F.forward_kl,
    "reverse_kl": F.reverse_kl,
    "uniform_kl": lambda z, _ref: F.uniform_kl(z),
    "ihl": lambda z, _ref: F.ihl(z, TARGET),
    "dummy_slope": lambda z, _ref: F.dummy_slope(F.token_logps(z, TARGET), _entropy(z)),
    "unlikelihood": lambda z, _ref: F.unlikelihood(z, TARGET),
    "ceu": lambda z, _ref: F.ceu(z, TARGET),
    "undial": lambda z, ref: F.undial(z, ref, TARGET),
    "pdu": lambda z, _ref: F.pdu(z),
    "wga": lambda z, _ref: F.wga(F.token_logps(z, TARGET)),
    "satimp": lambda z, _ref: F.satimp(F.token_logps(z, TARGET)),
    "rmu": F.rmu,
    "jensen_shannon": F.jensen_shannon,
    "jensun": lambda z, _ref: F.jensun(F.token_logps(z, TARGET)),
    "unilogit": lambda z, _ref: F.unilogit(z, TARGET),
}
ON_LOGPS = {
    "npo": lambda a, b: F.npo(a, b),
    "simnpo": lambda a, _b: F.simnpo(a, gamma=0.5),
    "dpo": lambda a, b: F.dpo(a, b, 0.5 * a, b),
    "d2o": lambda a, b: F.d2o(a, b),
    "safe_unlearning": F.safe_unlearning,
    "answer_preservation": F.answer_preservation,
}
# A weight that takes no gradient is not differentiated by gradcheck's finite differences.
DETACHED = {"wga", "satimp", "ceu", "unilogit"}


@pytest.mark.parametrize("name", sorted({*ON_LOGITS, *ON_LOGPS} - DETACHED))
def test_gradcheck(name, logits, ref_logits):
    if name in ON_LOGITS:
        assert gradcheck(lambda z: ON_LOGITS[name](z, ref_logits), (logits,))
    else:
        logps = -logits.detach()[:, 0].abs()
        assert gradcheck(lambda a: ON_LOGPS[name](a, ref_logits[:, 0]), (logps.requires_grad_(),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ON_LOGITS)
def test_finite_at_extreme_logits(name, dtype):
    logits = WIDE.to(dtype).requires_grad_()
    value = ON_LOGITS[name](logits, WIDE.flip(0).to(dtype))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert value.dtype == torch.float32
    assert bool(value.isfinite().all())
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("name", ON_LOGPS)
def test_finite_at_extreme_log_probabilities(name):
    logps = torch.tensor([0.0, -1e6, -1.0, -1e6], requires_grad=True)
    value = ON_LOGPS[name](logps, torch.tensor([-1e6, 0.0, -1.0, -1e6]))
    (gradient,) = torch.autograd.grad(value.sum(), logps)
    assert bool(value.isfinite().all())
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("name", ON_LOGITS)
def test_float64_stays_float64(name, logits, ref_logits):
    assert ON_LOGITS[name](logits, ref_logits).dtype == torch.float64


@pytest.mark.parametrize("name", ON_LOGITS)
def test_a_value_for_each_token(name, logits, ref_logits):
    value = ON_LOGITS[name](logits, ref_logits)
    assert value.shape == (4,)
    alone = each_row_alone(name, logits, ref_logits)
    torch.testing.assert_close(value, alone)


def each_row_alone(name, logits, ref_logits):
    """The values when every other row is replaced: a row's value is its own."""
    values = []
    for row in range(4):
        others = torch.zeros_like(logits)
        others[row] = logits.detach()[row]
        values.append(ON_LOGITS[name](others, ref_logits)[row])
    return torch.stack(values)


def test_everything_is_exported():
    assert len(F.__all__) == len(set(F.__all__))
    assert all(callable(getattr(F, name)) for name in F.__all__)
