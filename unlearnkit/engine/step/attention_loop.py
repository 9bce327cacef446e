"""Attention over a packed row, one call for each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import repeat_kv

from unlearnkit.data.attention_plan import AttentionPlan, plan_of


def loop(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, *,
    dropout: float, scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    """One call for each run of parts of one size: on every device, with soft caps and dropout."""
    if torch.compiler.is_compiling() and not dropout:
        heads = (autocast(query), autocast(key), autocast(value))
        return _attend(*heads, plan.ticket, scaling, window, softcap)
    return _interrupting(query, key, value, plan, dropout, scaling, window, softcap)


def gathered(tensor: Tensor, plan: AttentionPlan, dim: int) -> Tensor:
    """Keys or values of the parts one after the other."""
    return tensor if plan.gather is None else tensor.index_select(dim, plan.gather)


def autocast(tensor: Tensor) -> Tensor:
    """As autocast would for torch's own attention: rotary embeddings leave it in float32."""
    device = tensor.device.type
    on = torch.is_autocast_enabled(device)
    return tensor.to(torch.get_autocast_dtype(device)) if on else tensor


def _by_part(
    query: Tensor, key: Tensor, value: Tensor, plan: AttentionPlan, dropout: float,
    scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    # One gather and `split` of all parts: a slice or a gather for each part would have a backward
    # pass over the whole row each.
    key, value = gathered(key, plan, 2), gathered(value, plan, 2)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    outputs: list[Tensor] = []
    for q, k, v in _runs(plan, query, key, value):
        mask = plan.mask(q.shape[2], k.shape[2], window)
        if softcap is None:
            found = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling, is_causal=mask is None
            )
        else:
            found = _capped(q, k, v, mask, dropout, scaling, softcap)
        outputs.append(_joined(found))
    return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0].contiguous()


def attend_with_cap(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None,
    dropout: float, scaling: float | None, softcap: float,
) -> Tensor:  # fmt: skip
    """Attention over rows of one length with a soft cap, which torch's own has not.

    Args:
        query: ``[R, heads, T, D]``; keys and values may have fewer heads and be longer.
        key: Of all tokens so far.
        value: The same.
        mask: True where seen; None stands for a causal one, or for all keys of a single query.
        dropout: Share of weights that are dropped.
        scaling: Of the products, by default one over the root of their size.
        softcap: Scores stay between it and its negative.

    Returns:
        ``[R, T, heads, D]``.
    """
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if mask is None and query.shape[2] == 1:
        mask = torch.ones(1, key.shape[2], dtype=torch.bool, device=query.device)
    found = _capped(query, key, value, mask, dropout, scaling, softcap)
    return found.transpose(1, 2).contiguous()


def _capped(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None,
    dropout: float, scaling: float | None, softcap: float,
) -> Tensor:  # fmt: skip
    weights, _ = _weights(q, k, mask, scaling, softcap)
    return F.dropout(weights, dropout, training=dropout > 0) @ v


