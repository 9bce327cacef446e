"""Sizes of the output head's work, and its types of numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stub import stub_model
from torch.utils._python_dispatch import TorchDispatchMode

from unlearnkit.cost.head_sizes import sizes
from unlearnkit.engine.step import kernels
from unlearnkit.engine.step.head import Head, memory_of
from unlearnkit.models.logit_transform import LogitTransform

GIB = 2**30


def test_a_chunk_is_a_share_of_what_is_free_within_bounds() -> None:
    assert sizes("cuda", 80 * GIB).chunk == 512 * 2**20
    assert sizes("cuda", 8 * GIB).chunk == 512 * 2**20
    # A power of two: a little less free is the same chunk.
    assert sizes("cuda", 5 * GIB).chunk == sizes("cuda", 4 * GIB).chunk == 256 * 2**20
    assert sizes("cuda", GIB // 2).chunk == 64 * 2**20
    assert sizes("cuda", 0).chunk == 64 * 2**20
    assert sizes("cpu", 0).chunk == sizes("cpu", 512 * GIB).chunk == 34 * 2**20


def test_the_kept_gradient_is_bounded_by_memory() -> None:
    # A head of 128256 tokens and 4096 numbers, 2 GiB in float32: kept in 24 GiB, not in 8.
    head = 128256 * 4096 * 4
    assert sizes("cuda", 8 * GIB).gradient < head < sizes("cuda", 24 * GIB).gradient


def test_a_machine_has_memory_and_always_the_same() -> None:
    here = torch.device("cpu")
    assert memory_of(here) == memory_of(here) > 2**28


def test_tokens_of_a_chunk_follow_from_the_vocabulary() -> None:
    model = stub_model()
    assert Head(model).chunk_tokens == 34 * 2**20 // (4 * 10)
    assert Head(model, chunk_tokens=3).chunk_tokens == 3
    # Of 128256 tokens 34 MiB hold 69 rows, of which the head's weight would be read too often.
    assert sizes("cpu", GIB).tokens(32000) == 278
    assert sizes("cpu", GIB).tokens(128256) == 128


class _Casts(TorchDispatchMode):
    """Counts copies of tensors of a shape in another type."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ == "_to_copy" and args[0].shape == self.shape:
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("what", ["logps", "kl"])
def test_under_autocast_both_passes_see_the_same_logits(what: str, monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(11, 5, generator=generator).requires_grad_()
    weight = torch.randn(17, 5, generator=generator).requires_grad_()
    states, target = torch.randn(11, 5, generator=generator), torch.arange(11)
    other = torch.nn.Linear(5, 17, bias=False)
    seen: list[torch.Tensor] = []
    referred: list[torch.Tensor] = []
    original = kernels._logits

    def spy(*arguments: Any) -> Any:
        logits, dtype = original(*arguments)
        assert dtype == torch.bfloat16
        seen.append(logits.detach().clone())
        return logits, dtype

    def reference(h: torch.Tensor) -> torch.Tensor:
        referred.append(other(h).detach().clone())
        return referred[-1]

    monkeypatch.setattr(kernels, "_logits", spy)
    options = kernels.Options(LogitTransform(), 4, gradient_bytes=10**9)
    with torch.autocast("cpu", torch.bfloat16), _Casts((17, 5)) as casts:
        if what == "logps":
            found = kernels.token_logps(hidden, weight, target, None, options)
        else:
            found = kernels.token_forward_kl(hidden, weight, reference, states, None, options)
    # The head's weight once a call, whatever the chunks; a reference's own by autocast's cache.
    assert casts.count == (1 if what == "logps" else 2)
    (found**2).sum().backward()
    one, two = torch.cat(seen).split(11)
    assert torch.equal(one, two)
    assert all(each.dtype == torch.bfloat16 for each in referred)
    if referred:
        assert torch.equal(*torch.cat(referred).split(11))
    assert weight.grad.dtype == hidden.grad.dtype == torch.float32
