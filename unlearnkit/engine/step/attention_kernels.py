"""Kernels that compute attention over the parts of a packed row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import repeat_kv

from unlearnkit.data.attention_plan import AttentionPlan

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


# Compiled code would be made anew for each number of parts.
@torch.compiler.disable(reason="the parts of a forest differ from step to step")
def loop(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """One call for each part: runs on every device, with soft caps and dropout."""
    # One gather and `split` of all parts: a slice or a gather for each part would have a backward
    # pass over the whole row each.
    key, value = _gathered(key, plan, 2), _gathered(value, plan, 2)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    outputs: list[Tensor] = []
    parts = (query.split(plan.queries, 2), key.split(plan.keys, 2), value.split(plan.keys, 2))
    for q, k, v in zip(*parts, strict=True):
        mask = plan.mask(q.shape[2], k.shape[2], window)
        if softcap is None:
            found = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling, is_causal=mask is None
            )
        else:
            found = _capped(q, k, v, mask, dropout, scaling, softcap)
        outputs.append(found)
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous()


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
        max(plan.queries),
        max(plan.keys),
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
        max(plan.queries),
        max(plan.keys),
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
    query, key, value = map(_autocast, (query, key, value))
    key, value = _gathered(key, plan, 2), _gathered(value, plan, 2)
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


def _gathered(tensor: Tensor, plan: AttentionPlan, dim: int) -> Tensor:
    return tensor if plan.gather is None else tensor.index_select(dim, plan.gather)


def _by_token(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan
) -> tuple[Tensor, Tensor, Tensor]:
    """``[T, heads, D]`` queries, and keys and values of the parts one after the other."""
    query, key, value = (_autocast(each)[0].transpose(0, 1) for each in (query, key, value))
    return query, _gathered(key, plan, 0), _gathered(value, plan, 0)


def _autocast(tensor: Tensor) -> Tensor:
    """As autocast would for torch's own attention: rotary embeddings leave it in float32."""
    device = tensor.device.type
    on = torch.is_autocast_enabled(device)
    return tensor.to(torch.get_autocast_dtype(device)) if on else tensor


def _sides(plan: AttentionPlan, window: int | None) -> tuple[int, int]:
    """Keys to the left and to the right that a query sees; -1 stands for all."""
    return (window - 1 if window is not None and plan.reaches(window) else -1, 0)


def _capped(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float,
    scaling: float | None, softcap: float,
) -> Tensor:  # fmt: skip
    if mask is None:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(q @ k.transpose(2, 3) * scale / softcap) * softcap
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
    return F.dropout(weights, dropout, training=dropout > 0) @ v


KERNELS: Mapping[KernelName, Kernel] = {
    "loop": loop, "varlen": varlen, "flash_attn": flash_attn, "flex": flex
}  # fmt: skip
