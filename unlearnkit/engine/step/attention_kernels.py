"""Kernels that compute attention over the parts of a packed row."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import repeat_kv

from unlearnkit.data.attention_plan import AttentionPlan

KernelName = Literal["loop"]


class Kernel(Protocol):
    """``[1, heads, T, D] -> [1, T, heads, D]``; keys and values may have fewer heads."""

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
        dropout: float, scaling: float | None, window: int | None, softcap: float | None,
    ) -> Tensor:  # fmt: skip
        """Runs one attention over all parts."""
        ...


# Compiled code would be made anew for each number of parts.
@torch.compiler.disable(reason="the parts of a forest differ from step to step")
def loop(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """One call for each part; runs everywhere and with everything."""
    if plan.gather is not None:
        # One gather and `split` of all parts: a slice or a gather of its own for each part would
        # have a backward pass of the whole row.
        key, value = key.index_select(2, plan.gather), value.index_select(2, plan.gather)
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


KERNELS: dict[KernelName, Kernel] = {"loop": loop}