def _runs(
    plan: AttentionPlan, query: Tensor, key: Tensor, value: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Queries, keys and values of each run of like parts, ``[parts, heads, T, D]`` each."""
    counts = [count for count, _, _ in plan.runs]
    queries = _pieces(query, [n * q for n, q, _ in plan.runs])
    keys, values = (_pieces(each, [n * k for n, _, k in plan.runs]) for each in (key, value))
    for count, q, k, v in zip(counts, queries, keys, values, strict=True):
        yield _parts(q, count), _parts(k, count), _parts(v, count)


def _pieces(tensor: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    # The backward pass of `split` copies, even where there is one piece.
    return tensor.split(sizes, 2) if len(sizes) > 1 else (tensor,)


def _parts(run: Tensor, count: int) -> Tensor:
    """``[1, heads, parts * T, D] -> [parts, heads, T, D]``, a view in both passes."""
    return run if count == 1 else run.squeeze(0).unflatten(1, (count, -1)).transpose(0, 1)


def _joined(found: Tensor) -> Tensor:
    """``[parts, heads, T, D] -> [1, parts * T, heads, D]``."""
    found = found.transpose(1, 2)
    return found if len(found) == 1 else found.flatten(0, 1)[None]


# Random numbers of dropout are drawn part by part, which no graph can hold.
_interrupting: Any = torch.compiler.disable(_by_part, reason="dropout in the parts of a forest")


def _weights(
    q: Tensor, k: Tensor, mask: Tensor | None, scaling: float | None, softcap: float | None
) -> tuple[Tensor, Tensor]:
    """Attention weights, and the derivative of capped scores with respect to the products."""
    if mask is None:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    scores = q @ k.transpose(2, 3) * scale
    slope = scores.new_tensor(scale)
    if softcap is not None:
        capped = torch.tanh(scores / softcap)
        scores, slope = capped * softcap, (1 - capped * capped) * scale
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    exact = torch.float64 if q.dtype == torch.float64 else torch.float32
    return F.softmax(scores, dim=-1, dtype=exact).to(q.dtype), slope


# To a compiler the loop is one operation: its parts differ from step to step, and compiled code
# would be made anew for each number of them. The plan is named by a number, which is no constant
# of a graph as an object would be.


@torch.library.custom_op("unlearnkit::attend", mutates_args=())
def _attend(
    query: Tensor, key: Tensor, value: Tensor, ticket: int,
    scaling: float | None, window: int | None, softcap: float | None,
) -> Tensor:  # fmt: skip
    return _by_part(query, key, value, plan_of(ticket), 0.0, scaling, window, softcap)


@_attend.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> Tensor:
    return query.new_empty(1, query.shape[2], query.shape[1], value.shape[-1])


@torch.library.custom_op("unlearnkit::attend_backward", mutates_args=())
def _attend_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, ticket: int,
    scaling: float | None, window: int | None, softcap: float | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Of each part ``P = softmax(S)``, ``dS = P (dP - sum(P dP))``, worked out from the start."""
    plan = plan_of(ticket)
    groups = query.shape[1] // key.shape[1]
    keys = repeat_kv(gathered(key, plan, 2), groups)
    values = repeat_kv(gathered(value, plan, 2), groups)
    to_query: list[Tensor] = []
    to_keys: list[Tensor] = []
    to_values: list[Tensor] = []
    ups = _pieces(gradient.transpose(1, 2), [n * q for n, q, _ in plan.runs])
    for whole, (q, k, v) in zip(ups, _runs(plan, query, keys, values), strict=True):
        up = _parts(whole, len(q))
        mask = plan.mask(q.shape[2], k.shape[2], window)
        weights, slope = _weights(q, k, mask, scaling, softcap)
        to_values.append(_joined(weights.transpose(2, 3) @ up))
        inner = weights * (up @ v.transpose(2, 3))
        inner = (inner - weights * inner.sum(-1, keepdim=True)) * slope
        to_query.append(_joined(inner @ k))
        to_keys.append(_joined(inner.transpose(2, 3) @ q))
    return (
        torch.cat(to_query, 1).transpose(1, 2).contiguous(),
        _ungathered(torch.cat(to_keys, 1).transpose(1, 2), key, plan),
        _ungathered(torch.cat(to_values, 1).transpose(1, 2), value, plan),
    )


@_attend_backward.register_fake
def _(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any) -> Any:
    return tuple(t.new_empty(t.shape) for t in (query, key, value))


def _ungathered(gradient: Tensor, like: Tensor, plan: AttentionPlan) -> Tensor:
    """Adds up what each key has of its parts and of the heads that share it."""
    shared = gradient.unflatten(1, (like.shape[1], -1)).sum(2)
    if plan.gather is None:
        return shared
    found = torch.zeros(like.shape, dtype=like.dtype, device=like.device)
    return found.index_add(2, plan.gather, shared)


def _remember(ctx: Any, inputs: Any, output: Tensor) -> None:
    query, key, value, *ctx.rest = inputs
    ctx.save_for_backward(query, key, value)


def _backward(ctx: Any, gradient: Tensor) -> Any:
    found = _attend_backward(gradient, *ctx.saved_tensors, *ctx.rest)
    return *found, None, None, None, None


_attend.register_autograd(_backward, setup_context=_remember)
