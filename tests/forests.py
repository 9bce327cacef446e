"""Random forests, and their attention by a dense softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unlearnkit.data.attention_plan import AttentionPlan, Tree, plan_attention

OPTIONS = {"dropout": 0.0, "scaling": None, "window": None, "softcap": None}


def forest(seed: int, prompts: int = 4, longest: int = 20) -> AttentionPlan:
    """Random trees with 0 to 4 responses each; two at least have several."""
    generator = torch.Generator().manual_seed(seed)

    def size(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    trees: list[Tree] = []
    end = 0
    for number in range(prompts):
        prompt = (end, end + size(1, longest * 3 // 5))
        end = prompt[1]
        responses = []
        for _ in range(size(2, 4) if number < 2 else size(0, 4)):
            responses.append((end, end + size(1, longest)))
            end = responses[-1][1]
        trees.append(Tree(prompt, tuple(responses)))
    return plan_attention(trees)


def run(
    kernel: Any,
    plan: AttentionPlan,
    *,
    heads: tuple[int, int] = (6, 2),
    size: int = 8,
    dtype: torch.dtype = torch.float64,
    rounded: torch.dtype | None = None,
    **options: Any,
) -> list[Tensor]:
    """Output, and the gradients of queries, keys and values, on the device of the plan.

    Args:
        kernel: One of `KERNELS`, or `by_hand`.
        plan: The forest.
        heads: Of queries, and of keys and values.
        size: Of a head.
        dtype: In which the kernel computes.
        rounded: Type that the inputs are rounded to first, by default ``dtype``.
        options: Of the kernel.
    """
    generator = torch.Generator().manual_seed(1)
    device = plan.query_ends.device

    def drawn(*shape: int) -> Tensor:
        found = torch.randn(*shape, dtype=torch.float64, generator=generator)
        return found.to(rounded or dtype).to(device, dtype)

    total = sum(plan.queries)
    inputs = [drawn(1, n, total, size).requires_grad_() for n in (heads[0], heads[1], heads[1])]
    found = kernel(*inputs, plan, **OPTIONS | options)
    upstream = drawn(*found.shape)
    return [found.detach(), *torch.autograd.grad(found, inputs, upstream)]


def by_hand(query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, **o: Any) -> Tensor:
    """One dense softmax over the row, from the plan's lengths alone."""
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
    gather = torch.arange(key.shape[2]) if plan.gather is None else plan.gather.cpu()
    query_ends, key_ends = plan.query_ends.tolist(), plan.key_ends.tolist()
    mask = torch.zeros(query.shape[2], key.shape[2], dtype=torch.bool)
    for part, (q, k) in enumerate(zip(plan.queries, plan.keys, strict=True)):
        start, first = query_ends[part], key_ends[part]
        for i in range(q):
            last = k - q + i
            low = 0 if o["window"] is None else max(0, last - o["window"] + 1)
            mask[start + i, gather[first + low : first + last + 1]] = True
    scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    if o["softcap"]:
        scores = (scores / o["softcap"]).tanh() * o["softcap"]
    weights = scores.masked_fill(~mask.to(scores.device), -torch.inf).softmax(-1)
    return (weights @ value).transpose(1, 2)


def gap(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference of any number."""
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


def relative_gap(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference of any tensor, in parts of its size."""
    pairs = zip(found, expected, strict=True)
    return max(float((a.double() - b.double()).norm() / b.double().norm()) for a, b in pairs)
