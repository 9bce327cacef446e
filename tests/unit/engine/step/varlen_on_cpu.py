"""CPU kernels for the operators below ``torch.nn.attention.varlen``, in plain torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import varlen

calls = {"forward": 0, "backward": 0}


def _parts(query, key, value, q_ends, k_ends, scale, window) -> Iterator[Any]:
    """Spans, tensors of one head each, and ``[H, q, k]`` scores of each part."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    for part in range(len(q_ends) - 1):
        rows = slice(int(q_ends[part]), int(q_ends[part + 1]))
        columns = slice(int(k_ends[part]), int(k_ends[part + 1]))
        q, k, v = query[rows], key[columns], value[columns]
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        last = len(k) - len(q) + torch.arange(len(q))
        distance = last[:, None] - torch.arange(len(k))[None]
        seen = torch.ones_like(distance, dtype=torch.bool)
        if window[1] >= 0:
            seen &= distance >= -window[1]
        if window[0] >= 0:
            seen &= distance <= window[0]
        yield rows, columns, q, k, v, scores.masked_fill(~seen, -torch.inf)


def _read(query: Tensor, causal: bool, scale: float | None, window: Any) -> tuple[float, Any]:
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return scale, window or [-1, 0 if causal else -1]


def _forward(query, key, value, q_ends, k_ends, _q, _k, causal=False, scale=None,
             window=None, *_: Any, **__: Any):  # fmt: skip
    calls["forward"] += 1
    scale, window = _read(query, causal, scale, window)
    output, sums = torch.empty_like(query), query.new_empty(query.shape[1], len(query))
    for rows, _, _, _, v, scores in _parts(query, key, value, q_ends, k_ends, scale, window):
        output[rows] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)
        sums[:, rows] = scores.logsumexp(-1)
    return output, sums, torch.zeros(2, dtype=torch.uint64)


def _backward(upstream, query, key, value, _out, _lse, q_ends, k_ends, _q, _k, causal,
              _rng, scale=None, window=None, *_: Any, **__: Any):  # fmt: skip
    """Of a softmax: ``dS = P * (dP - sum(P * dP))``."""
    calls["backward"] += 1
    scale, window = _read(query, causal, scale, window)
    found = [torch.zeros_like(each) for each in (query, key, value)]
    heads = key.shape[1]
    for rows, columns, q, k, v, scores in _parts(query, key, value, q_ends, k_ends, scale, window):
        p = scores.softmax(-1)
        dp = torch.einsum("qhd,khd->hqk", upstream[rows], v)
        ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
        found[0][rows] = torch.einsum("hqk,khd->qhd", ds, k)
        dk, dv = (
            torch.einsum("hqk,qhd->khd", ds, q),
            torch.einsum("hqk,qhd->khd", p, upstream[rows]),
        )
        for into, each in zip(found[1:], (dk, dv), strict=True):
            into[columns] = each.unflatten(1, (heads, -1)).sum(2)
    return tuple(found)


@lru_cache
def register() -> None:
    """Has the operators run on a CPU in this process, once."""
    varlen._varlen_attn.register_kernel("cpu")(_forward)
    varlen._varlen_attn_backward.register_kernel("cpu")(_backward)
