"""The chunked head against autograd on whole logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unlearnkit.engine.step import kernels
from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.engine.step.token_weights import expected_weights
from unlearnkit.models.logit_transform import LogitTransform
from unlearnkit.objectives.base import Objective

TOKENS, WIDTH, VOCABULARY = 11, 5, 17
TRANSFORMS = (LogitTransform(), LogitTransform(scale=0.3), LogitTransform(scale=2.0, cap=1.5))


def _tensors(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH, generator=generator, dtype=dtype)
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator, dtype=dtype)
    reference = torch.randn(TOKENS, WIDTH, generator=generator, dtype=dtype)
    target = torch.randint(VOCABULARY, (TOKENS,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), reference, target


def _whole_logps(hidden, weight, target, transform) -> Tensor:
    logits = transform(F.linear(hidden, weight))
    return -F.cross_entropy(logits, target, reduction="none")


def _whole_kl(hidden, weight, reference, transform) -> Tensor:
    logps = transform(F.linear(hidden, weight)).log_softmax(-1)
    ref_logps = transform(F.linear(reference, weight.detach() * 0.9)).log_softmax(-1)
    return (ref_logps.exp() * (ref_logps - logps)).sum(-1)


def _calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the chunks whose logits are computed."""
    seen: list[int] = []
    original = kernels._logits

    def counting(hidden, weight, transform):
        seen.append(len(hidden))
        return original(hidden, weight, transform)

    monkeypatch.setattr(kernels, "_logits", counting)
    return seen


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("what", ["logps", "kl"])
@pytest.mark.parametrize("pattern", ["none", "right", "wrong"])
def test_value_and_gradient_equal_those_of_whole_logits(
    transform: LogitTransform, chunk: int, what: str, pattern: str, monkeypatch
) -> None:
    upstream = torch.linspace(0.5, 2.0, TOKENS, dtype=torch.float64)
    patterns = {
        "none": None,
        "right": Pattern(3.0 * upstream),
        "wrong": Pattern(torch.ones_like(upstream)),
    }
    options = kernels.Options(transform, chunk, gradient_bytes=10**9)
    hidden, weight, reference, target = _tensors()
    seen = _calls(monkeypatch)
    if what == "logps":
        found = kernels.token_logps(hidden, weight, target, patterns[pattern], options)
        expected = _whole_logps(hidden, weight, target, transform)
    else:

        def head(states: Tensor) -> Tensor:
            return transform(F.linear(states, weight.detach() * 0.9))

        found = kernels.token_forward_kl(
            hidden, weight, head, reference, patterns[pattern], options
        )
        expected = _whole_kl(hidden, weight, reference, transform)
    assert torch.allclose(found, expected, rtol=1e-12)
    grads = [torch.autograd.grad((x * upstream).sum(), (hidden, weight)) for x in (found, expected)]
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    # Logits are computed once where the pattern was right, and twice where it was not.
    assert sum(seen) == TOKENS * (1 if pattern == "right" else 2)


def test_the_gradient_passes_gradcheck() -> None:
    options = kernels.Options(LogitTransform(cap=2.0), 4, gradient_bytes=10**9)
    hidden, weight, _, target = _tensors()
    for pattern in (None, Pattern(torch.ones(TOKENS, dtype=torch.float64))):
        torch.autograd.gradcheck(
            lambda h, w, p=pattern: kernels.token_logps(h, w, target, p, options),
            (hidden, weight),
        )


def test_a_frozen_head_is_not_computed_twice(monkeypatch) -> None:
    hidden, weight, _, target = _tensors()
    seen = _calls(monkeypatch)
    options = kernels.Options(LogitTransform(), 4, gradient_bytes=10**9)
    logps = kernels.token_logps(hidden, weight.detach(), target, None, options)
    (logps**2).sum().backward()
    assert sum(seen) == TOKENS
    whole = _whole_logps(hidden, weight.detach(), target, LogitTransform())
    (expected,) = torch.autograd.grad((whole**2).sum(), hidden)
    assert torch.allclose(hidden.grad, expected, rtol=1e-10)


