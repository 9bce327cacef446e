"""Liger's kernel beside PyTorch's: the same values and gradients."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from unlearnkit import RecipeError, UnlearningModule
from unlearnkit.engine.step import kernels
from unlearnkit.objectives.base import Objective

# Triton reads the variable when it is imported, so this runs in a process of its own.
COMPARED = """
import torch
from unlearnkit.engine.step import kernels
from unlearnkit.engine.step.patterns import Pattern
from unlearnkit.models.logit_transform import LogitTransform

def step(kernel, transform, pattern, dtype):
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (
        torch.randn(n, 6, generator=generator, dtype=dtype).requires_grad_() for n in (11, 50)
    )
    target = torch.randint(50, (11,), generator=generator)
    upstream = torch.linspace(0.5, 2.0, 11)
    options = kernels.Options(transform, 4, 10**9, kernel)
    logps = kernels.token_logps(
        hidden, weight, target, Pattern(upstream) if pattern else None, options
    )
    (logps * upstream).sum().backward()
    return logps.detach(), hidden.grad, weight.grad

calls = []
own = kernels._liger_chunk
kernels._liger_chunk = lambda *given: calls.append(1) or own(*given)
for transform in (LogitTransform(), LogitTransform(scale=2.0, cap=1.5)):
    for pattern in (False, True):
        for dtype, near in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
            calls.clear()
            plain = step("torch", transform, pattern, dtype)
            assert not calls
            for one, other in zip(plain, step("liger", transform, pattern, dtype)):
                torch.testing.assert_close(one, other, rtol=near, atol=near)
            assert len(calls) == (3 if pattern else 6)
"""


@pytest.mark.extra("liger_kernel")
def test_values_and_gradients_are_those_of_torch() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMPARED], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_it_is_refused_where_it_cannot_run(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    objectives = {"forget": Objective.resolve("npo")()}
    with pytest.raises(RecipeError, match="liger-kernel, which is not installed"):
        UnlearningModule(objectives, head_kernel="liger")
    monkeypatch.setattr(kernels, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RecipeError, match="this machine has none"):
        UnlearningModule(objectives, head_kernel="liger")
    assert UnlearningModule(objectives).head_kernel == "auto"
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    assert UnlearningModule(objectives).head_kernel == "torch"


def test_auto_is_torch_without_a_gpu() -> None:
    assert kernels._nll_kernel(torch.zeros(1, 2), "auto") is kernels._nll_chunk
    assert kernels._nll_kernel(torch.zeros(1, 2), "liger") is kernels._liger_chunk
    assert kernels._nll_kernel(torch.zeros(1, 2).double(), "liger") is kernels._nll_chunk
