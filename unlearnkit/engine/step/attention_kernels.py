"""Kernels that compute attention over the parts of a packed row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from unlearnkit.data.attention_plan import AttentionPlan
from unlearnkit.engine.step.attention_loop import autocast, gathered, loop

KernelName = Literal["loop", "varlen", "flash_attn", "flex"]


class Kernel(Protocol):
    """Attention of all parts of a row. ``[1, heads, T, D] -> [1, T, heads, D]``.

    Keys and values may have fewer heads than queries.
    """

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        plan: AttentionPlan,
        *,
        dropout: float,
        scaling: float | None,
        window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """Runs the kernel."""
        ...


def varlen(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """One call of ``torch.nn.attention.varlen``: without soft caps and dropout."""
    from torch.nn.attention.varlen import varlen_attn

    assert not dropout
    assert softcap is None
    found: Any = varlen_attn(
        *_by_token(query, key, value, plan),
        plan.query_ends,
        plan.key_ends,
        plan.longest_query,
        plan.longest_key,
        scale=scaling,
        window_size=_sides(plan, window),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found[None]


def flash_attn(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """One call of flash-attn (``unlearnkit[flash]``), with soft caps and dropout."""
    from flash_attn import flash_attn_varlen_func  # pyright: ignore[reportMissingImports]

    found: Any = flash_attn_varlen_func(
        *_by_token(query, key, value, plan),
        plan.query_ends,
        plan.key_ends,
        plan.longest_query,
        plan.longest_key,
        dropout_p=dropout,
        softmax_scale=scaling,
        causal=True,
        window_size=_sides(plan, window),
        softcap=softcap or 0.0,
    )
    return found[None]


def flex(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """One call of compiled ``flex_attention``, with soft caps and without dropout."""
    from torch.nn.attention.flex_attention import create_block_mask

    assert not dropout
    query, key, value = map(autocast, (query, key, value))
    key, value = gathered(key, plan, 2), gathered(value, plan, 2)
    sizes = (query.shape[2], key.shape[2])
    reached = window if plan.reaches(window) else None
    block_mask = plan.shared(
        ("flex", reached),
        lambda: create_block_mask(
            seen_by(plan, reached), None, None, *sizes, device=query.device, _compile=query.is_cuda
        ),
    )
    found: Any = _compiled_flex(query.is_cuda)(
        query,
        key,
        value,
        score_mod=None if softcap is None else capped_by(softcap),
        block_mask=block_mask,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found.transpose(1, 2).contiguous()


Seen = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def seen_by(plan: AttentionPlan, window: int | None) -> Seen:
    """``flex_attention``'s mask function: whether a query sees a gathered key."""
    device = plan.query_ends.device
    counts = torch.tensor([plan.queries, plan.keys]).to(device, non_blocking=True)
    parts = torch.arange(len(plan.queries), device=device)
    owners: list[Tensor] = []
    places: list[Tensor] = []  # counted from the end of the part
    for count, ends in zip(counts, (plan.query_ends, plan.key_ends), strict=True):
        total = sum(plan.queries) if ends is plan.query_ends else sum(plan.keys)
        owner = parts.repeat_interleave(count, output_size=total)
        owners.append(owner)
        places.append(torch.arange(total, device=device) - ends[1:][owner])
    (query_part, key_part), (query_place, key_place) = owners, places

    def seen(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = query_place[query] - key_place[key]
        found = (query_part[query] == key_part[key]) & (distance >= 0)
        return found if window is None else found & (distance < window)

    return seen


def capped_by(cap: float) -> Callable[..., Tensor]:
    """``flex_attention``'s score function of a soft cap."""

    def capped(score: Tensor, *_: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    return capped


@lru_cache
def _compiled_flex(compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if compiled else flex_attention


def _by_token(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan
) -> tuple[Tensor, Tensor, Tensor]:
    """``[T, heads, D]`` queries, and keys and values of the parts one after the other."""
    query, key, value = (autocast(each)[0].transpose(0, 1) for each in (query, key, value))
    return query, gathered(key, plan, 0), gathered(value, plan, 0)


def _sides(plan: AttentionPlan, window: int | None) -> tuple[int, int]:
    """Keys to the left and to the right that a query sees; -1 stands for all."""
    return (window - 1 if window is not None and plan.reaches(window) else -1, 0)


KERNELS: Mapping[KernelName, Kernel] = {
    "loop": loop, "varlen": varlen, "flash_attn": flash_attn, "flex": flex
}  # fmt: skip