def test_a_gradient_too_large_to_keep_is_computed_later(monkeypatch) -> None:
    hidden, weight, _, target = _tensors()
    seen = _calls(monkeypatch)
    options = kernels.Options(LogitTransform(), 4, gradient_bytes=8)
    ones = Pattern(torch.ones(TOKENS, dtype=torch.float64))
    kernels.token_logps(hidden, weight, target, ones, options).sum().backward()
    assert sum(seen) == 2 * TOKENS


class _Made(TorchDispatchMode):
    """Counts tensors of a shape that are not written over one that is there."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = [t.data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if isinstance(found, Tensor) and found.shape == self.shape:
            self.count += found.data_ptr() not in given
        return found


@pytest.mark.parametrize(("what", "right"), [("logps", 1), ("kl", 2 + 2)])
def test_a_chunk_has_no_more_tensors_of_its_logits_than_it_needs(what: str, right: int) -> None:
    """The logits become the derivative; KL has that apart, and the reference's two beside them."""
    hidden, weight, reference, target = _tensors(torch.float32)
    options = kernels.Options(LogitTransform(), TOKENS, gradient_bytes=10**9)
    ones = Pattern(torch.ones(TOKENS))
    with _Made((TOKENS, VOCABULARY)) as made:
        if what == "logps":
            values = kernels.token_logps(hidden, weight, target, ones, options)
        else:
            fixed = weight.detach() * 0.9
            values = kernels.token_forward_kl(
                hidden, weight, lambda h: h @ fixed.t(), reference, ones, options
            )
    assert made.count == right
    with _Made((TOKENS, VOCABULARY)) as made:
        values.sum().backward()
    assert made.count == 0


def test_nothing_is_kept_without_gradient() -> None:
    hidden, weight, _, target = _tensors()
    options = kernels.Options(LogitTransform(), 4, gradient_bytes=10**9)
    with torch.no_grad():
        assert not kernels.token_logps(hidden, weight, target, None, options).requires_grad


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_finite_at_large_logits_in_half_precision(logit: float) -> None:
    options = kernels.Options(LogitTransform(), 4, gradient_bytes=10**9)
    hidden = torch.full((3, 2), logit / 2, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.eye(4, 2, dtype=torch.bfloat16, requires_grad=True)
    logps = kernels.token_logps(hidden, weight, torch.tensor([0, 2, 3]), None, options)
    logps.sum().backward()
    assert logps.dtype == torch.float32
    assert all(torch.isfinite(x).all() for x in (logps, hidden.grad, weight.grad))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("gradient_ascent", {}, {"forget": {"logps": "token"}}),
        ("gradient_ascent", {"ceiling": 6.0}, {}),
        ("nll", {"reduction": "sequence_mean"}, {"forget": {"logps": "sequence"}}),
        ("random_mismatch", {}, {"mismatch": {"logps": "sequence"}}),
        ("retain_kl", {}, {"retain": {"forward_kl": "token"}}),
        ("npo", {}, {}),
        ("weighted_gradient_ascent", {}, {}),
        ("ihl", {}, {}),
        ("pdu", {}, {}),
    ],
)
def test_what_is_expected_of_a_loss(name: str, arguments: dict, expected: dict) -> None:
    objective = Objective.resolve(name)(**arguments)
    assert expected_weights([objective]) == expected


def test_losses_on_one_stream_are_taken_together() -> None:
    ascent = Objective.resolve("gradient_ascent")(weight=0.5)
    mean = Objective.resolve("nll")(weight=0.5, reduction="sequence_mean")
    assert expected_weights([ascent]) == {"forget": {"logps": "token"}}
    assert expected_weights([ascent, mean]) == {}
