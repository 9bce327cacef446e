"""Attention kernels of packed rows beside a dense softmax, on the device itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from forests import by_hand, forest, relative_gap, run
from gpu_device import on_gpu
from unit.engine.step import varlen_on_cpu

from unlearnkit.engine.step.attention_choice import AttentionNeeds, refusals
from unlearnkit.engine.step.attention_kernels import KERNELS, KernelName

TOLERANCE = {torch.bfloat16: 2e-2, torch.float16: 4e-3, torch.float32: 1e-4}
"""Relative; a window that is one token off gives ten times as much, as each test sees."""
CASES: list[tuple[KernelName, torch.dtype]] = [
    ("varlen", torch.bfloat16),
    ("varlen", torch.float16),
    ("flash_attn", torch.bfloat16),
    ("flex", torch.bfloat16),
    ("flex", torch.float32),
    ("loop", torch.bfloat16),
    ("loop", torch.float32),
]
ON_CPU: list[tuple[KernelName, torch.dtype]] = [
    ("varlen", torch.bfloat16),  # by a CPU kernel of the tests
    ("loop", torch.float32),
]
SHORT = 12
"""Window that most responses of the short forests are longer than."""


def _sizes(device: str) -> dict[str, Any]:
    """Prompts and longest responses of a forest; on a CPU a few."""
    return {"prompts": 24, "longest": 200} if device == "cuda" else {"prompts": 3, "longest": 40}


def _prepared(name: KernelName, dtype: torch.dtype, device: str, softcap: bool = False) -> None:
    """Skips a package that is not installed; whatever is must serve."""
    if name == "flash_attn":
        pytest.importorskip("flash_attn")
    if device == "cpu":
        varlen_on_cpu.register()
    else:
        needs = AttentionNeeds(64, 64, softcap, False)
        assert refusals(torch.device(device), dtype, needs)[name] is None


@pytest.mark.parametrize("heads", [(8, 8), (8, 2)], ids=["alike", "grouped"])
@pytest.mark.parametrize("window", [None, 2, SHORT, 100])
@pytest.mark.parametrize(
    ("device", "name", "dtype"),
    [*(on_gpu(*case) for case in CASES), *(("cpu", *case) for case in ON_CPU)],
    ids=lambda each: str(each).split(".")[-1],
)
def test_values_and_gradients_are_those_of_a_dense_softmax(
    device: str, name: KernelName, dtype: torch.dtype, window: int | None, heads: tuple[int, int]
) -> None:
    """Reference in float32 on the same rounded numbers; a wrong window must fail."""
    _prepared(name, dtype, device)
    for seed in range(3 if device == "cuda" else 1):
        plan = forest(seed, **_sizes(device)).to(device)
        sizes: Any = {"heads": heads, "size": 64 if device == "cuda" else 8}
        exact = torch.float32 if dtype != torch.float32 else torch.float64
        expected = run(by_hand, plan, dtype=exact, rounded=dtype, window=window, **sizes)
        found = run(KERNELS[name], plan, dtype=dtype, window=window, **sizes)
        assert relative_gap(found, expected) < TOLERANCE[dtype]
        if window is not None and plan.reaches(window):
            wrong = run(KERNELS[name], plan, dtype=dtype, window=window + 1, **sizes)
            assert relative_gap(wrong, expected) > 2 * TOLERANCE[dtype]


@pytest.mark.parametrize("window", [None, SHORT])
@pytest.mark.parametrize(
    ("device", "name"), [*map(on_gpu, ("flash_attn", "flex", "loop")), ("cpu", "loop")]
)
def test_soft_caps_are_those_of_a_dense_softmax(
    device: str, name: KernelName, window: int | None
) -> None:
    _prepared(name, torch.bfloat16, device, softcap=True)
    plan = forest(0, **_sizes(device)).to(device)
    sizes: Any = {"heads": (8, 2), "size": 64 if device == "cuda" else 8, "window": window}
    rounded = torch.bfloat16
    expected = run(by_hand, plan, dtype=torch.float32, rounded=rounded, softcap=2.0, **sizes)
    found = run(KERNELS[name], plan, dtype=rounded, softcap=2.0, **sizes)
    assert relative_gap(found, expected) < TOLERANCE[rounded]
    uncapped = run(KERNELS[name], plan, dtype=rounded, **sizes)
    assert relative_gap(uncapped, expected) > 2 * TOLERANCE[rounded]
